// SPDX-License-Identifier: GPL-2.0

//! Many operations in one host call, for guests of kwasmi: the functions of `kwasmi_batch_1`, which `docs/batch.md` describes.
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
//! A program that imports them runs in kwasmi only.

#![no_std]

use core::{
    cell::Cell,
    fmt,
    marker::PhantomData, //
};

/// A preview 1 `errno`, not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u16);

impl Errno {
    /// Nothing can be done without waiting.
    pub const AGAIN: Self = Self(6);
    /// No descriptor has this number.
    pub const BAD_FD: Self = Self(8);
    /// What was asked for makes no sense.
    pub const INVALID: Self = Self(28);
    /// Not done, because one before it failed; or not complete yet.
    pub const PENDING: Self = Self(u16::MAX);
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "preview 1 errno {}", self.0)
    }
}

impl core::error::Error for Errno {}

/// What an operation does, see `docs/batch.md`.
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

/// An operation, with its result when it is done.
///
/// The memory that it reads into stays borrowed as long as it is there. Memory that two operations use, one after the other, is
/// a slice of cells: [`Cell::as_slice_of_cells`].
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
    /// The program's own.
    pub user: u64,
    memory: PhantomData<&'a Cell<[u8]>>,
}

const _: () = assert!(size_of::<Op<'_>>() == 48, "as the host has it");

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

    /// Does nothing. For [`wait`] it takes no part until it is made another one.
    #[must_use]
    pub const fn nop() -> Self {
        Self { error: 0, ..Self::new(Kind::Nop, 0) }
    }

    /// Reads from the position of `fd`. Its result is the number of bytes.
    #[must_use]
    pub fn read(fd: u32, into: &'a mut [u8]) -> Self {
        Self::read_cells(fd, Cell::from_mut(into).as_slice_of_cells())
    }

    /// The same.
    #[must_use]
    pub fn read_cells(fd: u32, into: &'a [Cell<u8>]) -> Self {
        Self::with(parts(into), Kind::Read, fd)
    }

    /// Writes at the position of `fd`. Its result is the number of bytes.
    #[must_use]
    pub fn write(fd: u32, bytes: &'a [u8]) -> Self {
        Self::with(parts(bytes), Kind::Write, fd)
    }

    /// The same.
    #[must_use]
    pub fn write_cells(fd: u32, bytes: &'a [Cell<u8>]) -> Self {
        Self::with(parts(bytes), Kind::Write, fd)
    }

    /// Reads from `offset` of `fd`.
    #[must_use]
    pub fn read_at(fd: u32, offset: u64, into: &'a mut [u8]) -> Self {
        let into = Cell::from_mut(into).as_slice_of_cells();
        Self { offset, ..Self::with(parts(into), Kind::ReadAt, fd) }
    }

    /// Writes at `offset` of `fd`.
    #[must_use]
    pub fn write_at(fd: u32, offset: u64, bytes: &'a [u8]) -> Self {
        Self { offset, ..Self::with(parts(bytes), Kind::WriteAt, fd) }
    }

    /// Writes all of `bytes` to `fd`, and then reads what comes back. Its result is the number of bytes read.
    #[must_use]
    pub fn exchange(fd: u32, bytes: &'a [u8], into: &'a mut [u8]) -> Self {
        Self::exchange_cells(fd, &[], Cell::from_mut(into).as_slice_of_cells()).with_bytes(parts(bytes))
    }

    /// The same; both may be the same memory.
    #[must_use]
    pub fn exchange_cells(fd: u32, bytes: &'a [Cell<u8>], into: &'a [Cell<u8>]) -> Self {
        let (then, then_len) = parts(into);
        Self { then, then_len, ..Self::with(parts(bytes), Kind::Exchange, fd) }
    }

    fn with_bytes(self, (data, len): (u32, u32)) -> Self {
        Self { data, len, ..self }
    }

    /// Moves bytes from one descriptor to another: at most `max`, and with [`submit`] until there are no more, with [`wait`] as
    /// many as there are. Its result is their number.
    #[must_use]
    pub const fn copy(from: u32, to: u32, max: u64) -> Self {
        Self { offset: max, then: to, ..Self::new(Kind::Copy, from) }
    }

    /// Takes a connection, which has the preview 1 `fdflags`. For [`wait`] only. Its result is the new descriptor.
    #[must_use]
    pub const fn accept(fd: u32, fdflags: u16) -> Self {
        Self { offset: fdflags as u64, ..Self::new(Kind::Accept, fd) }
    }

    /// Closes `fd`.
    #[must_use]
    pub const fn close(fd: u32) -> Self {
        Self::new(Kind::Close, fd)
    }

    /// Reads until the memory is full or the file ends, or writes until all is written.
    #[must_use]
    pub const fn all(mut self) -> Self {
        self.flags |= ALL;
        self
    }

    /// As many bytes as the result of the operation before, if that are less. For [`submit`] only.
    #[must_use]
    pub const fn previous(mut self) -> Self {
        self.flags |= PREVIOUS;
        self
    }

    /// What follows it is done also if it fails or comes to the end of a file. For [`submit`] only.
    #[must_use]
    pub const fn go_on(mut self) -> Self {
        self.flags |= GO_ON;
        self
    }

    /// To be done, once more, by [`wait`].
    pub const fn arm(&mut self) {
        self.done = 0;
        self.error = Errno::PENDING.0;
    }

    /// How it ended: in bytes, or the new descriptor.
    ///
    /// # Errors
    ///
    /// Why it failed; [`Errno::PENDING`] if it is not done.
    pub const fn result(&self) -> Result<u64, Errno> {
        match self.error {
            0 => Ok(self.done),
            error => Err(Errno(error)),
        }
    }
}

/// Copies `bytes` to the start of `cells`; what there is no room for is left out.
#[allow(unsafe_code, reason = "cells are copied one by one otherwise")]
pub fn copy_to_cells(cells: &[Cell<u8>], bytes: &[u8]) {
    let len = cells.len().min(bytes.len());
    let to = cells.as_ptr().cast::<u8>().cast_mut();
    // SAFETY: There are as many cells and bytes. Cells may be changed through a shared reference, by the one thread that has
    // them, and `bytes`, which cannot change, are none of them.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, len) };
}

/// Copies the start of `cells` to `bytes`, as many as both have.
#[allow(unsafe_code, reason = "as above")]
pub fn copy_from_cells(bytes: &mut [u8], cells: &[Cell<u8>]) {
    let len = cells.len().min(bytes.len());
    // SAFETY: There are as many cells and bytes. Nobody changes cells meanwhile: only the one thread has them; and `bytes` are
    // none of them, as nobody else has those.
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

/// Elsewhere there is nobody to call.
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

/// Does `ops`, at most 1024, one after another; returns the number of those that it has come to. It ends after one that fails or
/// reads the end of a file, unless that has [`Op::go_on`].
///
/// # Errors
///
/// If nothing could be done. Each operation has its own [`Op::result`].
#[allow(unsafe_code, reason = "a function of the host")]
#[inline]
pub fn submit(ops: &mut [Op<'_>]) -> Result<usize, Errno> {
    let mut count = 0;
    let (address, number) = (ops.as_mut_ptr().cast(), parts(ops).1);
    // SAFETY: The operations are there and laid out as the host has them; what they name is borrowed by them.
    let errno = unsafe { raw::submit(address, number, &raw mut count) };
    checked(errno, count)
}

/// Does what can be done of those of `ops`, at most 1024, that are armed ([`Op::arm`]; new ones are), until at least one is complete or
/// `timeout` nanoseconds are over (`None`: never). Puts the indices of those that are complete into `completed`, and returns how
/// many they are.
///
/// # Errors
///
/// [`Errno::INVALID`] if none is armed and there is no time-out.
#[allow(unsafe_code, reason = "a function of the host")]
#[inline]
pub fn wait(ops: &mut [Op<'_>], timeout: Option<u64>, completed: &mut [u32]) -> Result<usize, Errno> {
    let mut count = 0;
    let (address, number) = (ops.as_mut_ptr().cast(), parts(ops).1);
    let (list, max) = (completed.as_mut_ptr(), parts(completed).1);
    let timeout = timeout.unwrap_or(u64::MAX);
    // SAFETY: The operations are there and laid out as the host has them, and so is the list; what they name is borrowed by them.
    let errno = unsafe { raw::wait(address, number, timeout, list, max, &raw mut count) };
    checked(errno, count)
}
