// SPDX-License-Identifier: GPL-2.0

//! Types and constants that bindgen generated from `uapi/kwasmi.h`.

#![allow(
    dead_code,
    missing_docs,
    non_camel_case_types,
    unreachable_pub,
    reason = "generated"
)]

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
            // SAFETY: `FromBytes` requires that all bytes are a valid value. The structure has
            // integer fields only.
            unsafe impl FromBytes for $name {}
            // SAFETY: `AsBytes` requires that the value has no uninitialised bytes. The structure
            // has integer fields only and no padding, which the header states and the build checks.
            unsafe impl AsBytes for $name {}
        )*
    };
}

plain_data!(
    kwasmi_info,
    kwasmi_load,
    kwasmi_fd,
    kwasmi_start,
    kwasmi_invoke,
    kwasmi_results,
    kwasmi_run,
    kwasmi_limit,
    kwasmi_limit_info,
    kwasmi_list_limits,
    kwasmi_module,
    kwasmi_dump,
    kwasmi_policy,
    kwasmi_deny,
    kwasmi_min_version,
    kwasmi_list_policy,
    kwasmi_publish,
    kwasmi_find,
    kwasmi_service,
    kwasmi_list_services,
    kwasmi_wait,
    kwasmi_function,
    kwasmi_call,
    kwasmi_ring,
    kwasmi_ring_run,
    kwasmi_counter,
    kwasmi_counters
);
