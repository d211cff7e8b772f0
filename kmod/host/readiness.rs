// SPDX-License-Identifier: GPL-2.0

//! Readiness of files: waits until files can be read or written, as poll(2) does.
//!
//! C header: [`include/linux/poll.h`](srctree/include/linux/poll.h)

use super::{
    files::{
        Files,
        Open, //
    },
    signal, //
};
use crate::{
    bindings as kwasmi_bindings,
    ffi::{
        poll,
        PollEntry, //
    },
};
use core::{
    mem::MaybeUninit,
    ptr,
    sync::atomic::{
        AtomicI32,
        Ordering, //
    }, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Poll events that mean a file can be read without waiting.
const READABLE: bindings::__poll_t = kwasmi_bindings::KWASMI_CONST_EPOLLIN
    | kwasmi_bindings::KWASMI_CONST_EPOLLRDNORM
    | kwasmi_bindings::KWASMI_CONST_EPOLLERR
    | kwasmi_bindings::KWASMI_CONST_EPOLLHUP;

/// Poll events that mean a file can be written without waiting.
const WRITABLE: bindings::__poll_t = kwasmi_bindings::KWASMI_CONST_EPOLLOUT
    | kwasmi_bindings::KWASMI_CONST_EPOLLWRNORM
    | kwasmi_bindings::KWASMI_CONST_EPOLLERR
    | kwasmi_bindings::KWASMI_CONST_EPOLLHUP;

/// Upper bound of the delay of a timeout, in nanoseconds: the default timer slack of a task.
const SLACK: u64 = 50_000;

/// Returns the readiness of a file, as in [`PollEntry::revents`]: `vfs_poll` of
/// `include/linux/poll.h`. If `table` is not null, the file's wait queues are added to it, so that
/// a later change wakes the task.
///
/// # Safety
///
/// `table` must be null or an initialised table.
unsafe fn poll_events(open: &Open, table: *mut bindings::poll_table) -> u32 {
    let file = open.as_ptr();
    // SAFETY: `open` holds a reference to the file, and `f_op` does not change after the file is
    // opened.
    let poll = unsafe { (*(*file).f_op).poll };
    let Some(poll) = poll else {
        return poll::READ | poll::WRITE;
    };
    // SAFETY: `poll` requires a valid file, to which `open` holds a reference, and null or an
    // initialised table, which `table` is by this function's safety requirement.
    let mask = unsafe { poll(file, table) };
    let mut ready = 0;
    for (bits, flag) in [
        (READABLE, poll::READ),
        (WRITABLE, poll::WRITE),
        (kwasmi_bindings::KWASMI_CONST_EPOLLHUP, poll::HANGUP),
    ] {
        if mask & bits != 0 {
            ready |= flag;
        }
    }
    ready
}

/// Returns true if `open` is ready for one of `events` now.
pub(super) fn is_ready(open: &Open, events: u32) -> bool {
    // SAFETY: `poll_events` accepts a null table.
    let ready = unsafe { poll_events(open, ptr::null_mut()) };
    ready & events != 0
}

/// Waits until `open` is ready for one of `events`.
///
/// # Errors
///
/// `EINTR` if a signal is pending; `ENOMEM` if the wait queue entries cannot be allocated.
pub(super) fn wait(open: &Open, events: u32) -> Result {
    let is_ready = |table| {
        // SAFETY: `poll_events` requires null or an initialised table, which `wait_until` passes.
        let ready = unsafe { poll_events(open, table) };
        Ok(ready & events != 0)
    };
    wait_until(u64::MAX, is_ready).map(drop)
}

/// Waits until one of `entries` is ready, or until `deadline`, as [`wait_until`] does. Returns the
/// number of ready entries.
///
/// # Errors
///
/// `EINTR` if a signal is pending; `ENOMEM` if the wait queue entries cannot be allocated.
pub(super) fn poll(files: &Files, entries: &mut [PollEntry], deadline: u64) -> Result<u64> {
    wait_until(deadline, |table| {
        let mut table = table;
        let mut any = false;
        for entry in &mut *entries {
            match files.get(u64::from(entry.handle)) {
                Ok(open) => {
                    // SAFETY: `poll_events` requires null or an initialised table, which
                    // `wait_until` passes.
                    let ready = unsafe { poll_events(open, table) };
                    entry.revents = if ready & entry.events != 0 {
                        (ready & (entry.events | poll::HANGUP)) as i32
                    } else {
                        0
                    };
                    let wants_bytes =
                        entry.events & poll::BYTES != 0 && entry.revents as u32 & poll::READ != 0;
                    entry.bytes = if wants_bytes { readable_bytes(open) } else { 0 };
                }
                Err(error) => entry.revents = error.to_errno(),
            }
            if entry.revents != 0 {
                any = true;
                // The result is known: the rest is checked without joining wait queues.
                table = ptr::null_mut();
            }
        }
        Ok(any)
    })?;
    Ok(entries.iter().filter(|entry| entry.revents != 0).count() as u64)
}

/// Returns the number of bytes that can be read: up to the end of a regular file, else 1, as the
/// kernel does not report the number.
fn readable_bytes(open: &Open) -> u64 {
    // SAFETY: `stat_path` requires a referenced path; `open` holds a reference to the file, which
    // references its path.
    let Ok(stat) = (unsafe { super::files::stat_path(open.path()) }) else {
        return 1;
    };
    if stat.mode & bindings::S_IFMT != bindings::S_IFREG {
        return 1;
    }
    let position = open.seek(0, u64::from(bindings::SEEK_CUR)).unwrap_or(0);
    stat.size.saturating_sub(position)
}

/// Waits until `condition` returns true, or until the monotonic clock reaches `deadline`
/// nanoseconds. `u64::MAX` means no deadline; with 0, `condition` is called once. Returns the last
/// result of `condition`. The argument of `condition` is null if it must not join wait queues.
///
/// # Errors
///
/// `EINTR` if a signal is pending; `ENOMEM` if the wait queue entries cannot be allocated; errors
/// of `condition`.
fn wait_until(
    deadline: u64,
    mut condition: impl FnMut(*mut bindings::poll_table) -> Result<bool>,
) -> Result<bool> {
    if condition(ptr::null_mut())? {
        return Ok(true);
    }
    if deadline == 0 {
        return Ok(false);
    }
    // Wait queues link to this structure, so it must not move until `poll_freewait` removes it.
    let mut queues = MaybeUninit::<bindings::poll_wqueues>::zeroed();
    let queues = queues.as_mut_ptr();
    // SAFETY: `poll_initwait` requires room for a `poll_wqueues`, which `queues` points to.
    unsafe { bindings::poll_initwait(queues) };
    // SAFETY: `sleep` requires an initialised structure, and `poll_initwait` initialised this one.
    let result = unsafe { sleep(queues, deadline, &mut condition) };
    // SAFETY: `poll_freewait` requires an initialised structure. `poll_initwait` initialised it,
    // and it is not used afterwards.
    unsafe { bindings::poll_freewait(queues) };
    result
}

/// Waits as the loop of `do_poll` in `fs/select.c` does.
///
/// # Safety
///
/// `poll_initwait` must have initialised `queues`, which must be valid during the call.
unsafe fn sleep(
    queues: *mut bindings::poll_wqueues,
    deadline: u64,
    condition: &mut impl FnMut(*mut bindings::poll_table) -> Result<bool>,
) -> Result<bool> {
    // SAFETY: `queues` is valid by this function's safety requirement; this only computes the
    // address of a field.
    let mut table = unsafe { &raw mut (*queues).pt };
    // SAFETY: `triggered` is an aligned word of `queues`, which is valid by this function's safety
    // requirement. The wake
    // function stores it as one word.
    let triggered = unsafe { AtomicI32::from_ptr(&raw mut (*queues).triggered) };
    loop {
        if condition(table)? {
            return Ok(true);
        }
        // SAFETY: `queues` is initialised and valid by this function's safety requirement. Only
        // `condition` writes `error`, in this task.
        let error = unsafe { (*queues).error };
        kernel::error::to_result(error)?;
        // The first call of `condition` has joined the wait queues.
        table = ptr::null_mut();
        if !signal::sleep(deadline, SLACK, || triggered.load(Ordering::SeqCst) != 0)? {
            return condition(table);
        }
        // Cleared before the next call of `condition`: an event after that call sets it again.
        triggered.store(0, Ordering::SeqCst);
    }
}
