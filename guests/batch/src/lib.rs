// SPDX-License-Identifier: GPL-2.0

//! Runs many operations in one host call, for guests of kwasmi: safe wrappers of the host functions
//! `submit` and `wait` of `kwasmi_batch_1` (specification: `docs/batch.md`).
//!
//! ```no_run
//! use kwasmi_batch::{submit, Op};
//! # fn main() -> Result<(), kwasmi_batch::Errno> {
//! let mut answer = [0; 512];
//! let mut ops = [Op::write(4, b"question").all(), Op::read(3, &mut answer)];
//! submit(&mut ops)?;
//! let bytes = ops[1].result()?;
//! # Ok(())
//! # }
//! ```
//!
//! A program that imports these functions runs only in kwasmi. On targets other than Wasm,
//! [`submit`] and [`wait`] always fail with errno 52 (`nosys`).

#![no_std]

use core::{
    cell::Cell,
    fmt,
    marker::PhantomData, //
};

/// Preview 1 `errno`, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u16);

impl Errno {
    /// No progress is possible without waiting (`again`).
    pub const AGAIN: Self = Self(6);
    /// The descriptor number is not open (`badf`).
    pub const BAD_FD: Self = Self(8);
    /// An argument is invalid (`inval`).
    pub const INVALID: Self = Self(28);
    /// The operation was not attempted because an earlier one ended the batch, or [`wait`] has not
    /// completed it yet.
    pub const PENDING: Self = Self(u16::MAX);
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "preview 1 errno {}", self.0)
    }
}

impl core::error::Error for Errno {}

/// Kind of an operation, see `docs/batch.md`.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Kind {
    Nop = 0,
    Read = 1,
    Write = 2,
    ReadAt = 3,
    WriteAt = 4,
    Exchange = 5,
    Copy = 6,
    Accept = 7,
    Close = 8,
}

const ALL: u8 = 1 << 0;
const PREVIOUS: u8 = 1 << 1;
const GO_ON: u8 = 1 << 2;

/// One operation and, after it is done, its result.
///
/// The memory that an operation uses stays borrowed as long as the operation exists. For memory
/// that several operations share, use the `*_cells` functions, which take a slice of cells:
/// [`Cell::as_slice_of_cells`].
#[repr(C, align(8))]
pub struct Op<'a> {
    offset: u64,
    done: u64,
    fd: u32,
    kind: Kind,
    flags: u8,
    error: u16,
    data: u32,
    len: u32,
    then: u32,
    then_len: u32,
    /// Value for the program's own use. The host ignores it.
    pub user: u64,
    memory: PhantomData<&'a Cell<[u8]>>,
}

const _: () = assert!(size_of::<Op<'_>>() == 48, "the size that the host expects");

#[expect(clippy::cast_possible_truncation, reason = "addresses and lengths of a guest have 32 bits")]
fn parts<T>(slice: &[T]) -> (u32, u32) {
    (slice.as_ptr().expose_provenance() as u32, slice.len() as u32)
}

impl<'a> Op<'a> {
    const fn new(kind: Kind, fd: u32) -> Self {
        Self {
            offset: 0,
            done: 0,
            fd,
            kind,
            flags: 0,
            error: Errno::PENDING.0,
            data: 0,
            len: 0,
            then: 0,
            then_len: 0,
            user: 0,
            memory: PhantomData,
        }
    }

    fn with((data, len): (u32, u32), kind: Kind, fd: u32) -> Self {
        Self { data, len, ..Self::new(kind, fd) }
    }

    /// Does nothing. [`wait`] ignores it until [`Op::arm`] is called or it is replaced by another
    /// operation.
    #[must_use]
    pub const fn nop() -> Self {
        Self { error: 0, ..Self::new(Kind::Nop, 0) }
    }

    /// Reads into `into` from the current position of `fd`. The result is the number of bytes read.
    #[must_use]
    pub fn read(fd: u32, into: &'a mut [u8]) -> Self {
        Self::read_cells(fd, Cell::from_mut(into).as_slice_of_cells())
    }

    /// Like [`Op::read`], into a slice of cells.
    #[must_use]
    pub fn read_cells(fd: u32, into: &'a [Cell<u8>]) -> Self {
        Self::with(parts(into), Kind::Read, fd)
    }

    /// Writes `bytes` at the current position of `fd`. The result is the number of bytes written.
    #[must_use]
    pub fn write(fd: u32, bytes: &'a [u8]) -> Self {
        Self::with(parts(bytes), Kind::Write, fd)
    }

    /// Like [`Op::write`], from a slice of cells.
    #[must_use]
    pub fn write_cells(fd: u32, bytes: &'a [Cell<u8>]) -> Self {
        Self::with(parts(bytes), Kind::Write, fd)
    }

    /// Reads into `into` from byte `offset` of the file `fd`. The result is the number of bytes
    /// read.
    #[must_use]
    pub fn read_at(fd: u32, offset: u64, into: &'a mut [u8]) -> Self {
        let into = Cell::from_mut(into).as_slice_of_cells();
        Self { offset, ..Self::with(parts(into), Kind::ReadAt, fd) }
    }

    /// Writes `bytes` at byte `offset` of the file `fd`. The result is the number of bytes written.
    #[must_use]
    pub fn write_at(fd: u32, offset: u64, bytes: &'a [u8]) -> Self {
        Self { offset, ..Self::with(parts(bytes), Kind::WriteAt, fd) }
    }

    /// Writes all of `bytes` to `fd`, then reads an answer into `into`. The result is the number of
    /// bytes read, which is at most the length of `into`.
    #[must_use]
    pub fn exchange(fd: u32, bytes: &'a [u8], into: &'a mut [u8]) -> Self {
        Self::exchange_cells(fd, &[], Cell::from_mut(into).as_slice_of_cells()).with_bytes(parts(bytes))
    }

    /// Like [`Op::exchange`], with slices of cells. Both may refer to the same memory.
    #[must_use]
    pub fn exchange_cells(fd: u32, bytes: &'a [Cell<u8>], into: &'a [Cell<u8>]) -> Self {
        let (then, then_len) = parts(into);
        Self { then, then_len, ..Self::with(parts(bytes), Kind::Exchange, fd) }
    }

    fn with_bytes(self, (data, len): (u32, u32)) -> Self {
        Self { data, len, ..self }
    }

    /// Moves at most `max` bytes from one descriptor to another, without passing through the
    /// guest's memory. [`submit`] moves bytes until the end of the input, [`wait`] completes the
    /// operation once it has moved the bytes that are available. The result is the number of bytes
    /// moved.
    #[must_use]
    pub const fn copy(from: u32, to: u32, max: u64) -> Self {
        Self { offset: max, then: to, ..Self::new(Kind::Copy, from) }
    }

    /// Accepts a connection on the listening socket `fd` and gives it the preview 1 `fdflags`. The
    /// result is the new descriptor. For [`wait`] only.
    #[must_use]
    pub const fn accept(fd: u32, fdflags: u16) -> Self {
        Self { offset: fdflags as u64, ..Self::new(Kind::Accept, fd) }
    }

    /// Closes `fd`.
    #[must_use]
    pub const fn close(fd: u32) -> Self {
        Self::new(Kind::Close, fd)
    }

    /// Makes a read continue until the memory is full or the file ends, and a write until all bytes
    /// are written.
    #[must_use]
    pub const fn all(mut self) -> Self {
        self.flags |= ALL;
        self
    }

    /// Limits the length to the result of the preceding operation in the batch. For [`submit`]
    /// only.
    #[must_use]
    pub const fn previous(mut self) -> Self {
        self.flags |= PREVIOUS;
        self
    }

    /// Makes the batch continue after this operation even if it fails or reads the end of a file.
    /// For [`submit`] only.
    #[must_use]
    pub const fn go_on(mut self) -> Self {
        self.flags |= GO_ON;
        self
    }

    /// Marks the operation as pending, so that [`wait`] does it (again).
    pub const fn arm(&mut self) {
        self.done = 0;
        self.error = Errno::PENDING.0;
    }

    /// Returns the result: a number of bytes, or the new descriptor.
    ///
    /// # Errors
    ///
    /// [`Errno::PENDING`] if the operation is not done yet; else the error that the host has
    /// reported.
    pub const fn result(&self) -> Result<u64, Errno> {
        match self.error {
            0 => Ok(self.done),
            error => Err(Errno(error)),
        }
    }
}

/// Copies `bytes` to the start of `cells`. Bytes beyond the end of `cells` are not copied.
#[allow(unsafe_code, reason = "cells are copied one by one otherwise")]
pub fn copy_to_cells(cells: &[Cell<u8>], bytes: &[u8]) {
    let len = cells.len().min(bytes.len());
    let to = cells.as_ptr().cast::<u8>().cast_mut();
    // SAFETY: `bytes` and `cells` have at least `len` elements each, and a `Cell<u8>` has the
    // layout of a `u8`. Writing through a shared reference to a `Cell` is allowed, and no other
    // thread has access, since `Cell` is not `Sync`. The two do not overlap: safe code cannot hold
    // a `&[u8]` and cells for the same memory.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, len) };
}

/// Copies the start of `cells` to `bytes`, until either ends.
#[allow(unsafe_code, reason = "cells are copied one by one otherwise")]
pub fn copy_from_cells(bytes: &mut [u8], cells: &[Cell<u8>]) {
    let len = cells.len().min(bytes.len());
    // SAFETY: `bytes` and `cells` have at least `len` elements each, and a `Cell<u8>` has the
    // layout of a `u8`. No other thread changes the cells, since `Cell` is not `Sync`. The two do
    // not overlap: `bytes` is borrowed mutably.
    unsafe { core::ptr::copy_nonoverlapping(cells.as_ptr().cast::<u8>(), bytes.as_mut_ptr(), len) };
}

#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "functions of the host")]
mod raw {
    #[link(wasm_import_module = "kwasmi_batch_1")]
    unsafe extern "C" {
        pub(super) fn submit(ops: *mut u8, number: u32, ndone: *mut u32) -> u32;
        pub(super) fn wait(
            ops: *mut u8,
            number: u32,
            timeout: u64,
            completed: *mut u32,
            max: u32,
            ncompleted: *mut u32,
        ) -> u32;
    }
}

/// Replacements on targets other than Wasm, which have no host to call.
#[cfg(not(target_family = "wasm"))]
#[allow(unsafe_code, reason = "in the place of functions of the host")]
mod raw {
    const NOSYS: u32 = 52;

    pub(super) const unsafe fn submit(_ops: *mut u8, _number: u32, _ndone: *mut u32) -> u32 {
        NOSYS
    }

    pub(super) const unsafe fn wait(
        _ops: *mut u8,
        _number: u32,
        _timeout: u64,
        _completed: *mut u32,
        _max: u32,
        _ncompleted: *mut u32,
    ) -> u32 {
        NOSYS
    }
}

fn checked(errno: u32, count: u32) -> Result<usize, Errno> {
    match u16::try_from(errno) {
        Ok(0) => Ok(count as usize),
        Ok(errno) => Err(Errno(errno)),
        Err(_) => Err(Errno::INVALID),
    }
}

/// Does `ops`, at most 1024, one after another, and waits for each as long as necessary. Stops
/// after an operation that fails or reads the end of a file, unless it has [`Op::go_on`]. Returns
/// the number of operations done, including the one that it stopped after. Each has its own
/// [`Op::result`]; for those after that it is [`Errno::PENDING`].
///
/// # Errors
///
/// [`Errno::INVALID`] if there are more than 1024 operations.
#[allow(unsafe_code, reason = "a function of the host")]
#[inline]
pub fn submit(ops: &mut [Op<'_>]) -> Result<usize, Errno> {
    let mut count = 0;
    let (address, number) = (ops.as_mut_ptr().cast(), parts(ops).1);
    // SAFETY: `address` points to `number` operations with the host's layout (`repr(C)`, 48 bytes),
    // which this function borrows mutably, and `count` is writable. The memory that each operation
    // names is borrowed for the lifetime in its type, mutably or as cells if the host writes to it.
    let errno = unsafe { raw::submit(address, number, &raw mut count) };
    checked(errno, count)
}

/// Does the pending operations among `ops`, at most 1024: new ones and those after [`Op::arm`].
/// Returns when at least one is complete or `timeout` nanoseconds have passed (`None`: no time-out;
/// 0: without waiting). Puts the indices of the completed operations into `completed`, and returns
/// their number, which is 0 after a time-out.
///
/// # Errors
///
/// [`Errno::INVALID`] if `completed` is empty, if there are more than 1024 operations, or if none
/// is pending and there is no time-out.
#[allow(unsafe_code, reason = "a function of the host")]
#[inline]
pub fn wait(ops: &mut [Op<'_>], timeout: Option<u64>, completed: &mut [u32]) -> Result<usize, Errno> {
    let mut count = 0;
    let (address, number) = (ops.as_mut_ptr().cast(), parts(ops).1);
    let (list, max) = (completed.as_mut_ptr(), parts(completed).1);
    let timeout = timeout.unwrap_or(u64::MAX);
    // SAFETY: `address` points to `number` operations with the host's layout (`repr(C)`, 48 bytes),
    // `list` to `max` integers; this function borrows both mutably, and `count` is writable. The
    // memory that each operation names is borrowed for the lifetime in its type, mutably or as
    // cells if the host writes to it.
    let errno = unsafe { raw::wait(address, number, timeout, list, max, &raw mut count) };
    checked(errno, count)
}
