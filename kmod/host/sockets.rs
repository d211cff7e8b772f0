// SPDX-License-Identifier: GPL-2.0

//! Sockets of a guest.
//!
//! C header: [`include/linux/net.h`](srctree/include/linux/net.h)

use super::{
    files::{
        fdflags,
        linux_flags,
        Open, //
    },
    transfer::{
        iterator,
        Direction, //
    },
};
use crate::ffi::{
    poll,
    RECEIVED_TRUNCATED, //
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*, //
};

/// Linux's `MSG_*` by preview 1 `riflags`.
const RECEIVE: [(u64, u32); 2] = [(1 << 0, bindings::MSG_PEEK), (1 << 1, bindings::MSG_WAITALL)];

/// The socket that a file is.
///
/// # Errors
///
/// `ENOTSOCK`.
pub(super) fn socket(open: &Open) -> Result<NonNull<bindings::socket>> {
    // SAFETY: The file is referenced.
    let socket = unsafe { bindings::sock_from_file(open.as_ptr()) };
    NonNull::new(socket).ok_or(ENOTSOCK)
}

/// The type of a socket (`SOCK_*`); 0 for another file.
pub(super) fn kind(open: &Open) -> u32 {
    let Ok(socket) = socket(open) else {
        return 0;
    };
    // SAFETY: The file keeps its socket.
    let kind = unsafe { (*socket.as_ptr()).type_ };
    u32::try_from(kind).unwrap_or(0)
}

/// Whether a file is a Unix socket, in which other files can be on their way.
pub(super) fn is_unix(open: &Open) -> bool {
    let Ok(socket) = socket(open) else {
        return false;
    };
    // SAFETY: The file keeps its socket; the operations of one that was given out are there.
    let family = unsafe { (*(*socket.as_ptr()).ops).family };
    u32::try_from(family) == Ok(bindings::AF_UNIX)
}

/// Takes a connection; it has the preview 1 `fdflags` `flags`. Does not wait for one if it is to be `now`.
pub(super) fn accept(open: &Open, flags: u64, now: bool) -> Result<Open> {
    let flags = u32::try_from(flags)?;
    let socket = socket(open)?;
    let accepted = open.waiting(poll::READ, now, |nonblocking| {
        let how = if nonblocking || open.is_file_nonblocking() { bindings::O_NONBLOCK } else { 0 };
        let mut accepted = ptr::null_mut();
        // SAFETY: The file keeps its socket; there is room for the new one.
        to_result(unsafe { bindings::kernel_accept(socket.as_ptr(), &mut accepted, how as c_int) })?;
        Ok(accepted)
    })?;
    let how = linux_flags(flags & fdflags::NONBLOCK);
    // SAFETY: The socket is new and has no file; it is released if it gets none.
    let file = from_err_ptr(unsafe { bindings::sock_alloc_file(accepted, how as c_int, ptr::null()) })?;
    // SAFETY: The file is new, and nobody else has it.
    let mut open = unsafe { Open::own(NonNull::new(file).ok_or(EINVAL)?) };
    open.flags = flags;
    Ok(open)
}

/// Receives; `flags` are preview 1 `riflags`.
///
/// # Safety
///
/// As for [`Open::transfer`].
pub(super) unsafe fn receive(open: &Open, vectors: (u64, u64), flags: u64) -> Result<u64> {
    let socket = socket(open)?;
    let wanted = RECEIVE.iter().filter(|(flag, _)| flags & flag != 0).fold(0, |all, (_, linux)| all | linux);
    open.waiting(poll::READ, false, |nonblocking| {
        let how = if nonblocking { wanted | bindings::MSG_DONTWAIT } else { wanted };
        // SAFETY: The caller guarantees it.
        let iter = unsafe { iterator(vectors, Direction::Read) }?;
        let mut message = bindings::msghdr { msg_iter: iter, ..Default::default() };
        // SAFETY: The file keeps its socket; the message is set up.
        let bytes = unsafe { bindings::sock_recvmsg(socket.as_ptr(), &mut message, how as c_int) };
        to_result(bytes)?;
        let truncated = if message.msg_flags & bindings::MSG_TRUNC != 0 { RECEIVED_TRUNCATED } else { 0 };
        Ok(bytes as u64 | truncated)
    })
}

/// Sends; does not wait if it is to be `now`. A peer that is gone is an error, not a signal: it is the guest that writes.
///
/// # Safety
///
/// As for [`Open::transfer`].
pub(super) unsafe fn send(open: &Open, vectors: (u64, u64), now: bool) -> Result<u64> {
    let socket = socket(open)?;
    open.waiting(poll::WRITE, now, |nonblocking| {
        // SAFETY: The caller guarantees it.
        let iter = unsafe { iterator(vectors, Direction::Write) }?;
        let mut msg_flags = bindings::MSG_NOSIGNAL;
        if nonblocking || open.is_file_nonblocking() {
            msg_flags |= bindings::MSG_DONTWAIT;
        }
        let mut message = bindings::msghdr { msg_iter: iter, msg_flags, ..Default::default() };
        // SAFETY: The file keeps its socket; the message is set up.
        let bytes = unsafe { bindings::sock_sendmsg(socket.as_ptr(), &mut message) };
        to_result(bytes)?;
        Ok(bytes as u64)
    })
}

/// Shuts down; `how` are preview 1 `sdflags`.
pub(super) fn shutdown(open: &Open, how: u64) -> Result<u64> {
    let socket = socket(open)?;
    // Receiving, sending, both: Linux counts from 0.
    let how = match how {
        1..=3 => how - 1,
        _ => return Err(EINVAL),
    };
    // SAFETY: The file keeps its socket.
    to_result(unsafe { bindings::kernel_sock_shutdown(socket.as_ptr(), how as bindings::sock_shutdown_cmd) })?;
    Ok(0)
}
