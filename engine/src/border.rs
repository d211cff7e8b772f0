// SPDX-License-Identifier: GPL-2.0

//! Calls from the engine to its host, on the stack of the task.

use crate::{
    ffi::{
        Checkpoint,
        Context,
        HostCall,
        Limit,
        Status, //
    },
    host::Operations,
    host_operations::{
        HostOp,
        RawOperations,
        WORDS, //
    },
    kernel_host::KernelHost,
    panic::fail, //
};

unsafe extern "C" {
    /// Returns the context of the calling task's entry into the engine.
    safe fn kwasmi_host_context() -> *mut Context;
    fn kwasmi_stack_leave(op: u32, call: *mut HostCall, stack_top: *mut usize) -> i32;
    fn kwasmi_stack_abort(status: i32, stack_top: *mut usize);
}

/// Returns the context of the current entry into the engine. It is valid until the engine is left.
pub(crate) fn context() -> *mut Context {
    kwasmi_host_context()
}

/// Makes the host call `op`; returns the host's status and value.
///
/// # Safety
///
/// - `context` must be that of the current entry into the engine.
/// - `words` must be as [`Border::call`](crate::host_operations::Border::call) requires for `op`.
#[inline]
pub(crate) unsafe fn call_host(context: *mut Context, op: HostOp, words: [u64; WORDS]) -> (i32, u64) {
    // SAFETY: The context is valid by the safety requirement of this function.
    let (host, stack_top) = unsafe {
        let context = &*context;
        (context.host, context.stack_top)
    };
    let mut call = HostCall { host, args: words, value: 0 };
    // SAFETY: An entry into the engine is in progress, so the word at `stack_top` holds the task's
    // stack pointer, whichever stack this code runs on.
    let status = unsafe { kwasmi_stack_leave(op as u32, &raw mut call, stack_top) };
    (status, call.value)
}

/// Lets other tasks run during a long operation, and aborts if the operation is to end. Without a
/// host that could decide so, as when objects are freed, the operation continues.
pub(crate) fn poll() {
    // SAFETY: The engine runs, so there is a context.
    let has_host = unsafe { !(*context()).host.is_null() };
    let mut host = KernelHost::new();
    if !has_host {
        // Yielding does not fail.
        let _ = host.yield_now();
    } else if let Ok(checkpoint) = RawOperations::checkpoint(&mut host) {
        abort_if_ended(checkpoint);
    }
}

/// Aborts if `checkpoint` ends the operation. A pause is left to the end of the slice.
pub(crate) fn abort_if_ended(checkpoint: Checkpoint) {
    let (status, limit) = match checkpoint {
        Checkpoint::Continue | Checkpoint::Interrupt => return,
        Checkpoint::Killed | Checkpoint::BrokenPipe => (Status::Killed, None),
        Checkpoint::Time => (Status::Limited, Some(Limit::Time)),
        Checkpoint::CpuTime => (Status::Limited, Some(Limit::CpuTime)),
    };
    fail(status, limit, format_args!("in the middle of an operation"))
}

/// Leaves the engine at once: `kwasmi_stack_enter` returns `status`.
///
/// # Safety
///
/// The account of the current entry must not be used again except to close it: the frames in
/// between never return.
pub(crate) unsafe fn abort(status: i32) -> ! {
    let context = context();
    // SAFETY: The engine runs, so there is a context.
    let stack_top = unsafe { (*context).stack_top };
    // SAFETY: The top of the engine stack holds the stack pointer that `kwasmi_stack_enter` saved.
    unsafe { kwasmi_stack_abort(status, stack_top) };
    // `kwasmi_stack_abort` does not return.
    loop {
        core::hint::spin_loop();
    }
}
