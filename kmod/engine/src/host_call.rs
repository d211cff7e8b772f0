// SPDX-License-Identifier: GPL-2.0

//! Calls from the engine to its host, by way of the stack of the task.

use crate::{
    ffi::{
        Checkpoint,
        Context,
        HostCall,
        HostOp,
        Limit,
        Status, //
    },
    panic::fail, //
};

unsafe extern "C" {
    /// The context of the stay in the engine that the calling task is in.
    safe fn kwasmi_host_context() -> *mut Context;
    fn kwasmi_stack_leave(op: u32, call: *mut HostCall, stack_top: *mut usize) -> i32;
    fn kwasmi_stack_land(status: i32, stack_top: *mut usize);
}

/// The context of the present stay in the engine. Valid until it ends.
pub(crate) fn context() -> *mut Context {
    kwasmi_host_context()
}

/// Makes a host call from `context`; returns the host's status and value.
///
/// # Safety
///
/// `context` is that of the present stay in the engine, and addresses among `args` are what `op` says.
#[inline]
pub(crate) unsafe fn call_host_from(context: *mut Context, op: HostOp, args: [u64; 4]) -> (i32, u64) {
    // SAFETY: The caller guarantees that the context is valid.
    let (host, stack_top) = unsafe {
        let context = &*context;
        (context.host, context.stack_top)
    };
    let mut call = HostCall { host, args, value: 0 };
    // SAFETY: This runs on the engine stack, so its top holds the task's stack pointer.
    let status = unsafe { kwasmi_stack_leave(op as u32, &raw mut call, stack_top) };
    (status, call.value)
}

/// Makes a host call whose arguments hold no addresses but ones that the host gave out itself.
pub(crate) fn call_host(op: HostOp, args: [u64; 4]) -> (i32, u64) {
    // SAFETY: The context is the present one.
    unsafe { call_host_from(context(), op, args) }
}

/// In the middle of what takes long: lets others run, and lands if the work is to end. What cleans up goes on.
pub(crate) fn poll() {
    // SAFETY: The engine runs, so there is a context.
    let host = unsafe { (*context()).host };
    if host.is_null() {
        call_host(HostOp::Yield, [0; 4]);
        return;
    }
    if let (0, value) = call_host(HostOp::Checkpoint, [0; 4]) {
        heed(Checkpoint::from_raw(value));
    }
}

/// Lands if `checkpoint` says that the work is to end. A pause waits for the end of a slice.
pub(crate) fn heed(checkpoint: Checkpoint) {
    let (status, limit) = match checkpoint {
        Checkpoint::Continue | Checkpoint::Interrupt => return,
        Checkpoint::Killed | Checkpoint::BrokenPipe => (Status::Killed, None),
        Checkpoint::Time => (Status::Limited, Some(Limit::Time)),
        Checkpoint::CpuTime => (Status::Limited, Some(Limit::CpuTime)),
    };
    fail(status, limit, format_args!("in the middle of an operation"))
}

/// Ends the present stay in the engine at once: `kwasmi_stack_enter` returns `status`.
///
/// # Safety
///
/// Nothing of the present account is used again but to close it: the frames in between never return.
pub(crate) unsafe fn land(status: i32) -> ! {
    let context = context();
    // SAFETY: The engine runs, so there is a context.
    let stack_top = unsafe { (*context).stack_top };
    // SAFETY: The top of the engine stack holds the stack pointer that `kwasmi_stack_enter` saved.
    unsafe { kwasmi_stack_land(status, stack_top) };
    // It does not return.
    loop {
        core::hint::spin_loop();
    }
}
