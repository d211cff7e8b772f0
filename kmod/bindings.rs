// SPDX-License-Identifier: GPL-2.0

//! Bindings that bindgen generated from `bindings/bindings.h`, on top of the types that the
//! `kernel` crate binds.

#![allow(
    dead_code,
    improper_ctypes,
    non_camel_case_types,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    reason = "generated, as the kernel's own bindings are"
)]

use kernel::{
    bindings::*,
    ffi, //
};

include!(concat!(env!("KWASMI_GENERATED"), "/bindings.rs"));
