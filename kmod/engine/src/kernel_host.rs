// SPDX-License-Identifier: GPL-2.0

//! The [`Host`] on the other side of [`ffi`](crate::ffi).

use crate::{
    ffi::{
        AT_POSITION,
        Checkpoint,
        Context,
        FileStat,
        HOST_INTERRUPTED,
        HostOp,
        IoVec,
        Limit, //
    },
    heap::{
        Account,
        Lack, //
    },
    host::{
        At,
        End,
        Fail,
        Handle,
        Host,
        Pause,
        Span, //
    },
    host_call::{
        call_host_from,
        context, //
    },
    wasi::abi::{
        ClockId,
        Errno,
        FdFlags,
        Whence, //
    },
};
use alloc::vec::Vec;

/// I/O vectors that are made without an allocation.
const INLINE_IOVECS: usize = 8;

/// The kernel, or a native program that stands in for it.
pub(crate) struct KernelHost {
    context: *mut Context,
}

// SAFETY: The context is set anew by each stay in the engine, and used by the task that is in it only.
unsafe impl Send for KernelHost {}

// SAFETY: As above.
unsafe impl Sync for KernelHost {}

impl KernelHost {
    /// A host that can be called during the present stay in the engine.
    pub(crate) fn new() -> Self {
        Self { context: context() }
    }

    /// Makes it callable during the present stay in the engine.
    pub(crate) fn enter(&mut self) {
        self.context = context();
    }

    /// # Safety
    ///
    /// Addresses among `args` are what `op` says.
    unsafe fn call(&self, op: HostOp, args: [u64; 4]) -> Result<u64, Fail> {
        // SAFETY: The context is that of the present stay, and the caller guarantees the rest.
        let (status, value) = unsafe { call_host_from(self.context, op, args) };
        match status {
            0 => Ok(value),
            HOST_INTERRUPTED => Err(Fail::Interrupted),
            errno => Err(Fail::Errno(Errno::from_linux(errno.saturating_neg()))),
        }
    }

    /// # Safety
    ///
    /// `base` points to memory that all `spans` are inside of, and that may be used as `op` uses it.
    unsafe fn transfer(
        &self,
        op: HostOp,
        handle: Handle,
        base: *mut u8,
        spans: &[Span],
        at: At,
    ) -> Result<usize, Fail> {
        let iovec = |span: &Span| IoVec { addr: base.wrapping_add(span.start), len: span.len };
        let mut inline = [IoVec { addr: base, len: 0 }; INLINE_IOVECS];
        let mut many = Vec::new();
        let iovecs = match inline.get_mut(..spans.len()) {
            Some(some) => {
                for (place, span) in some.iter_mut().zip(spans) {
                    *place = iovec(span);
                }
                &*some
            }
            None => {
                many.try_reserve_exact(spans.len()).map_err(|_| Errno::NoMem)?;
                many.extend(spans.iter().map(iovec));
                many.as_slice()
            }
        };
        let at = match at {
            At::Position => AT_POSITION,
            At::Offset(offset) => offset,
        };
        let args = [u64::from(handle.0), iovecs.as_ptr().expose_provenance() as u64, iovecs.len() as u64, at];
        // SAFETY: The vectors live until the call returns; the caller guarantees what they point to.
        let bytes = unsafe { self.call(op, args) }?;
        usize::try_from(bytes).map_err(|_| Fail::Errno(Errno::Overflow))
    }

    /// A call whose arguments hold no addresses.
    fn call_numbers(&self, op: HostOp, args: [u64; 4]) -> Result<u64, Fail> {
        // SAFETY: There are no addresses among the arguments.
        unsafe { self.call(op, args) }
    }
}

impl Host for KernelHost {
    fn checkpoint(&mut self) -> Pause {
        if Account::current().is_some_and(Account::is_exhausted) {
            return Pause::End(self.refused_memory());
        }
        match self.call_numbers(HostOp::Checkpoint, [0; 4]).map(Checkpoint::from_raw) {
            Ok(Checkpoint::Continue) => Pause::Continue,
            Ok(Checkpoint::Killed) => Pause::End(End::KILLED),
            Ok(Checkpoint::Time) => Pause::End(End::limited(Limit::Time)),
            Ok(Checkpoint::CpuTime) => Pause::End(End::limited(Limit::CpuTime)),
            Ok(Checkpoint::Interrupt) | Err(_) => Pause::Interrupt,
        }
    }

    fn refused_memory(&self) -> End {
        Account::current().map_or(Lack::Memory, Account::lack).end()
    }

    fn read(&mut self, handle: Handle, memory: &mut [u8], spans: &[Span], at: At) -> Result<usize, Fail> {
        // SAFETY: Spans are inside of the linear memory, which is this function's alone.
        unsafe { self.transfer(HostOp::Read, handle, memory.as_mut_ptr(), spans, at) }
    }

    fn write(&mut self, handle: Handle, memory: &[u8], spans: &[Span], at: At) -> Result<usize, Fail> {
        // SAFETY: Spans are inside of the linear memory, and the host only reads it.
        unsafe { self.transfer(HostOp::Write, handle, memory.as_ptr().cast_mut(), spans, at) }
    }

    fn seek(&mut self, handle: Handle, offset: i64, whence: Whence) -> Result<u64, Fail> {
        let args = [u64::from(handle.0), offset.cast_unsigned(), whence as u64, 0];
        self.call_numbers(HostOp::Seek, args)
    }

    fn close(&mut self, handle: Handle) -> Result<(), Fail> {
        self.call_numbers(HostOp::Close, [u64::from(handle.0), 0, 0, 0]).map(drop)
    }

    fn stat(&mut self, handle: Handle) -> Result<FileStat, Fail> {
        let mut stat = FileStat::default();
        let args = [u64::from(handle.0), (&raw mut stat).expose_provenance() as u64, 0, 0];
        // SAFETY: The second argument is the address of a `FileStat`.
        unsafe { self.call(HostOp::Stat, args) }?;
        Ok(stat)
    }

    fn set_flags(&mut self, handle: Handle, flags: FdFlags) -> Result<(), Fail> {
        let args = [u64::from(handle.0), u64::from(flags.bits()), 0, 0];
        self.call_numbers(HostOp::SetFlags, args).map(drop)
    }

    fn clock_time(&mut self, clock: ClockId) -> Result<u64, Fail> {
        self.call_numbers(HostOp::ClockTime, [clock as u64, 0, 0, 0])
    }

    fn clock_resolution(&mut self, clock: ClockId) -> Result<u64, Fail> {
        self.call_numbers(HostOp::ClockResolution, [clock as u64, 0, 0, 0])
    }

    fn sleep_until(&mut self, clock: ClockId, deadline: u64) -> Result<(), Fail> {
        self.call_numbers(HostOp::SleepUntil, [clock as u64, deadline, 0, 0]).map(drop)
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), Fail> {
        let args = [bytes.as_mut_ptr().expose_provenance() as u64, bytes.len() as u64, 0, 0];
        // SAFETY: The arguments are address and length of a slice.
        unsafe { self.call(HostOp::Random, args) }.map(drop)
    }

    fn yield_now(&mut self) {
        // Nothing to tell: yielding cannot fail.
        let _ = self.call_numbers(HostOp::Yield, [0; 4]);
    }
}
