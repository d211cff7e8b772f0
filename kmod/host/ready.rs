// SPDX-License-Identifier: GPL-2.0

//! Waits until files can be read or written.
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

/// When a file can be read without waiting.
const READABLE: bindings::__poll_t = kwasmi_bindings::KWASMI_CONST_EPOLLIN
    | kwasmi_bindings::KWASMI_CONST_EPOLLRDNORM
    | kwasmi_bindings::KWASMI_CONST_EPOLLERR
    | kwasmi_bindings::KWASMI_CONST_EPOLLHUP;

/// When it can be written.
const WRITABLE: bindings::__poll_t = kwasmi_bindings::KWASMI_CONST_EPOLLOUT
    | kwasmi_bindings::KWASMI_CONST_EPOLLWRNORM
    | kwasmi_bindings::KWASMI_CONST_EPOLLERR
    | kwasmi_bindings::KWASMI_CONST_EPOLLHUP;

/// How much later than asked for a wait may end, in nanoseconds: the kernel's own for select(2).
const SLACK: u64 = 50_000;

/// What a file is ready for, as [`PollEntry::ready`]; it wakes `table` later, if there is one. `vfs_poll`.
fn look(open: &Open, table: *mut bindings::poll_table) -> u32 {
    let file = open.as_ptr();
    // SAFETY: The file is referenced; its operations do not change.
    let poll = unsafe { (*(*file).f_op).poll };
    let Some(poll) = poll else {
        return poll::READ | poll::WRITE;
    };
    // SAFETY: The file is referenced, the table set up or null.
    let mask = unsafe { poll(file, table) };
    let mut ready = 0;
    for (bits, flag) in
        [(READABLE, poll::READ), (WRITABLE, poll::WRITE), (kwasmi_bindings::KWASMI_CONST_EPOLLHUP, poll::HANGUP)]
    {
        if mask & bits != 0 {
            ready |= flag;
        }
    }
    ready
}

/// Whether `open` is ready for one of `events` now.
pub(super) fn is_ready(open: &Open, events: u32) -> bool {
    look(open, ptr::null_mut()) & events != 0
}

/// Waits until `open` is ready for one of `events`.
///
/// # Errors
///
/// `EINTR`.
pub(super) fn wait(open: &Open, events: u32) -> Result {
    wait_until(u64::MAX, |table| Ok(look(open, table) & events != 0)).map(drop)
}

/// Waits until one of the `count` [`PollEntry`]s at `entries` is ready, or until `deadline`; returns how many are.
///
/// # Safety
///
/// They are there, and nobody else uses them.
pub(super) unsafe fn poll(files: &Files, entries: u64, count: u64, deadline: u64) -> Result<u64> {
    // SAFETY: The caller guarantees it.
    let entries = unsafe { core::slice::from_raw_parts_mut(entries as *mut PollEntry, usize::try_from(count)?) };
    wait_until(deadline, |table| {
        let mut table = table;
        let mut any = false;
        for entry in &mut *entries {
            match files.get(u64::from(entry.handle)) {
                Ok(open) => {
                    let ready = look(open, table);
                    entry.ready =
                        if ready & entry.events != 0 { (ready & (entry.events | poll::HANGUP)) as i32 } else { 0 };
                    let is_asked = entry.events & poll::BYTES != 0 && entry.ready as u32 & poll::READ != 0;
                    entry.bytes = if is_asked { readable_bytes(open) } else { 0 };
                }
                Err(error) => entry.ready = error.to_errno(),
            }
            if entry.ready != 0 {
                any = true;
                // Nobody will wait: the rest are only looked at.
                table = ptr::null_mut();
            }
        }
        Ok(any)
    })?;
    Ok(entries.iter().filter(|entry| entry.ready != 0).count() as u64)
}

/// The bytes that can be read: of a regular file those up to its end, else 1, as the kernel does not tell.
fn readable_bytes(open: &Open) -> u64 {
    // SAFETY: The path is the file's.
    let Ok(stat) = (unsafe { super::files::stat_path(open.path()) }) else {
        return 1;
    };
    if stat.mode & bindings::S_IFMT != bindings::S_IFREG {
        return 1;
    }
    let position = open.seek(0, u64::from(bindings::SEEK_CUR)).unwrap_or(0);
    stat.size.saturating_sub(position)
}

/// Waits until `look` says yes, or the monotonic clock shows `deadline` nanoseconds (`u64::MAX`: for ever; 0: it looks once);
/// whether it said yes. Its argument is null when nobody is to wake us.
///
/// # Errors
///
/// `EINTR`, `ENOMEM`, those of `look`.
fn wait_until(deadline: u64, mut look: impl FnMut(*mut bindings::poll_table) -> Result<bool>) -> Result<bool> {
    if look(ptr::null_mut())? {
        return Ok(true);
    }
    if deadline == 0 {
        return Ok(false);
    }
    // It is linked into wait queues, and does not move until it is taken out of them.
    let mut queues = MaybeUninit::<bindings::poll_wqueues>::zeroed();
    let queues = queues.as_mut_ptr();
    // SAFETY: There is room for one.
    unsafe { bindings::poll_initwait(queues) };
    let result = sleep(queues, deadline, &mut look);
    // SAFETY: It was initialised, and nobody uses it any more.
    unsafe { bindings::poll_freewait(queues) };
    result
}

/// The loop of `do_poll` in `fs/select.c`.
fn sleep(
    queues: *mut bindings::poll_wqueues,
    deadline: u64,
    look: &mut impl FnMut(*mut bindings::poll_table) -> Result<bool>,
) -> Result<bool> {
    // SAFETY: They are initialised.
    let mut table = unsafe { &raw mut (*queues).pt };
    // SAFETY: As above; whoever wakes us writes it as a whole.
    let triggered = unsafe { AtomicI32::from_ptr(&raw mut (*queues).triggered) };
    loop {
        if look(table)? {
            return Ok(true);
        }
        // SAFETY: They are initialised.
        let error = unsafe { (*queues).error };
        kernel::error::to_result(error)?;
        // One look has put us in the queues.
        table = ptr::null_mut();
        if !signal::sleep(deadline, SLACK, || triggered.load(Ordering::SeqCst) != 0)? {
            return look(table);
        }
        // Before the next look: what happens after it wakes us again.
        triggered.store(0, Ordering::SeqCst);
    }
}
