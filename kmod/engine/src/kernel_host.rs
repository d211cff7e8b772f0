// SPDX-License-Identifier: GPL-2.0

//! The [`Host`] on the other side of [`ffi`](crate::ffi).

use crate::{
    ffi::{
        self,
        AT_POSITION,
        AT_POSITION_NOW,
        Checkpoint,
        Context,
        FileStat,
        HOST_INTERRUPTED,
        HostOp,
        IoVec,
        Limit,
        OPENED_DIRECTORY,
        PollEntry,
        RECEIVED_TRUNCATED,
        Times, //
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
        Opened,
        Pause,
        Place,
        Received,
        Span, //
    },
    host_call::{
        call_host_from,
        context, //
    },
    wasi::abi::{
        Advice,
        ClockId,
        Errno,
        FdFlags,
        Whence, //
    },
};
use alloc::vec::Vec;
use core::ffi::CStr;

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
        // SAFETY: The caller guarantees it.
        unsafe { self.call_inline(op, args) }
    }

    /// # Safety
    ///
    /// As for [`KernelHost::call`].
    #[inline(always)]
    unsafe fn call_inline(&self, op: HostOp, args: [u64; 4]) -> Result<u64, Fail> {
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
    #[inline(always)]
    unsafe fn transfer(
        &self,
        op: HostOp,
        handle: Handle,
        base: *mut u8,
        spans: &[Span],
        last: u64,
    ) -> Result<u64, Fail> {
        if let [span] = spans {
            let iovec = IoVec { addr: base.wrapping_add(span.start), len: span.len };
            let args = [u64::from(handle.0), address(&raw const iovec), 1, last];
            // SAFETY: The vector lives until the call returns; the caller guarantees what it points to.
            return unsafe { self.call_inline(op, args) };
        }
        // SAFETY: The caller guarantees it.
        unsafe { self.transfer_many(op, handle, base, spans, last) }
    }

    /// # Safety
    ///
    /// As for [`KernelHost::transfer`].
    #[inline(never)]
    unsafe fn transfer_many(
        &self,
        op: HostOp,
        handle: Handle,
        base: *mut u8,
        spans: &[Span],
        last: u64,
    ) -> Result<u64, Fail> {
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
        let args = [u64::from(handle.0), address(iovecs.as_ptr()), iovecs.len() as u64, last];
        // SAFETY: The vectors live until the call returns; the caller guarantees what they point to.
        unsafe { self.call(op, args) }
    }

    /// A call about a place.
    ///
    /// # Safety
    ///
    /// Addresses among `more` are what `op` says.
    unsafe fn call_at(&self, op: HostOp, place: Place<'_>, more: [u64; 2]) -> Result<u64, Fail> {
        let place = ffi_place(place);
        let [b, c] = more;
        // SAFETY: The place and its path live until the call returns; the caller guarantees the rest.
        unsafe { self.call(op, [address(&raw const place), b, c, 0]) }
    }

    /// A call about a place, with nothing more.
    fn call_at_place(&self, op: HostOp, place: Place<'_>) -> Result<(), Fail> {
        // SAFETY: There are no more addresses.
        unsafe { self.call_at(op, place, [0; 2]) }.map(drop)
    }

    /// A call about two places.
    fn call_between(&self, op: HostOp, old: Place<'_>, new: Place<'_>) -> Result<(), Fail> {
        let (old, new) = (ffi_place(old), ffi_place(new));
        // SAFETY: The places and their paths live until the call returns.
        unsafe { self.call(op, [address(&raw const old), address(&raw const new), 0, 0]) }.map(drop)
    }

    /// A call whose arguments hold no addresses.
    fn call_numbers(&self, op: HostOp, args: [u64; 4]) -> Result<u64, Fail> {
        // SAFETY: There are no addresses among the arguments.
        unsafe { self.call(op, args) }
    }
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

fn ffi_place(place: Place<'_>) -> ffi::Place {
    ffi::Place { dir: place.dir.0, follow: place.follow.into(), path: place.path.as_ptr() }
}

/// Where to read or write, as the host has it.
fn position(at: At) -> u64 {
    match at {
        At::Position => AT_POSITION,
        At::PositionNow => AT_POSITION_NOW,
        At::Offset(offset) => offset,
    }
}

/// A number of bytes.
fn count(value: u64) -> Result<usize, Fail> {
    usize::try_from(value).map_err(|_| Fail::Errno(Errno::Overflow))
}

/// A handle.
fn handle(value: u64) -> Result<Handle, Fail> {
    u32::try_from(value).map(Handle).map_err(|_| Fail::Errno(Errno::Overflow))
}

impl Host for KernelHost {
    fn checkpoint(&mut self) -> Pause {
        if Account::current().is_some_and(Account::is_exhausted) {
            return Pause::End(self.refused_memory());
        }
        match self.call_numbers(HostOp::Checkpoint, [0; 4]).map(Checkpoint::from_raw) {
            Ok(Checkpoint::Continue) => Pause::Continue,
            Ok(Checkpoint::Killed) => Pause::End(End::KILLED),
            Ok(Checkpoint::BrokenPipe) => Pause::End(End::BROKEN_PIPE),
            Ok(Checkpoint::Time) => Pause::End(End::limited(Limit::Time)),
            Ok(Checkpoint::CpuTime) => Pause::End(End::limited(Limit::CpuTime)),
            Ok(Checkpoint::Interrupt) | Err(_) => Pause::Interrupt,
        }
    }

    fn refused_memory(&self) -> End {
        Account::current().map_or(Lack::Memory, Account::lack).end()
    }

    #[inline(always)]
    fn read(&mut self, handle: Handle, memory: &mut [u8], spans: &[Span], at: At) -> Result<usize, Fail> {
        // SAFETY: Spans are inside of the linear memory, which is this function's alone.
        unsafe { self.transfer(HostOp::Read, handle, memory.as_mut_ptr(), spans, position(at)) }.and_then(count)
    }

    #[inline(always)]
    fn write(&mut self, handle: Handle, memory: &[u8], spans: &[Span], at: At) -> Result<usize, Fail> {
        // SAFETY: Spans are inside of the linear memory, and the host only reads it.
        unsafe { self.transfer(HostOp::Write, handle, memory.as_ptr().cast_mut(), spans, position(at)) }.and_then(count)
    }

    fn splice(&mut self, from: Handle, to: Handle, len: usize) -> Result<Option<usize>, Fail> {
        match self.call_numbers(HostOp::Splice, [u64::from(from.0), u64::from(to.0), len as u64, 0]) {
            Err(Fail::Errno(Errno::NoSys)) => Ok(None),
            moved => moved.and_then(count).map(Some),
        }
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
        let args = [u64::from(handle.0), address(&raw mut stat), 0, 0];
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
        let args = [address(bytes.as_mut_ptr()), bytes.len() as u64, 0, 0];
        // SAFETY: The arguments are address and length of a slice.
        unsafe { self.call(HostOp::Random, args) }.map(drop)
    }

    fn yield_now(&mut self) {
        // Nothing to tell: yielding cannot fail.
        let _ = self.call_numbers(HostOp::Yield, [0; 4]);
    }

    fn open(&mut self, place: Place<'_>, how: u64, flags: FdFlags) -> Result<Opened, Fail> {
        // SAFETY: The other arguments are numbers.
        let value = unsafe { self.call_at(HostOp::Open, place, [how, u64::from(flags.bits())]) }?;
        Ok(Opened { handle: handle(value & !OPENED_DIRECTORY)?, is_directory: value & OPENED_DIRECTORY != 0 })
    }

    fn stat_at(&mut self, place: Place<'_>) -> Result<FileStat, Fail> {
        let mut stat = FileStat::default();
        // SAFETY: The second argument is the address of a `FileStat`.
        unsafe { self.call_at(HostOp::StatAt, place, [address(&raw mut stat), 0]) }?;
        Ok(stat)
    }

    fn set_times(&mut self, handle: Handle, times: Times) -> Result<(), Fail> {
        // SAFETY: The second argument is the address of `Times`.
        unsafe { self.call(HostOp::SetTimes, [u64::from(handle.0), address(&raw const times), 0, 0]) }.map(drop)
    }

    fn set_times_at(&mut self, place: Place<'_>, times: Times) -> Result<(), Fail> {
        // SAFETY: The second argument is the address of `Times`.
        unsafe { self.call_at(HostOp::SetTimesAt, place, [address(&raw const times), 0]) }.map(drop)
    }

    fn create_directory(&mut self, place: Place<'_>) -> Result<(), Fail> {
        self.call_at_place(HostOp::CreateDirectory, place)
    }

    fn remove_directory(&mut self, place: Place<'_>) -> Result<(), Fail> {
        self.call_at_place(HostOp::RemoveDirectory, place)
    }

    fn unlink(&mut self, place: Place<'_>) -> Result<(), Fail> {
        self.call_at_place(HostOp::Unlink, place)
    }

    fn symlink(&mut self, target: &CStr, place: Place<'_>) -> Result<(), Fail> {
        // SAFETY: The second argument is the address of a text that has a NUL at its end.
        unsafe { self.call_at(HostOp::Symlink, place, [address(target.as_ptr()), 0]) }.map(drop)
    }

    fn link(&mut self, old: Place<'_>, new: Place<'_>) -> Result<(), Fail> {
        self.call_between(HostOp::Link, old, new)
    }

    fn rename(&mut self, old: Place<'_>, new: Place<'_>) -> Result<(), Fail> {
        self.call_between(HostOp::Rename, old, new)
    }

    fn read_link(&mut self, place: Place<'_>, text: &mut [u8]) -> Result<usize, Fail> {
        let more = [address(text.as_mut_ptr()), text.len() as u64];
        // SAFETY: The other arguments are address and length of a slice.
        unsafe { self.call_at(HostOp::ReadLink, place, more) }.and_then(count)
    }

    fn read_directory(&mut self, handle: Handle, entries: &mut [u8], cookie: u64) -> Result<usize, Fail> {
        let args = [u64::from(handle.0), address(entries.as_mut_ptr()), entries.len() as u64, cookie];
        // SAFETY: The second and third argument are address and length of a slice.
        unsafe { self.call(HostOp::ReadDirectory, args) }.and_then(count)
    }

    fn advise(&mut self, handle: Handle, offset: u64, len: u64, advice: Advice) -> Result<(), Fail> {
        self.call_numbers(HostOp::Advise, [u64::from(handle.0), offset, len, advice as u64]).map(drop)
    }

    fn allocate(&mut self, handle: Handle, offset: u64, len: u64) -> Result<(), Fail> {
        self.call_numbers(HostOp::Allocate, [u64::from(handle.0), offset, len, 0]).map(drop)
    }

    fn set_size(&mut self, handle: Handle, size: u64) -> Result<(), Fail> {
        self.call_numbers(HostOp::SetSize, [u64::from(handle.0), size, 0, 0]).map(drop)
    }

    fn sync(&mut self, handle: Handle, data_only: bool) -> Result<(), Fail> {
        self.call_numbers(HostOp::Sync, [u64::from(handle.0), data_only.into(), 0, 0]).map(drop)
    }

    fn poll(&mut self, entries: &mut [PollEntry], deadline: Option<u64>) -> Result<usize, Fail> {
        let args = [address(entries.as_mut_ptr()), entries.len() as u64, deadline.unwrap_or(u64::MAX), 0];
        // SAFETY: The first two arguments are address and length of a slice.
        unsafe { self.call(HostOp::Poll, args) }.and_then(count)
    }

    fn accept(&mut self, socket: Handle, flags: FdFlags, waits: bool) -> Result<Handle, Fail> {
        let args = [u64::from(socket.0), u64::from(flags.bits()), u64::from(!waits), 0];
        self.call_numbers(HostOp::Accept, args).and_then(handle)
    }

    fn receive(&mut self, handle: Handle, memory: &mut [u8], spans: &[Span], flags: u16) -> Result<Received, Fail> {
        // SAFETY: Spans are inside of the linear memory, which is this function's alone.
        let value = unsafe { self.transfer(HostOp::Receive, handle, memory.as_mut_ptr(), spans, u64::from(flags)) }?;
        let bytes = count(value & !RECEIVED_TRUNCATED)?;
        Ok(Received { bytes, is_truncated: value & RECEIVED_TRUNCATED != 0 })
    }

    fn send(&mut self, handle: Handle, memory: &[u8], spans: &[Span]) -> Result<usize, Fail> {
        // SAFETY: Spans are inside of the linear memory, and the host only reads it.
        unsafe { self.transfer(HostOp::Send, handle, memory.as_ptr().cast_mut(), spans, 0) }.and_then(count)
    }

    fn shutdown(&mut self, handle: Handle, how: u8) -> Result<(), Fail> {
        self.call_numbers(HostOp::Shutdown, [u64::from(handle.0), u64::from(how), 0, 0]).map(drop)
    }
}
