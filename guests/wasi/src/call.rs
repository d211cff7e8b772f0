// SPDX-License-Identifier: GPL-2.0

//! Cases for `input` and `output` of `kwasmi_call_1` in a program, which nobody calls.

use crate::{
    case::Topic,
    sys, //
};

/// Functions for calls with invalid addresses; the host checks each address.
#[allow(unsafe_code, reason = "functions of the host")]
mod wild {
    #[link(wasm_import_module = "kwasmi_call_1")]
    unsafe extern "C" {
        pub(super) safe fn input(buf: usize, buf_len: usize, offset: u32, size: usize) -> i32;
        pub(super) safe fn output(buf: usize, buf_len: usize) -> i32;
    }
}

pub(crate) fn cases() {
    let topic = Topic("call");
    let mut place = 0_u32;
    let out = (&raw mut place).expose_provenance();
    topic.is("input outside of a call", sys::done(wild::input(0, 8, 0, out)), "notconn");
    topic.is("output outside of a call", sys::done(wild::output(0, 8)), "notconn");
    topic.is("input to a buffer beyond memory", sys::done(wild::input(usize::MAX - 7, 8, 0, out)), "fault");
    topic.is("a size beyond memory", sys::done(wild::input(0, 8, 0, usize::MAX - 2)), "fault");
    topic.is("output from beyond memory", sys::done(wild::output(usize::MAX - 7, 8)), "fault");
}
