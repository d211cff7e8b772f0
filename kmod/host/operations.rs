// SPDX-License-Identifier: GPL-2.0

//! The host operations of the kernel. All of them run on the stack of the task.

use super::{
    clock,
    directory,
    engine_memory,
    files::{
        self,
        Files,
        Open, //
    },
    readiness,
    signal,
    sockets,
    splice,
    ticker::Ticker,
    transfer::Direction,
    Host, //
};
use crate::{
    ffi::{
        Checkpoint,
        FileStat,
        Handle,
        HostCall,
        Opened,
        PollEntry,
        Position,
        Received,
        Times,
        HOST_INTERRUPTED, //
    },
    host_operations::{
        dispatch,
        Allocated,
        Block,
        CallError,
        Destination,
        HostOp,
        Operations,
        RawOperations,
        RelativePath,
        Source,
        Ticks,
        Transfer,
        Uncompiled,
        WORDS, //
    },
    jit::Programs,
    preview1::{
        Advice,
        ClockId,
        FdFlags,
        Whence, //
    },
    trace::{
        self,
        InstanceNumber, //
    },
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::{
        code::{
            self,
            ENOBUFS,
            ENOTCONN, //
        },
        to_result, //
    },
    prelude::*,
    sync::Arc, //
};

/// Makes the host call `op`. The engine calls this function by way of `kwasmi_stack_leave`.
///
/// # Safety
///
/// - `call` must point to a call that nothing else uses, with the words that the engine's
///   `Border::call` made for `op`.
/// - [`HostCall::host`] must be null, or point to a [`Host`] that only this task uses.
#[no_mangle]
unsafe extern "C" fn kwasmi_host_entry(op: u32, call: *mut HostCall) -> i32 {
    // SAFETY: `call` is valid and not used otherwise by the safety requirement of this function.
    let call = unsafe { &mut *call };
    // SAFETY: The host is null or valid, and only this task uses it, by the safety requirement of
    // this function.
    let mut caller = Caller(unsafe { call.host.cast::<Host>().as_mut() });
    trace::host_operation(
        || {
            caller
                .0
                .as_ref()
                .map_or(InstanceNumber(0), |host| host.instance_number())
        },
        || HostOp::from_raw(op).map_or(c"unknown", HostOp::name),
    );
    let result = if op == HostOp::Transfer as u32 {
        // The most frequent operation has a path of its own, which takes less stack than the code
        // of all the others together.
        // SAFETY: The words are those of `op` by the safety requirement of this function.
        unsafe { dispatch(&mut caller, HostOp::Transfer, call.args) }
    } else {
        // SAFETY: The words are those of `op` by the safety requirement of this function.
        unsafe { dispatch_other(caller, op, call.args) }
    };
    match result {
        Ok(value) => {
            call.value = value;
            0
        }
        Err(error) => status(error),
    }
}

/// Makes the host call `op`, which is not [`HostOp::Transfer`].
///
/// # Safety
///
/// `words` must be those that the engine's `Border::call` made for `op`, and the call must not have
/// returned yet.
#[inline(never)]
unsafe fn dispatch_other(mut caller: Caller<'_>, op: u32, words: [u64; WORDS]) -> Result<u64> {
    match HostOp::from_raw(op) {
        // `kwasmi_host_entry` makes transfers, so their code is left out here.
        None | Some(HostOp::Transfer) => Err(ENOSYS),
        // SAFETY: `dispatch` requires the words of a call of `op` that has not returned, which
        // `words` are by the safety requirement of this function.
        Some(op) => unsafe { dispatch(&mut caller, op, words) },
    }
}

/// Returns the status of a call that fails with `error`. The errors by which the kernel reports a
/// signal become [`HOST_INTERRUPTED`]. A driver may return `EINTR` without a signal; that error is
/// for the guest.
#[cold]
fn status(error: Error) -> i32 {
    let restarts = [
        code::ERESTARTSYS,
        code::ERESTARTNOINTR,
        code::ERESTARTNOHAND,
        code::ERESTART_RESTARTBLOCK,
    ];
    if !restarts.contains(&error) && error != EINTR {
        return error.to_errno();
    }
    // `Lookups` and `Host::lost_reader` return this error without a signal.
    if kernel::current!().signal_pending() || error == ERESTARTNOINTR {
        HOST_INTERRUPTED
    } else {
        EINTR.to_errno()
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotSupported => EOPNOTSUPP,
            CallError::Malformed => EINVAL,
        }
    }
}

/// Implementor of the host operations: the host of the call. There is no host while the engine
/// frees objects; it then only frees memory and yields.
struct Caller<'a>(Option<&'a mut Host>);

impl Caller<'_> {
    /// Returns the host.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is none.
    #[inline]
    fn host(&mut self) -> Result<&mut Host> {
        self.0.as_deref_mut().ok_or(EINVAL)
    }

    fn files(&mut self) -> Result<&mut Files> {
        Ok(&mut self.host()?.files)
    }

    #[inline]
    fn file(&mut self, handle: Handle) -> Result<&Open> {
        self.host()?.files.get(handle.0.into())
    }
}

impl Operations for Caller<'_> {
    type Error = Error;

    fn yield_now(&mut self) -> Result {
        signal::yield_now();
        Ok(())
    }

    fn seek(&mut self, handle: Handle, offset: i64, whence: Whence) -> Result<u64> {
        self.file(handle)?.seek(offset, whence as u64)
    }

    fn close(&mut self, handle: Handle) -> Result {
        self.files()?.close(handle.0.into()).map(drop)
    }

    fn stat(&mut self, handle: Handle) -> Result<FileStat> {
        self.file(handle)?.stat()
    }

    fn set_flags(&mut self, handle: Handle, flags: FdFlags) -> Result {
        self.files()?
            .set_flags(handle.0.into(), flags.bits().into())
            .map(drop)
    }

    fn clock_time(&mut self, clock: ClockId) -> Result<u64> {
        Ok(clock::time(clock))
    }

    fn clock_resolution(&mut self, clock: ClockId) -> Result<u64> {
        Ok(clock::resolution(clock))
    }

    fn sleep_until(&mut self, clock: ClockId, deadline: u64) -> Result {
        clock::sleep_until(clock, deadline)
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result {
        // SAFETY: The function has no requirements but that the task may sleep, which holds on its
        // own stack.
        to_result(unsafe { bindings::wait_for_random_bytes() })?;
        // SAFETY: `bytes` is valid for writes of its length.
        unsafe { bindings::get_random_bytes(bytes.as_mut_ptr().cast(), bytes.len()) };
        Ok(())
    }

    fn open(&mut self, place: RelativePath<'_>, how: u64, flags: FdFlags) -> Result<Opened> {
        let host = self.host()?;
        let opened = host.path(place)?.open(how, flags.bits().into())?;
        let is_directory = opened.kind() == bindings::S_IFDIR;
        Ok(Opened {
            handle: Handle(host.files.add(opened)?),
            is_directory,
        })
    }

    fn stat_at(&mut self, place: RelativePath<'_>) -> Result<FileStat> {
        self.host()?.path(place)?.stat()
    }

    fn set_times(&mut self, handle: Handle, times: &Times) -> Result {
        // SAFETY: The path is that of an open file, which keeps it referenced.
        unsafe { files::set_times(self.file(handle)?.path(), times) }.map(drop)
    }

    fn set_times_at(&mut self, place: RelativePath<'_>, times: &Times) -> Result {
        self.host()?.path(place)?.set_times(times).map(drop)
    }

    fn create_directory(&mut self, place: RelativePath<'_>) -> Result {
        self.host()?.path(place)?.create_directory().map(drop)
    }

    fn remove_directory(&mut self, place: RelativePath<'_>) -> Result {
        self.host()?.path(place)?.remove_directory().map(drop)
    }

    fn unlink(&mut self, place: RelativePath<'_>) -> Result {
        self.host()?.path(place)?.unlink().map(drop)
    }

    fn symlink(&mut self, target: &CStr, place: RelativePath<'_>) -> Result {
        self.host()?.path(place)?.symlink(target).map(drop)
    }

    fn link(&mut self, old: RelativePath<'_>, new: RelativePath<'_>) -> Result {
        let host = self.host()?;
        host.path(old)?.link(&host.path(new)?).map(drop)
    }

    fn rename(&mut self, old: RelativePath<'_>, new: RelativePath<'_>) -> Result {
        let host = self.host()?;
        host.path(old)?.rename(&host.path(new)?).map(drop)
    }

    fn read_link(&mut self, place: RelativePath<'_>, text: &mut [u8]) -> Result<usize> {
        length(self.host()?.path(place)?.read_link(text)?)
    }

    fn read_directory(&mut self, handle: Handle, entries: &mut [u8], cookie: u64) -> Result<usize> {
        let host = self.host()?;
        length(directory::read(
            host.files.get(handle.0.into())?,
            entries,
            cookie,
            host,
        )?)
    }

    fn advise(&mut self, handle: Handle, offset: u64, len: u64, advice: Advice) -> Result {
        self.file(handle)?
            .advise(offset, len, advice as u64)
            .map(drop)
    }

    fn allocate(&mut self, handle: Handle, offset: u64, len: u64) -> Result {
        self.file(handle)?.allocate(offset, len).map(drop)
    }

    fn set_size(&mut self, handle: Handle, size: u64) -> Result {
        self.file(handle)?.set_size(size).map(drop)
    }

    fn sync(&mut self, handle: Handle, data_only: bool) -> Result {
        self.file(handle)?.sync(data_only.into()).map(drop)
    }

    fn poll(&mut self, entries: &mut [PollEntry], deadline: Option<u64>) -> Result<usize> {
        length(readiness::poll(
            self.files()?,
            entries,
            deadline.unwrap_or(u64::MAX),
        )?)
    }

    fn accept(&mut self, handle: Handle, flags: FdFlags, waits: bool) -> Result<Handle> {
        let accepted = sockets::accept(self.file(handle)?, flags.bits().into(), !waits)?;
        self.files()?.add(accepted).map(Handle)
    }

    fn call_input(&mut self, offset: u64, bytes: &mut [u8]) -> Result<usize> {
        let host = self.host()?;
        match &host.call {
            Some(call) => Ok(call.read(usize::try_from(offset)?, bytes)),
            None if host.is_called => Ok(0),
            None => Err(ENOTCONN),
        }
    }

    fn call_output(&mut self, bytes: &[u8]) -> Result {
        let host = self.host()?;
        match &mut host.call {
            Some(call) => call.append(bytes),
            None if !host.is_called => Err(ENOTCONN),
            None if bytes.is_empty() => Ok(()),
            None => Err(ENOBUFS),
        }
    }

    fn shutdown(&mut self, handle: Handle, how: u8) -> Result {
        sockets::shutdown(self.file(handle)?, how.into()).map(drop)
    }
}

impl RawOperations for Caller<'_> {
    fn alloc(&mut self, size: usize, align: usize) -> Result<Allocated> {
        engine_memory::alloc(self.0.as_deref_mut(), size, align)
    }

    fn free(&mut self, block: Block) -> Result {
        engine_memory::free(self.0.as_deref_mut(), block);
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<Checkpoint> {
        Ok(self.host()?.checkpoint())
    }

    #[inline(always)]
    fn transfer(&mut self, handle: Handle, transfer: Transfer<'_>, at: Position) -> Result<usize> {
        let (parts, direction) = match transfer {
            Transfer::Read(into) => (into.parts(), Direction::Read),
            Transfer::Write(from) => (from.parts(), Direction::Write),
        };
        // SAFETY: The parts of a `Destination` are valid for writes, those of a `Source` for reads.
        match unsafe { self.file(handle)?.transfer(parts, at, direction) } {
            Ok(bytes) => length(bytes),
            Err(error) if direction == Direction::Write => {
                Err(self.host()?.lost_reader(handle, error))
            }
            Err(error) => Err(error),
        }
    }

    fn receive(&mut self, handle: Handle, into: Destination<'_>, flags: u16) -> Result<Received> {
        // SAFETY: The parts of a `Destination` are valid for writes.
        unsafe { sockets::receive(self.file(handle)?, into.parts(), flags.into()) }
    }

    fn send(&mut self, handle: Handle, from: Source<'_>) -> Result<usize> {
        // SAFETY: The parts of a `Source` are valid for reads.
        match unsafe { sockets::send(self.file(handle)?, from.parts(), false) } {
            Ok(bytes) => length(bytes),
            Err(error) => Err(self.host()?.lost_reader(handle, error)),
        }
    }

    fn splice(&mut self, from: Handle, to: Handle, len: usize) -> Result<usize> {
        let files = self.files()?;
        match splice::splice(
            files.get(from.0.into())?,
            files.get(to.0.into())?,
            len as u64,
        ) {
            Ok(bytes) => length(bytes),
            Err(error) => Err(self.host()?.lost_reader(to, error)),
        }
    }

    fn compile(&mut self, functions: Uncompiled<'_>) -> Result {
        let host = self.host()?;
        if host.programs.is_some() {
            return Err(EBUSY);
        }
        let programs = Arc::new(Programs::compile(functions)?, GFP_KERNEL_ACCOUNT)?;
        host.resident.add(programs.size());
        host.programs = Some(programs);
        Ok(())
    }

    fn tick(&mut self, ticks: Option<Ticks>) -> Result {
        let host = self.host()?;
        host.ticker = None;
        if let Some(ticks) = ticks {
            let words = ticks
                .into_parts()
                .map(|(word, value)| (word as usize, value));
            // SAFETY: `Ticker::start` requires words that live, and are accessed atomically, until
            // it is dropped. By the invariant of `Ticks` they do so until the next `tick`, or the
            // end of the engine entry unless a reactor is idle then, or the drop of the instance.
            // This function, `Host::end` and `Host::end_ticks` drop it there.
            host.ticker = Some(unsafe { Ticker::start(words) }?);
        }
        Ok(())
    }

    fn alloc_stack(&mut self, size: usize) -> Result<NonNull<u8>> {
        engine_memory::alloc_stack(self.host()?, size)
    }

    fn grow_memory(&mut self, index: u16, size: usize) -> Result<Allocated> {
        engine_memory::grow_memory(self.host()?, index, size)
    }
}

/// Returns `bytes` as a length in memory. The kernel is 64 bits wide, so the conversion does not
/// fail.
#[inline(always)]
fn length(bytes: u64) -> Result<usize> {
    Ok(usize::try_from(bytes)?)
}
