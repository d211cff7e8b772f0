// SPDX-License-Identifier: GPL-2.0

//! Sockets of a guest.

use super::{
    Result,
    files::Open, //
};
use crate::{
    ffi::{
        Received,
        poll, //
    },
    preview1::{
        fdflags,
        socket, //
    },
};
use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer,
        RecvFlags,
        ReturnFlags,
        SendAncillaryBuffer,
        SendFlags,
        Shutdown,
        SocketFlags, //
    },
};
use std::io::{
    IoSlice,
    IoSliceMut, //
};

/// Returns the type of a socket (`SOCK_*`), or 0 for another file.
pub(super) fn kind(open: &Open) -> u32 {
    rustix::net::sockopt::socket_type(open).map_or(0, |kind| kind.as_raw())
}

/// Accepts a connection with the preview 1 `fdflags` `flags`. Does not wait if `now` is set.
pub(super) fn accept(open: &Open, flags: u32, now: bool) -> Result<Open> {
    let mut how = SocketFlags::CLOEXEC;
    how.set(SocketFlags::NONBLOCK, flags & fdflags::NONBLOCK != 0);
    let accepted = open.waiting(poll::READ, now, |nonblocking| {
        if nonblocking && !super::readiness::is_ready(open, poll::READ)? {
            return Err(Errno::AGAIN);
        }
        rustix::net::accept_with(open, how)
    })?;
    let mut open = Open::new(accepted)?;
    open.flags = flags;
    Ok(open)
}

/// Receives with preview 1 `riflags` `flags`.
pub(super) fn receive(open: &Open, parts: &mut [IoSliceMut<'_>], flags: u32) -> Result<Received> {
    open.waiting(poll::READ, false, |nonblocking| {
        let mut how = RecvFlags::empty();
        how.set(RecvFlags::PEEK, flags & socket::RECV_PEEK != 0);
        how.set(RecvFlags::WAITALL, flags & socket::RECV_WAITALL != 0);
        how.set(RecvFlags::DONTWAIT, nonblocking);
        let message = rustix::net::recvmsg(open, parts, &mut RecvAncillaryBuffer::default(), how)?;
        Ok(Received { bytes: message.bytes, is_truncated: message.flags.contains(ReturnFlags::TRUNC) })
    })
}

/// Sends, and does not wait if `now` is set. A closed peer causes an error instead of SIGPIPE.
pub(super) fn send(open: &Open, parts: &[IoSlice<'_>], now: bool) -> Result {
    open.waiting(poll::WRITE, now, |nonblocking| {
        let mut how = SendFlags::NOSIGNAL;
        how.set(SendFlags::DONTWAIT, nonblocking);
        Ok(rustix::net::sendmsg(open, parts, &mut SendAncillaryBuffer::default(), how)? as u64)
    })
}

/// Shuts the socket down in the directions of the preview 1 `sdflags` `how`.
pub(super) fn shutdown(open: &Open, how: u64) -> Result {
    let how = match how {
        1 => Shutdown::Read,
        2 => Shutdown::Write,
        3 => Shutdown::Both,
        _ => return Err(Errno::INVAL),
    };
    rustix::net::shutdown(open, how).map(|()| 0)
}
