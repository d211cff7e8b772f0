// SPDX-License-Identifier: GPL-2.0

//! [`KernelHost`]: implements [`Host`] by host operations, which cross the border
//! ([`ffi`](crate::ffi)).

use crate::{
    border::{
        call_host,
        context, //
    },
    ffi::{
        Checkpoint,
        Context,
        HOST_INTERRUPTED,
        IoVec,
        Position, //
    },
    heap::{
        Account,
        AllocError, //
    },
    host::{
        At,
        End,
        Fail,
        Handle,
        Host,
        Pause,
        Received,
        Span, //
    },
    host_operations::{
        Border,
        Destination,
        HostOp,
        RawOperations,
        Source,
        Transfer,
        WORDS, //
    },
    wasi::abi::Errno,
};
use alloc::vec::Vec;
use core::slice;

/// Number of I/O vectors that need no allocation.
const INLINE_IOVECS: usize = 8;

/// The kernel, or a native program in its place.
pub(crate) struct KernelHost {
    context: *mut Context,
}

// SAFETY: `enter` sets the context at each entry into the engine. Only the task that entered uses
// it.
unsafe impl Send for KernelHost {}

// SAFETY: All methods that use the context take `&mut self`.
unsafe impl Sync for KernelHost {}

impl KernelHost {
    /// Returns a host that can be called until the engine is left.
    pub(crate) fn new() -> Self {
        Self { context: context() }
    }

    /// Makes the host callable until the engine is left, after another entry into the engine.
    pub(crate) fn enter(&mut self) {
        self.context = context();
    }
}

impl Border for KernelHost {
    type Error = Fail;

    #[inline(always)]
    unsafe fn call(&mut self, op: HostOp, words: [u64; WORDS]) -> Result<u64, Fail> {
        // SAFETY: The context is that of the current entry into the engine. The words are those of
        // `op` by the safety requirement of this function.
        let (status, value) = unsafe { call_host(self.context, op, words) };
        match status {
            0 => Ok(value),
            HOST_INTERRUPTED => Err(Fail::Interrupted),
            errno => Err(Fail::Errno(Errno::from_linux(errno.saturating_neg()))),
        }
    }
}

/// Calls `go` with an I/O vector for each of `spans`, which are offsets from `base`.
#[inline(always)]
fn with_vectors<T>(base: *mut u8, spans: &[Span], go: impl FnOnce(&[IoVec]) -> Result<T, Fail>) -> Result<T, Fail> {
    if let [span] = spans {
        return go(slice::from_ref(&vector(base, span)));
    }
    with_many_vectors(base, spans, go)
}

#[inline(never)]
fn with_many_vectors<T>(
    base: *mut u8,
    spans: &[Span],
    go: impl FnOnce(&[IoVec]) -> Result<T, Fail>,
) -> Result<T, Fail> {
    let mut inline = [IoVec { addr: base, len: 0 }; INLINE_IOVECS];
    let mut many = Vec::new();
    let vectors = match inline.get_mut(..spans.len()) {
        Some(some) => {
            for (place, span) in some.iter_mut().zip(spans) {
                *place = vector(base, span);
            }
            &*some
        }
        None => {
            many.try_reserve_exact(spans.len()).map_err(|_| Errno::NoMem)?;
            many.extend(spans.iter().map(|span| vector(base, span)));
            many.as_slice()
        }
    };
    go(vectors)
}

#[inline(always)]
fn vector(base: *mut u8, span: &Span) -> IoVec {
    IoVec { addr: base.wrapping_add(span.start), len: span.len }
}

#[inline(always)]
fn position(at: At) -> Position {
    match at {
        At::Position => Position::CURRENT,
        At::PositionNow => Position::CURRENT_NOW,
        At::Offset(offset) => Position(offset),
    }
}

impl Host for KernelHost {
    fn checkpoint(&mut self) -> Pause {
        if Account::current().is_some_and(Account::is_exhausted) {
            return Pause::End(self.refused_memory());
        }
        let checkpoint = RawOperations::checkpoint(self).unwrap_or(Checkpoint::Interrupt);
        match checkpoint.ending() {
            Some((ending, code)) => Pause::End(End { ending, code }),
            None if checkpoint == Checkpoint::Continue => Pause::Continue,
            None => Pause::Interrupt,
        }
    }

    fn refused_memory(&self) -> End {
        Account::current().map_or(AllocError::Memory, Account::alloc_error).end()
    }

    #[inline(always)]
    fn read(&mut self, handle: Handle, memory: &mut [u8], spans: &[Span], at: At) -> Result<usize, Fail> {
        with_vectors(memory.as_mut_ptr(), spans, |vectors| {
            // SAFETY: A `Span` is inside of the linear memory, which is mutably borrowed.
            let into = unsafe { Destination::new(vectors) };
            self.transfer(handle, Transfer::Read(into), position(at))
        })
    }

    #[inline(always)]
    fn write(&mut self, handle: Handle, memory: &[u8], spans: &[Span], at: At) -> Result<usize, Fail> {
        with_vectors(memory.as_ptr().cast_mut(), spans, |vectors| {
            // SAFETY: A `Span` is inside of the linear memory, which is borrowed.
            let from = unsafe { Source::new(vectors) };
            self.transfer(handle, Transfer::Write(from), position(at))
        })
    }

    fn splice(&mut self, from: Handle, to: Handle, len: usize) -> Result<Option<usize>, Fail> {
        match RawOperations::splice(self, from, to, len) {
            Err(Fail::Errno(Errno::NoSys)) => Ok(None),
            moved => moved.map(Some),
        }
    }

    fn receive(&mut self, handle: Handle, memory: &mut [u8], spans: &[Span], flags: u16) -> Result<Received, Fail> {
        with_vectors(memory.as_mut_ptr(), spans, |vectors| {
            // SAFETY: A `Span` is inside of the linear memory, which is mutably borrowed.
            let into = unsafe { Destination::new(vectors) };
            RawOperations::receive(self, handle, into, flags)
        })
    }

    fn send(&mut self, handle: Handle, memory: &[u8], spans: &[Span]) -> Result<usize, Fail> {
        with_vectors(memory.as_ptr().cast_mut(), spans, |vectors| {
            // SAFETY: A `Span` is inside of the linear memory, which is borrowed.
            let from = unsafe { Source::new(vectors) };
            RawOperations::send(self, handle, from)
        })
    }
}
