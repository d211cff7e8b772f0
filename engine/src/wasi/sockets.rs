// SPDX-License-Identifier: GPL-2.0

//! Preview 1 functions for sockets.

use super::{
    Done, Failure, WasiCtx,
    abi::{
        Errno,
        FdFlags,
        FileType,
        Rights,
        socket, //
    },
    fds::Descriptor,
    files::fdflags,
    memory::{
        Spans,
        slice_mut,
        write, //
    },
    paths::adopt,
};
use crate::{
    ffi::Limit,
    host::{
        End,
        Host, //
    },
};

/// Replaces the error of a socket function by [`Errno::NotSock`] if `fd` is not a socket.
fn of_socket<H: Host, T>(context: &mut WasiCtx<H>, fd: u32, result: Result<T, Failure>) -> Result<T, Failure> {
    match result {
        Err(Failure::Errno(Errno::NotCapable | Errno::Inval | Errno::Fault)) => match context.file_type(fd)? {
            FileType::SocketDgram | FileType::SocketStream => result,
            _ => Err(Errno::NotSock.into()),
        },
        result => result,
    }
}

/// Accepts a connection. The new descriptor has the inheriting rights of the listening socket.
pub(super) fn sock_accept<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    flags: u32,
    accepted: u32,
) -> Done {
    let result = fdflags(flags).and_then(|flags| slice_mut(memory, accepted, 4).map(|_| flags));
    let flags = of_socket(context, fd, result.map_err(Failure::from))?;
    let fd = accept(context, fd, flags, true)?;
    Ok(write(memory, accepted, &fd.to_le_bytes())?)
}

/// Accepts a connection from `fd` and returns the new descriptor, which has `flags`. If no
/// connection is pending, waits if `waits` is set, and fails with [`Errno::Again`] otherwise.
pub(super) fn accept<H: Host>(context: &mut WasiCtx<H>, fd: u32, flags: FdFlags, waits: bool) -> Result<u32, Failure> {
    let listening = context.fds.get_with(fd, Rights::SOCK_ACCEPT).map_err(Failure::from);
    let listening = of_socket(context, fd, listening)?;
    let fd = context.fds.vacant().ok_or(End::limited(Limit::Fds))?;
    let handle = context.host.accept(listening.handle, flags, waits)?;
    let rights = listening.inheriting;
    adopt(context, fd, Descriptor { handle, rights, inheriting: rights, refused: Rights::NONE, preopen: None })?;
    Ok(fd)
}

#[expect(clippy::too_many_arguments, reason = "the signature of preview 1")]
pub(super) fn sock_recv<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    data: u32,
    data_len: u32,
    flags: u32,
    received: u32,
    out_flags: u32,
) -> Done {
    let result = receive(context, memory, fd, (data, data_len), flags, (received, out_flags));
    of_socket(context, fd, result)
}

fn receive<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    (data, data_len): (u32, u32),
    flags: u32,
    (received, out_flags): (u32, u32),
) -> Done {
    let descriptor = context.fds.get_with(fd, Rights::FD_READ)?;
    let flags = u16::try_from(flags).map_err(|_| Errno::Inval)?;
    if u32::from(flags) & !(socket::RECV_PEEK | socket::RECV_WAITALL) != 0 {
        return Err(Errno::Inval.into());
    }
    let mut spans = Spans::new();
    spans.read(memory, data, data_len)?;
    slice_mut(memory, received, 4)?;
    slice_mut(memory, out_flags, 2)?;
    let message = context.host.receive(descriptor.handle, memory, spans.as_slice(), flags)?;
    context.count_moved(message.bytes);
    let bytes = u32::try_from(message.bytes.min(spans.bytes())).map_err(|_| Errno::Overflow)?;
    write(memory, received, &bytes.to_le_bytes())?;
    let flags = if message.is_truncated { socket::RECV_DATA_TRUNCATED } else { 0 };
    Ok(write(memory, out_flags, &flags.to_le_bytes())?)
}

pub(super) fn sock_send<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    data: u32,
    data_len: u32,
    flags: u32,
    sent: u32,
) -> Done {
    let result = send(context, memory, fd, (data, data_len), flags, sent);
    of_socket(context, fd, result)
}

fn send<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    (data, data_len): (u32, u32),
    flags: u32,
    sent: u32,
) -> Done {
    let descriptor = context.fds.get_with(fd, Rights::FD_WRITE)?;
    if flags != 0 {
        return Err(Errno::Inval.into());
    }
    let mut spans = Spans::new();
    spans.read(memory, data, data_len)?;
    slice_mut(memory, sent, 4)?;
    let bytes = context.host.send(descriptor.handle, memory, spans.as_slice())?;
    context.count_moved(bytes);
    let bytes = u32::try_from(bytes.min(spans.bytes())).map_err(|_| Errno::Overflow)?;
    Ok(write(memory, sent, &bytes.to_le_bytes())?)
}

pub(super) fn sock_shutdown<H: Host>(context: &mut WasiCtx<H>, _memory: &mut [u8], fd: u32, how: u32) -> Done {
    let descriptor = context.fds.get_with(fd, Rights::SOCK_SHUTDOWN).map_err(Failure::from).and_then(|descriptor| {
        let is_known = how != 0 && how & !(socket::SHUT_RD | socket::SHUT_WR) == 0;
        if is_known { Ok(descriptor) } else { Err(Errno::Inval.into()) }
    });
    let descriptor = of_socket(context, fd, descriptor)?;
    let how = u8::try_from(how).map_err(|_| Errno::Inval)?;
    Ok(context.host.shutdown(descriptor.handle, how)?)
}
