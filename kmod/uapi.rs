// SPDX-License-Identifier: GPL-2.0

//! What bindgen made of `uapi/kwasmi.h`.

#![allow(dead_code, missing_docs, non_camel_case_types, unreachable_pub, reason = "generated")]

use kernel::{
    ffi,
    transmute::{
        AsBytes,
        FromBytes, //
    }, //
};

include!(concat!(env!("KWASMI_GENERATED"), "/uapi.rs"));

macro_rules! plain_data {
    ($($name:ident),*) => {
        $(
            // SAFETY: It holds integers only, so any bytes are a value.
            unsafe impl FromBytes for $name {}
            // SAFETY: It holds integers only and, as the header promises and the build checks, no padding.
            unsafe impl AsBytes for $name {}
        )*
    };
}

plain_data!(
    kwasmi_info,
    kwasmi_load,
    kwasmi_fd,
    kwasmi_start,
    kwasmi_run,
    kwasmi_limit,
    kwasmi_limit_info,
    kwasmi_limits,
    kwasmi_module,
    kwasmi_policy,
    kwasmi_deny,
    kwasmi_least,
    kwasmi_policy_list
);
