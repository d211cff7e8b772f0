// SPDX-License-Identifier: GPL-2.0

//! Trace events, for perf, bpftrace and `/sys/kernel/tracing`. A disabled event costs one no-op
//! instruction (static branch).
//!
//! `events.h` defines the events. [`kernel::tracepoint::declare_trace`] cannot be used: it takes
//! the tracepoints from the bindings of the `kernel` crate.
//!
//! C header: [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h)

use crate::{
    bindings,
    ffi::Ending, //
};
use core::ffi::CStr;
use kernel::jump_label::static_branch_unlikely;

/// Size of a SHA-256 hash, in bytes.
const SHA256_LEN: usize = 32;

/// Number of an instance: 1 for the first one since the kernel module was loaded.
#[derive(Clone, Copy)]
pub(crate) struct InstanceNumber(pub(crate) u64);

/// Defines a function that records an event, if the event is on.
macro_rules! event {
    (
        $(#[$attr:meta])*
        fn $name:ident($($arg:ident: $type:ty),*) = $tracepoint:ident, $record:ident($($value:expr),*);
    ) => {
        $(#[$attr])*
        #[inline(always)]
        pub(crate) fn $name($($arg: $type),*) {
            // SAFETY: `static_branch_unlikely` requires a static key that C defines, which
            // `events.c` does.
            let is_on = unsafe {
                static_branch_unlikely!(bindings::$tracepoint, kernel::bindings::tracepoint, key)
            };
            if is_on {
                // SAFETY: The function requires that its pointer arguments are valid during the
                // call. They come from references: to 32 bytes, or to a NUL-terminated string.
                unsafe { bindings::$record($($value),*) };
            }
        }
    };
}

event! {
    /// Records that a module was loaded or refused.
    fn load(sha256: &[u8; SHA256_LEN], bytes: u64, error: i32) =
        __tracepoint_kwasmi_load, rust_do_trace_kwasmi_load(sha256.as_ptr(), bytes, error);
}

event! {
    /// Records that an instance was started, or that the start failed.
    fn start(instance: InstanceNumber, sha256: &[u8; SHA256_LEN], error: i32) =
        __tracepoint_kwasmi_start, rust_do_trace_kwasmi_start(instance.0, sha256.as_ptr(), error);
}

event! {
    /// Records that the current task enters the guest.
    fn enter(instance: InstanceNumber) = __tracepoint_kwasmi_enter, rust_do_trace_kwasmi_enter(instance.0);
}

event! {
    /// Records that the current task begins a call.
    fn call(instance: InstanceNumber, function: u32) =
        __tracepoint_kwasmi_call, rust_do_trace_kwasmi_call(instance.0, function);
}

/// Records calls of `functions` that the current task has made.
#[inline(always)]
pub(crate) fn calls(instance: InstanceNumber, functions: impl Iterator<Item = u32>) {
    // SAFETY: `static_branch_unlikely` requires a static key that C defines, which `events.c` does.
    let is_on = unsafe {
        static_branch_unlikely!(
            bindings::__tracepoint_kwasmi_call,
            kernel::bindings::tracepoint,
            key
        )
    };
    if is_on {
        functions.for_each(|function| call(instance, function));
    }
}

event! {
    /// Records that the current task has left the guest.
    fn leave(instance: InstanceNumber) = __tracepoint_kwasmi_leave, rust_do_trace_kwasmi_leave(instance.0);
}

event! {
    /// Records a host operation.
    fn host_operation(instance: impl FnOnce() -> InstanceNumber, name: impl FnOnce() -> &'static CStr) =
        __tracepoint_kwasmi_host_operation,
        rust_do_trace_kwasmi_host_operation(instance().0, kernel::str::as_char_ptr_in_const_context(name()));
}

event! {
    /// Records that a guest has ended. `code` is the detail that [`Ending`] describes.
    fn end(instance: InstanceNumber, ending: Ending, code: u32) =
        __tracepoint_kwasmi_end, rust_do_trace_kwasmi_end(instance.0, ending as u32, code);
}
