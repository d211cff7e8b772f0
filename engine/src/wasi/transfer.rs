// SPDX-License-Identifier: GPL-2.0

//! Preview 1 functions that read and write files.

use super::{
    Done, WasiCtx,
    abi::{
        Errno,
        Rights, //
    },
    memory::{
        Spans,
        first_span,
        slice_mut,
        write, //
    },
};
use crate::host::{
    At,
    Handle,
    Host,
    Span, //
};

/// Direction of a transfer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// From the file to the guest.
    In,
    /// From the guest to the file.
    Out,
}

/// Reads or writes a file, and writes the number of bytes to `done`.
#[inline(always)]
fn transfer<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    (direction, at): (Direction, At),
    fd: u32,
    (iovs, iovs_len): (u32, u32),
    done: u32,
) -> Done {
    let (of_direction, of_directory) =
        if direction == Direction::In { (Rights::FD_READ, Errno::IsDir) } else { (Rights::FD_WRITE, Errno::BadF) };
    let rights = if at == At::Position { of_direction } else { of_direction.with(Rights::FD_SEEK) };
    let handle = context.file(fd, rights, of_directory)?.handle;
    if iovs_len == 1 {
        let span = first_span(memory, iovs)?;
        return transfer_spans(context, memory, (direction, at), handle, &[span], done);
    }
    transfer_many(context, memory, (direction, at), handle, (iovs, iovs_len), done)
}

/// Performs a transfer with any number of `iovec`s other than 1.
#[inline(never)]
fn transfer_many<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    (direction, at): (Direction, At),
    handle: Handle,
    (iovs, iovs_len): (u32, u32),
    done: u32,
) -> Done {
    let mut spans = Spans::new();
    spans.read(memory, iovs, iovs_len)?;
    transfer_spans(context, memory, (direction, at), handle, spans.as_slice(), done)
}

#[inline(always)]
fn transfer_spans<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    (direction, at): (Direction, At),
    handle: Handle,
    spans: &[Span],
    done: u32,
) -> Done {
    slice_mut(memory, done, 4)?;
    let bytes = match direction {
        Direction::In => context.host.read(handle, memory, spans, at),
        Direction::Out => context.host.write(handle, memory, spans, at),
    }?;
    context.count_moved(bytes);
    let bytes = u32::try_from(bytes.min(spans.iter().map(|span| span.len).sum())).map_err(|_| Errno::Overflow)?;
    Ok(write(memory, done, &bytes.to_le_bytes())?)
}

/// Checks a file offset: it must not be negative as Linux's `loff_t`.
fn offset(offset: u64) -> Result<At, Errno> {
    i64::try_from(offset).map_err(|_| Errno::Inval)?;
    Ok(At::Offset(offset))
}

pub(super) fn fd_pread<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    at: u64,
    nread: u32,
) -> Done {
    transfer(context, memory, (Direction::In, offset(at)?), fd, (iovs, iovs_len), nread)
}

pub(super) fn fd_pwrite<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    at: u64,
    nwritten: u32,
) -> Done {
    transfer(context, memory, (Direction::Out, offset(at)?), fd, (iovs, iovs_len), nwritten)
}

pub(super) fn fd_read<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nread: u32,
) -> Done {
    transfer(context, memory, (Direction::In, At::Position), fd, (iovs, iovs_len), nread)
}

pub(super) fn fd_write<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nwritten: u32,
) -> Done {
    transfer(context, memory, (Direction::Out, At::Position), fd, (iovs, iovs_len), nwritten)
}
