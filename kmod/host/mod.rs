// SPDX-License-Identifier: GPL-2.0

//! What the kernel does for a guest. All of it runs on the stack of the task.

mod alarm;
mod clock;
mod files;
mod heap;
pub(crate) mod signal;

pub(crate) use self::{
    alarm::Alarm,
    files::Files, //
};

use crate::{
    ffi::{
        HostCall,
        HostOp,
        HOST_INTERRUPTED, //
    },
    instance::Instance, //
};
use core::ptr;
use kernel::{
    bindings,
    error::{
        code,
        to_result, //
    },
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// What host calls of a guest find behind [`HostCall::host`].
pub(crate) struct Host {
    files: Files,
    /// The instance while it runs, else null.
    pub(crate) instance: *const Instance,
    /// When its time is up.
    pub(crate) deadline: Option<Instant<Monotonic>>,
}

// SAFETY: `instance` is only used while it runs, by who runs it.
unsafe impl Send for Host {}

impl Host {
    /// A host for a guest with `files`.
    pub(crate) fn new(files: Files) -> Self {
        Self { files, instance: ptr::null(), deadline: None }
    }

    /// Gives up all files.
    pub(crate) fn close_all(&mut self) {
        self.files = Files::new();
    }
}

/// Does `op`; the engine calls it by way of `kwasmi_stack_leave`.
///
/// # Safety
///
/// `call` points to a call that is filled in as `op` says.
#[no_mangle]
unsafe extern "C" fn kwasmi_host_entry(op: u32, call: *mut HostCall) -> i32 {
    // SAFETY: The caller guarantees that it is valid.
    let call = unsafe { &mut *call };
    // SAFETY: The caller guarantees the arguments.
    match unsafe { dispatch(op, call) } {
        Ok(value) => {
            call.value = value;
            0
        }
        Err(error) => status(error),
    }
}

/// The status of an error: those by which the kernel says that a signal came are one. A driver may say `EINTR` for a reason of
/// its own; that is the guest's to know.
fn status(error: Error) -> i32 {
    let restarts = [code::ERESTARTSYS, code::ERESTARTNOINTR, code::ERESTARTNOHAND, code::ERESTART_RESTARTBLOCK];
    if !restarts.contains(&error) && error != EINTR {
        return error.to_errno();
    }
    if kernel::current!().signal_pending() {
        HOST_INTERRUPTED
    } else {
        EINTR.to_errno()
    }
}

/// # Safety
///
/// `call` is filled in as `op` says.
unsafe fn dispatch(op: u32, call: &mut HostCall) -> Result<u64> {
    let [a, b, c, d] = call.args;
    match op {
        op if op == HostOp::Alloc as u32 => return heap::alloc(a, b),
        op if op == HostOp::Free as u32 => {
            // SAFETY: The engine frees what it allocated, once.
            unsafe { heap::free(a, b) };
            return Ok(0);
        }
        op if op == HostOp::Yield as u32 => {
            signal::yield_now();
            return Ok(0);
        }
        _ => {}
    }
    // SAFETY: All other operations are a guest's, whose host lives while it runs and is used by this task only.
    let host = unsafe { call.host.cast::<Host>().as_mut() }.ok_or(EINVAL)?;
    match op {
        op if op == HostOp::Checkpoint as u32 => Ok(signal::checkpoint(host) as u64),
        op if op == HostOp::Read as u32 => {
            // SAFETY: The engine guarantees the vectors and what they point to.
            unsafe { host.files.transfer(a, (b, c), d, files::Direction::Read) }
        }
        op if op == HostOp::Write as u32 => {
            // SAFETY: As above.
            unsafe { host.files.transfer(a, (b, c), d, files::Direction::Write) }
        }
        op if op == HostOp::Seek as u32 => host.files.seek(a, b as i64, c),
        op if op == HostOp::Close as u32 => host.files.close(a),
        op if op == HostOp::Stat as u32 => {
            // SAFETY: The engine guarantees that the second argument is the address of a `FileStat`.
            unsafe { host.files.stat(a, b) }
        }
        op if op == HostOp::SetFlags as u32 => host.files.set_flags(a, b),
        op if op == HostOp::ClockTime as u32 => clock::time(a),
        op if op == HostOp::ClockResolution as u32 => clock::resolution(a),
        op if op == HostOp::SleepUntil as u32 => clock::sleep_until(a, b),
        op if op == HostOp::Random as u32 => {
            // SAFETY: It has no requirements.
            to_result(unsafe { bindings::wait_for_random_bytes() })?;
            // SAFETY: The engine guarantees address and length of memory that it may write to.
            unsafe { bindings::get_random_bytes(a as *mut c_void, b as usize) };
            Ok(0)
        }
        _ => Err(ENOSYS),
    }
}
