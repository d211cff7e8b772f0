// SPDX-License-Identifier: GPL-2.0

//! Socket operations of a guest: accept, receive, send, shutdown.
//!
//! C header: [`include/linux/net.h`](srctree/include/linux/net.h)

use super::{
    files::{
        linux_flags,
        Open, //
    },
    transfer::{
        iterator,
        Direction, //
    },
};
use crate::{
    ffi::{
        poll,
        IoVec,
        Received, //
    },
    preview1::{
        fdflags,
        socket as socket_flags, //
    },
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

/// Linux `MSG_*` flag of each preview 1 `riflags` bit.
const RECEIVE: [(u32, u32); 2] = [
    (socket_flags::RECV_PEEK, bindings::MSG_PEEK),
    (socket_flags::RECV_WAITALL, bindings::MSG_WAITALL),
];

/// Returns the socket behind a file. It is valid while `open` is.
///
/// # Errors
///
/// `ENOTSOCK` if the file is not a socket.
pub(super) fn socket(open: &Open) -> Result<NonNull<bindings::socket>> {
    // SAFETY: `sock_from_file` requires a valid file, to which `open` holds a reference.
    let socket = unsafe { bindings::sock_from_file(open.as_ptr()) };
    NonNull::new(socket).ok_or(ENOTSOCK)
}

/// Returns the type of a socket (`SOCK_*`), or 0 for any other file.
pub(super) fn kind(open: &Open) -> u32 {
    let Ok(socket) = socket(open) else {
        return 0;
    };
    // SAFETY: `open` holds a reference to the file, which keeps its socket. The type of a socket
    // does not change.
    let kind = unsafe { (*socket.as_ptr()).type_ };
    u32::try_from(kind).unwrap_or(0)
}

/// Returns true if a file is a Unix socket, which can hold other files in flight.
pub(super) fn is_unix(open: &Open) -> bool {
    let Ok(socket) = socket(open) else {
        return false;
    };
    // SAFETY: `open` holds a reference to the file, which keeps its socket. A socket with a file
    // has operations, which are static.
    let family = unsafe { (*(*socket.as_ptr()).ops).family };
    u32::try_from(family) == Ok(bindings::AF_UNIX)
}

/// Accepts a connection on a listening socket. The new file has the preview 1 `fdflags` `flags`.
///
/// # Errors
///
/// `EAGAIN` if the call would wait and `now` or `NONBLOCK` is set; `ENOTSOCK` if the file is not a
/// socket; `EINTR` if a signal is pending; errors of the protocol.
pub(super) fn accept(open: &Open, flags: u64, now: bool) -> Result<Open> {
    let flags = u32::try_from(flags)?;
    let socket = socket(open)?;
    let accepted = open.waiting(poll::READ, now, |nonblocking| {
        let how = if nonblocking || open.is_file_nonblocking() {
            bindings::O_NONBLOCK
        } else {
            0
        };
        let mut accepted = ptr::null_mut();
        // SAFETY: `kernel_accept` requires a valid socket, which the file behind `open` keeps, and
        // room for the new socket.
        to_result(unsafe {
            bindings::kernel_accept(socket.as_ptr(), &mut accepted, how as c_int)
        })?;
        Ok(accepted)
    })?;
    let how = linux_flags(flags & fdflags::NONBLOCK);
    // SAFETY: `sock_alloc_file` requires a socket without a file, which it takes over; it releases
    // the socket if it fails. `kernel_accept` returned a new socket. Null selects the default name.
    let file =
        from_err_ptr(unsafe { bindings::sock_alloc_file(accepted, how as c_int, ptr::null()) })?;
    // SAFETY: `Open::own` requires a reference that it may take over. `sock_alloc_file` returned a
    // new file with one reference.
    let mut open = unsafe { Open::own(NonNull::new(file).ok_or(EINVAL)?) };
    open.flags = flags;
    Ok(open)
}

/// Receives from a socket. `flags` are preview 1 `riflags`. Returns the number of bytes, and
/// whether the message was longer.
///
/// # Safety
///
/// `vectors` must be valid for [`Direction::Read`], as [`Open::transfer`] requires.
pub(super) unsafe fn receive(open: &Open, vectors: &[IoVec], flags: u32) -> Result<Received> {
    let socket = socket(open)?;
    let wanted = RECEIVE
        .iter()
        .filter(|(flag, _)| flags & flag != 0)
        .fold(0, |all, (_, linux)| all | linux);
    open.waiting(poll::READ, false, |nonblocking| {
        let how = if nonblocking {
            wanted | bindings::MSG_DONTWAIT
        } else {
            wanted
        };
        // SAFETY: `vectors` is valid for `Direction::Read` by this function's safety requirement,
        // and outlives the iterator.
        let iter = unsafe { iterator(vectors, Direction::Read) }?;
        let mut message = bindings::msghdr {
            msg_iter: iter,
            ..Default::default()
        };
        // SAFETY: `sock_recvmsg` requires a valid socket, which the file behind `open` keeps, and a
        // message with an initialised iterator, which `iterator` returned.
        let bytes = unsafe { bindings::sock_recvmsg(socket.as_ptr(), &mut message, how as c_int) };
        to_result(bytes)?;
        let is_truncated = message.msg_flags & bindings::MSG_TRUNC != 0;
        Ok(Received {
            bytes: bytes as usize,
            is_truncated,
        })
    })
}

/// Sends on a socket. Fails with `EAGAIN` if the call would wait and `now` or `NONBLOCK` is set. A
/// closed peer is an error and raises no signal, as a signal would hit the process, not the guest.
///
/// # Safety
///
/// `vectors` must be valid for [`Direction::Write`], as [`Open::transfer`] requires.
pub(super) unsafe fn send(open: &Open, vectors: &[IoVec], now: bool) -> Result<u64> {
    let socket = socket(open)?;
    open.waiting(poll::WRITE, now, |nonblocking| {
        // SAFETY: `vectors` is valid for `Direction::Write` by this function's safety requirement,
        // and outlives the iterator.
        let iter = unsafe { iterator(vectors, Direction::Write) }?;
        let mut msg_flags = bindings::MSG_NOSIGNAL;
        if nonblocking || open.is_file_nonblocking() {
            msg_flags |= bindings::MSG_DONTWAIT;
        }
        let mut message = bindings::msghdr {
            msg_iter: iter,
            msg_flags,
            ..Default::default()
        };
        // SAFETY: `sock_sendmsg` requires a valid socket, which the file behind `open` keeps, and a
        // message with an initialised iterator, which `iterator` returned.
        let bytes = unsafe { bindings::sock_sendmsg(socket.as_ptr(), &mut message) };
        to_result(bytes)?;
        Ok(bytes as u64)
    })
}

/// Shuts down a socket. `how` are preview 1 `sdflags`.
///
/// # Errors
///
/// `EINVAL` if `how` is not 1, 2 or 3; `ENOTSOCK` if the file is not a socket; errors of the
/// protocol.
pub(super) fn shutdown(open: &Open, how: u64) -> Result<u64> {
    let socket = socket(open)?;
    // Preview 1 counts receiving, sending and both from 1, Linux from 0.
    let how = match how {
        1..=3 => how - 1,
        _ => return Err(EINVAL),
    };
    // SAFETY: `kernel_sock_shutdown` requires a valid socket, which the file behind `open` keeps.
    to_result(unsafe {
        bindings::kernel_sock_shutdown(socket.as_ptr(), how as bindings::sock_shutdown_cmd)
    })?;
    Ok(0)
}
