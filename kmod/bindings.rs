// SPDX-License-Identifier: GPL-2.0

//! What bindgen made of `bindings/bindings.h`, over the types that the `kernel` crate binds.

#![allow(improper_ctypes, unreachable_pub, reason = "generated, as the kernel's own bindings are")]

use kernel::{
    bindings::*,
    ffi, //
};

include!(concat!(env!("KWASMI_GENERATED"), "/bindings.rs"));
