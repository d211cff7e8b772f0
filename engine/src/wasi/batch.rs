// SPDX-License-Identifier: GPL-2.0

//! `kwasmi_batch_1`: many operations in one host call. Described in `docs/batch.md`.
//!
//! An operation is a record of 48 bytes in the guest's memory, which also receives the result:
//!
//! | offset | type | field | contents |
//! |---|---|---|---|
//! | 0 | u64 | `offset` | file offset; for `copy` the maximum number of bytes; for `accept` the preview 1 `fdflags` |
//! | 8 | u64 | `done` | out: number of bytes, or the new descriptor |
//! | 16 | u32 | `fd` | descriptor |
//! | 20 | u8 | `kind` | see [`Kind`] |
//! | 21 | u8 | `flags` | [`ALL`], [`PREVIOUS`], [`GO_ON`] |
//! | 22 | u16 | `error` | out: preview 1 `errno`; [`PENDING`] if [`wait`] must perform the operation |
//! | 24 | u32 | `data` | address of the data |
//! | 28 | u32 | `len` | length of the data in bytes |
//! | 32 | u32 | `then` | for `exchange` the address of the answer; for `copy` the descriptor to write to |
//! | 36 | u32 | `then_len` | for `exchange` the room for the answer in bytes |
//! | 40 | u64 | `user` | not used by the host |
//!
//! The [`WasiCtx`] keeps the progress of an interrupted call. The call is repeated with the same
//! arguments and continues from there.

mod waiting;

pub(super) use self::waiting::wait;

use super::{
    CALL_FUEL, Done, Failure, Stop, WasiCtx,
    abi::{
        Errno,
        Rights, //
    },
    files::{
        close,
        fdflags, //
    },
    memory::{
        TRANSFER_MAX,
        after,
        read,
        slice_mut,
        span,
        write, //
    },
    sockets,
};
use crate::{
    ffi::{
        PollEntry,
        poll, //
    },
    host::{
        At,
        Fail,
        Handle,
        Host,
        Pause,
        Span, //
    },
};
use alloc::vec::Vec;

/// Size of an operation, in bytes.
const OP: u32 = 48;

/// Upper bound of the operations of one call.
const OPS_MAX: u32 = 1024;

/// Flag of reads and writes: continue until all bytes are moved or the file ends.
const ALL: u8 = 1 << 0;

/// Flag: limits the length to `done` of the previous operation.
const PREVIOUS: u8 = 1 << 1;

/// Flag: continue with the next operation if this one fails or reads the end of the file.
const GO_ON: u8 = 1 << 2;

/// Value of `error` for an operation that [`wait`] must perform or has not completed.
const PENDING: u16 = u16::MAX;

/// Size of the buffer of a copy, in bytes.
const COPY_BUFFER: usize = 64 * 1024;

/// Number of bytes that one [`Host::splice`] of a copy moves at most.
const SPLICE_MAX: usize = 256 * 1024;

/// Number of operations after which a checkpoint is due.
const OPERATIONS_PER_CHECK: u32 = 64;

/// Number of bytes after which a checkpoint is due.
const BYTES_PER_CHECK: usize = 1024 * 1024;

/// Kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Does nothing.
    Nop = 0,
    /// Reads into `data` at the file position.
    Read = 1,
    /// Writes `data` at the file position.
    Write = 2,
    /// Reads into `data` at `offset`.
    ReadAt = 3,
    /// Writes `data` at `offset`.
    WriteAt = 4,
    /// Writes all of `data`, then waits for an answer and reads it into `then`.
    Exchange = 5,
    /// Moves at most `offset` bytes from `fd` to the descriptor `then`, until `fd` ends.
    Copy = 6,
    /// Accepts a connection. Only [`wait`] performs it.
    Accept = 7,
    /// Closes `fd`.
    Close = 8,
}

impl Kind {
    fn from_raw(raw: u8) -> Result<Self, Errno> {
        Ok(match raw {
            0 => Self::Nop,
            1 => Self::Read,
            2 => Self::Write,
            3 => Self::ReadAt,
            4 => Self::WriteAt,
            5 => Self::Exchange,
            6 => Self::Copy,
            7 => Self::Accept,
            8 => Self::Close,
            _ => return Err(Errno::Inval),
        })
    }
}

/// Operation. Its kind and its flags are checked when the operation is performed.
#[derive(Clone, Copy, Debug)]
struct Op {
    place: u32,
    offset: u64,
    /// Progress in bytes, or the new descriptor.
    done: u64,
    fd: u32,
    kind: u8,
    flags: u8,
    error: u16,
    data: u32,
    len: u32,
    then: u32,
    then_len: u32,
}

impl Op {
    /// Reads operation `index` of the array at `ops`.
    #[inline(always)]
    fn read(memory: &[u8], ops: u32, index: u32) -> Result<Self, Errno> {
        let place = after(ops, index.checked_mul(OP).ok_or(Errno::Fault)?)?;
        let bytes = read::<{ OP as usize }>(memory, place)?;
        let half = |at| u16::from_le_bytes(part(&bytes, at));
        let word = |at| u32::from_le_bytes(part(&bytes, at));
        let long = |at| u64::from_le_bytes(part(&bytes, at));
        Ok(Self {
            place,
            offset: long(0),
            done: long(8),
            fd: word(16),
            kind: bytes[20],
            flags: bytes[21],
            error: half(22),
            data: word(24),
            len: word(28),
            then: word(32),
            then_len: word(36),
        })
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Writes the progress to the guest's memory.
    fn note_done(&self, memory: &mut [u8]) -> Result<(), Errno> {
        write(memory, after(self.place, 8)?, &self.done.to_le_bytes())
    }

    /// Writes the result to the guest's memory.
    fn finish(&self, memory: &mut [u8], error: Errno) -> Result<(), Errno> {
        let start = usize::try_from(self.place).map_err(|_| Errno::Fault)?;
        let bytes = memory.get_mut(start..).and_then(|rest| rest.first_chunk_mut::<{ OP as usize }>());
        let bytes = bytes.ok_or(Errno::Fault)?;
        bytes[8..16].copy_from_slice(&self.done.to_le_bytes());
        bytes[22..24].copy_from_slice(&(error as u16).to_le_bytes());
        Ok(())
    }

    /// Returns true if the operation is a read or write at the file position that has moved
    /// nothing, and its flags are known.
    #[inline(always)]
    fn is_new_transfer(&self) -> bool {
        let is_transfer = self.kind == Kind::Read as u8 || self.kind == Kind::Write as u8;
        is_transfer && self.flags & !(ALL | PREVIOUS | GO_ON) == 0 && self.done == 0
    }

    /// Returns true if the operation has read the end of a file.
    fn is_at_end(&self) -> bool {
        let wanted = match Kind::from_raw(self.kind) {
            Ok(Kind::Read | Kind::ReadAt) => self.len,
            Ok(Kind::Exchange) => self.then_len,
            _ => 0,
        };
        wanted > 0 && self.done == 0
    }
}

/// Returns `N` bytes at offset `at`, which must lie inside of `bytes`.
fn part<const N: usize>(bytes: &[u8; OP as usize], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

fn bytes(len: u32) -> u64 {
    u64::from(len)
}

fn size(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

/// Progress of an interrupted call.
#[derive(Clone, Copy, Debug, Default)]
struct Resume {
    /// Index of the interrupted operation.
    index: u32,
    /// Progress of that operation.
    done: u64,
    /// Number of operations that [`wait`] has completed.
    completed: u32,
}

/// State that is kept between calls.
#[derive(Debug, Default)]
pub(super) struct Batch {
    resume: Option<Resume>,
    copy: Copying,
    /// Buffers of [`wait`], kept to avoid allocations: the poll entries, and the index of the
    /// operation of each.
    entries: Vec<PollEntry>,
    waiting: Vec<u32>,
    /// Operations and bytes since the last checkpoint.
    operations: u32,
    bytes: usize,
}

/// Bytes that a copy has read but not written. They are written before more are read.
#[derive(Debug, Default)]
struct Copying {
    buffer: Vec<u8>,
    unwritten: Span,
}

impl Copying {
    /// Allocates the buffer on first use.
    fn prepare(&mut self) -> Result<(), Errno> {
        if self.buffer.is_empty() {
            self.buffer.try_reserve_exact(COPY_BUFFER).map_err(|_| Errno::NoMem)?;
            self.buffer.resize(COPY_BUFFER, 0);
        }
        Ok(())
    }
}

/// Counts an operation that moved `moved` bytes, and makes a checkpoint if one is due.
fn count<H: Host>(context: &mut WasiCtx<H>, moved: usize) -> Result<(), Failure> {
    context.fuel = context.fuel.wrapping_add(CALL_FUEL);
    context.charge(moved);
    let batch = &mut context.batch;
    batch.operations = batch.operations.saturating_add(1);
    batch.bytes = batch.bytes.saturating_add(moved);
    if batch.operations < OPERATIONS_PER_CHECK && batch.bytes < BYTES_PER_CHECK {
        return Ok(());
    }
    batch.operations = 0;
    batch.bytes = 0;
    context.check_fuel()?;
    match context.host.checkpoint() {
        Pause::Continue => Ok(()),
        Pause::Interrupt | Pause::End(_) => Err(Failure::Stop(Stop::Interrupted)),
    }
}

/// Returns the span after the first `done` of the `len` bytes at `pointer`.
fn rest(memory: &[u8], pointer: u32, len: u32, done: u64) -> Result<Span, Errno> {
    let all = span(memory, pointer, len)?;
    let done = size(done).min(all.len);
    Ok(Span {
        start: all.start.saturating_add(done),
        len: all.len.saturating_sub(done).min(TRANSFER_MAX), //
    })
}

/// Returns the file offset at which a positioned operation continues.
fn place(op: &Op) -> Result<At, Errno> {
    let at = op.offset.checked_add(op.done).filter(|at| i64::try_from(*at).is_ok());
    at.map(At::Offset).ok_or(Errno::Inval)
}

/// Continues `op` and updates its progress. If the operation would block, it waits, or fails with
/// [`Errno::Again`] if `now` is [`At::PositionNow`].
fn go_on<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], op: &mut Op, now: At) -> Done {
    let known = if now == At::PositionNow { ALL | GO_ON } else { ALL | PREVIOUS | GO_ON };
    if op.flags & !known != 0 {
        return Err(Errno::Inval.into());
    }
    match Kind::from_raw(op.kind)? {
        Kind::Nop => Ok(()),
        kind @ (Kind::Read | Kind::ReadAt | Kind::Write | Kind::WriteAt) => transfer(context, memory, op, kind, now),
        Kind::Exchange => exchange(context, memory, op, now),
        Kind::Copy => copy(context, op, now),
        Kind::Accept => accept(context, op, now),
        Kind::Close => {
            let descriptor = context.fds.remove(op.fd)?;
            close(context, descriptor.handle)
        }
    }
}

/// Performs a read or write of which [`Op::is_new_transfer`] is true, and waits for it. This is the
/// quick path of [`submit`]: mostly the first transfer moves all bytes.
#[inline(always)]
fn transfer_first<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], op: &mut Op) -> Done {
    let reads = op.kind == Kind::Read as u8;
    let (rights, of_directory) = if reads { (Rights::FD_READ, Errno::IsDir) } else { (Rights::FD_WRITE, Errno::BadF) };
    let handle = context.file(op.fd, rights, of_directory)?.handle;
    let span = rest(memory, op.data, op.len, 0)?;
    let moved = if reads {
        context.host.read(handle, memory, &[span], At::Position)
    } else {
        context.host.write(handle, memory, &[span], At::Position)
    }?;
    let moved = moved.min(span.len);
    op.done = moved as u64;
    count_bytes(context, moved)?;
    if moved == 0 || op.done >= bytes(op.len) || !op.has(ALL) {
        return Ok(());
    }
    count(context, 0)?;
    go_on(context, memory, op, At::Position)
}

/// Performs a read or a write.
fn transfer<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], op: &mut Op, kind: Kind, now: At) -> Done {
    let reads = matches!(kind, Kind::Read | Kind::ReadAt);
    let (of_direction, of_directory) =
        if reads { (Rights::FD_READ, Errno::IsDir) } else { (Rights::FD_WRITE, Errno::BadF) };
    let is_positioned = matches!(kind, Kind::ReadAt | Kind::WriteAt);
    let rights = if is_positioned { of_direction.with(Rights::FD_SEEK) } else { of_direction };
    let handle = context.file(op.fd, rights, of_directory)?.handle;
    loop {
        let spans = [rest(memory, op.data, op.len, op.done)?];
        let at = if is_positioned { place(op)? } else { now };
        let moved = if reads {
            context.host.read(handle, memory, &spans, at)
        } else {
            context.host.write(handle, memory, &spans, at)
        }?;
        let moved = moved.min(spans[0].len);
        op.done = op.done.saturating_add(moved as u64);
        if moved == 0 || op.done >= bytes(op.len) || !op.has(ALL) {
            return count_bytes(context, moved);
        }
        count(context, moved)?;
    }
}

/// Writes the data that is left, then waits for an answer. `done` counts written bytes until all
/// are written.
fn exchange<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], op: &mut Op, now: At) -> Done {
    // Nothing is written without room for an answer.
    let wanted = span(memory, op.then, op.then_len)?;
    if wanted.len == 0 {
        return Err(Errno::Inval.into());
    }
    let descriptor = context.fds.get_with(op.fd, Rights::FD_READ.with(Rights::FD_WRITE))?;
    let writes = op.done < bytes(op.len);
    while op.done < bytes(op.len) {
        let span = rest(memory, op.data, op.len, op.done)?;
        let moved = context.host.write(descriptor.handle, memory, &[span], now)?.min(span.len);
        if moved == 0 {
            return Err(Errno::Io.into());
        }
        op.done = op.done.saturating_add(moved as u64);
        count(context, moved)?;
    }
    if writes && now == At::PositionNow {
        // The answer is unlikely to be available yet, so `wait` polls for it.
        return Err(Errno::Again.into());
    }
    let span = Span { len: wanted.len.min(TRANSFER_MAX), ..wanted };
    let moved = context.host.read(descriptor.handle, memory, &[span], now)?.min(span.len);
    op.done = moved as u64;
    count_bytes(context, moved)
}

/// Performs a copy: with [`At::PositionNow`] until some bytes are moved, otherwise until `fd` ends.
fn copy<H: Host>(context: &mut WasiCtx<H>, op: &mut Op, now: At) -> Done {
    let from = context.file(op.fd, Rights::FD_READ, Errno::IsDir)?.handle;
    let to = context.file(op.then, Rights::FD_WRITE, Errno::BadF)?.handle;
    let mut copying = core::mem::take(&mut context.batch.copy);
    let result = copying.go_on(context, op, (from, to), now);
    if !matches!(result, Err(Failure::Stop(Stop::Interrupted))) {
        copying.unwritten = Span::default();
    }
    context.batch.copy = copying;
    result
}

impl Copying {
    /// Writes the bytes in the buffer and continues the copy.
    fn go_on<H: Host>(&mut self, context: &mut WasiCtx<H>, op: &mut Op, (from, to): (Handle, Handle), now: At) -> Done {
        let mut takes_buffer = false;
        loop {
            while self.unwritten.len > 0 {
                let moved = match context.host.write(to, &self.buffer, &[self.unwritten], At::Position) {
                    // Bytes that were read must not be lost, so the copy waits even if the guest
                    // does not want to.
                    Err(Fail::Errno(Errno::Again)) => {
                        let entry = PollEntry { handle: to.0, events: poll::WRITE, ..PollEntry::default() };
                        context.host.poll(&mut [entry], None)?;
                        count(context, 0)?;
                        continue;
                    }
                    moved => moved?.min(self.unwritten.len),
                };
                if moved == 0 {
                    return Err(Errno::Io.into());
                }
                self.unwritten.start = self.unwritten.start.saturating_add(moved);
                self.unwritten.len = self.unwritten.len.saturating_sub(moved);
                op.done = op.done.saturating_add(moved as u64);
                count(context, moved)?;
            }
            if op.done >= op.offset || (now == At::PositionNow && op.done > 0) {
                return Ok(());
            }
            let wanted = size(op.offset.saturating_sub(op.done));
            if !takes_buffer {
                let most = wanted.min(SPLICE_MAX);
                if let Some(moved) = context.host.splice(from, to, most)? {
                    if moved == 0 {
                        return Ok(());
                    }
                    let moved = moved.min(most);
                    op.done = op.done.saturating_add(moved as u64);
                    count(context, moved)?;
                    continue;
                }
                takes_buffer = true;
                self.prepare()?;
            }
            let span = Span { start: 0, len: wanted.min(self.buffer.len()) };
            let moved = context.host.read(from, &mut self.buffer, &[span], now)?.min(span.len);
            if moved == 0 {
                return Ok(());
            }
            self.unwritten = Span { start: 0, len: moved };
        }
    }
}

fn accept<H: Host>(context: &mut WasiCtx<H>, op: &mut Op, now: At) -> Done {
    // Only `wait` passes `PositionNow`. A manifest grants `submit` without the capability for
    // sockets.
    if now != At::PositionNow {
        return Err(Errno::NotSup.into());
    }
    let flags = fdflags(u32::try_from(op.offset).map_err(|_| Errno::Inval)?)?;
    op.done = u64::from(sockets::accept(context, op.fd, flags, false)?);
    Ok(())
}

/// Counts moved bytes. The calling loop counts the operation.
fn count_bytes<H>(context: &mut WasiCtx<H>, moved: usize) -> Done {
    context.batch.bytes = context.batch.bytes.saturating_add(moved);
    context.charge(moved);
    Ok(())
}

/// Checks that the operations at `ops` lie inside of memory.
fn check_ops(memory: &mut [u8], ops: u32, number: u32) -> Result<(), Errno> {
    if number > OPS_MAX {
        return Err(Errno::Inval);
    }
    slice_mut(memory, ops, number.checked_mul(OP).ok_or(Errno::Fault)?).map(drop)
}

/// Performs `number` operations at `ops` one after another, waiting for each, and writes the number
/// of performed operations to `ndone`. Stops after an operation without [`GO_ON`] that fails or
/// reads the end of a file.
pub(super) fn submit<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], ops: u32, number: u32, ndone: u32) -> Done {
    check_ops(memory, ops, number)?;
    slice_mut(memory, ndone, 4)?;
    let mut resume = context.batch.resume.take();
    let mut index = resume.map_or(0, |resume| resume.index);
    let mut previous = match index.checked_sub(1) {
        Some(before) => Op::read(memory, ops, before)?.done,
        None => 0,
    };
    while index < number {
        let mut op = Op::read(memory, ops, index)?;
        op.done = resume.take().map_or(0, |resume| resume.done);
        if op.has(PREVIOUS) {
            op.len = u32::try_from(previous).unwrap_or(u32::MAX).min(op.len);
        }
        let result = if op.is_new_transfer() {
            transfer_first(context, memory, &mut op)
        } else {
            go_on(context, memory, &mut op, At::Position)
        };
        let error = match result {
            Ok(()) => Errno::Success,
            Err(Failure::Errno(errno)) => errno,
            Err(stop @ Failure::Stop(_)) => {
                context.batch.resume = Some(Resume { index, done: op.done, completed: 0 });
                return Err(stop);
            }
        };
        op.finish(memory, error)?;
        previous = op.done;
        index = index.saturating_add(1);
        if !op.has(GO_ON) && (error != Errno::Success || op.is_at_end()) {
            break;
        }
        if let Err(stop) = count(context, 0) {
            context.batch.resume = Some(Resume { index, done: 0, completed: 0 });
            return Err(stop);
        }
    }
    Ok(write(memory, ndone, &index.to_le_bytes())?)
}
