// SPDX-License-Identifier: GPL-2.0

//! The host of an engine entry: what the host operations know of a guest. The operations are in
//! `operations.rs`.

mod alarm;
mod call_data;
mod clock;
pub(crate) mod credentials;
mod directory;
mod engine_memory;
mod files;
mod linear_memory;
mod locked_memory;
mod memory_cgroup;
mod operations;
mod paths;
mod readiness;
mod resident;
mod ring_memory;
mod runner;
pub(crate) mod signal;
mod sockets;
mod splice;
mod task_attributes;
mod ticker;
mod transfer;
mod usage;

pub(crate) use self::{
    call_data::CallData,
    files::{
        regular_file,
        Files, //
    },
    memory_cgroup::MemoryCgroup,
    resident::Resident,
    ring_memory::{
        Lent,
        RingMemory,
        BATCH_MAX, //
    },
    runner::Runner,
    task_attributes::TaskAttributes, //
};

use self::{
    paths::Lookups,
    ticker::Ticker, //
};

use crate::{
    ffi::{
        Checkpoint,
        Handle, //
    },
    host_operations::RelativePath,
    jit::Programs,
    limits::UNLIMITED,
    trace::InstanceNumber, //
};
use core::ptr;
use kernel::{
    bindings,
    prelude::*,
    sync::Arc,
    time::{
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// Number of allocations between two checkpoints.
const ALLOCATIONS_PER_CHECK: u32 = 16;

/// Size in bytes from which on an allocation has its own checkpoint.
const LARGE_ALLOCATION: usize = 64 * 1024;

/// State of the host operations while a module is loaded, or a guest is started or runs.
/// [`HostCall::host`] points to it.
pub(crate) struct Host {
    files: Files,
    /// The runner of the instance, whose address does not change; null before the first run, and
    /// while a module is loaded.
    pub(crate) runner: *const Runner,
    /// End of the time limit, if there is one.
    pub(crate) deadline: Option<Instant<Monotonic>>,
    /// Limit of the CPU time, in nanoseconds.
    pub(crate) cpu_max: u64,
    /// CPU time of earlier entries into the engine, in nanoseconds.
    cpu_used: u64,
    /// The task's CPU time at the start of the current entry, in nanoseconds.
    cpu_began: u64,
    allocations: u32,
    lookups: Lookups,
    /// Memory that the engine has allocated with this host.
    resident: Resident,
    /// Machine code that was compiled with this host.
    programs: Option<Arc<Programs>>,
    /// Stack of the compiled guest.
    guest_stack: Option<engine_memory::CountedStack>,
    /// Linear memories of the compiled guest.
    memories: KVec<engine_memory::CountedMemory>,
    /// Requests checkpoints of compiled code.
    ticker: Option<Ticker>,
    /// Set while the task of a caller of the reactor runs the guest. A signal that ends this task
    /// does not end the guest.
    is_caller: bool,
    /// Set while a call of a reactor runs or its results are not taken.
    is_called: bool,
    /// Data of the present call of a reactor; `None` if it has neither input nor room for output.
    call: Option<CallData>,
    /// Set if a write to a pipe or stream socket without readers ends the guest.
    ends_without_reader: bool,
    /// Set when such a write has happened.
    has_lost_reader: bool,
}

// SAFETY: `runner` is only dereferenced while the instance runs, by the task that runs it.
unsafe impl Send for Host {}

impl Host {
    /// Creates the host of a guest with `files`.
    pub(crate) fn new(files: Files) -> Self {
        Self {
            files,
            runner: ptr::null(),
            deadline: None,
            cpu_max: UNLIMITED,
            cpu_used: 0,
            cpu_began: 0,
            allocations: 0,
            lookups: Lookups::new(),
            resident: Resident::new(),
            programs: None,
            guest_stack: None,
            memories: KVec::new(),
            ticker: None,
            is_caller: false,
            is_called: false,
            call: None,
            ends_without_reader: false,
            has_lost_reader: false,
        }
    }

    /// Makes a write to a pipe or stream socket without readers end the guest, as SIGPIPE ends a
    /// process.
    pub(crate) fn end_without_reader(mut self) -> Self {
        self.ends_without_reader = true;
        self
    }

    /// Returns the number of the instance that runs; 0 if none does.
    fn instance_number(&self) -> InstanceNumber {
        // SAFETY: The pointer is null, or the instance, which contains the runner, runs and so is
        // alive.
        unsafe { self.runner.as_ref() }.map_or(InstanceNumber(0), Runner::number)
    }

    /// Returns true if checkpoints of compiled code are requested, or will be once the guest runs.
    pub(crate) fn has_ticks(&self) -> bool {
        self.ticker.is_some()
    }

    /// Sets the deadline to `nanoseconds` from now.
    pub(crate) fn set_time(&mut self, nanoseconds: u64) {
        if nanoseconds != UNLIMITED {
            // At most a quarter of the range, so that the addition does not overflow.
            let nanoseconds = i64::try_from(nanoseconds)
                .unwrap_or(i64::MAX)
                .min(i64::MAX / 4);
            self.deadline = Some(Instant::<Monotonic>::now() + Delta::from_nanos(nanoseconds));
        }
    }

    /// Begins an entry of the current task into the engine.
    pub(crate) fn begin(&mut self) {
        self.is_caller = false;
        self.begin_entry();
        self.resident.move_to_current();
    }

    /// Begins an entry of a caller of the reactor into the engine. The memory of the guest stays
    /// accounted to the process that serves the reactor.
    pub(crate) fn begin_call(&mut self) {
        self.is_caller = true;
        self.begin_entry();
    }

    fn begin_entry(&mut self) {
        self.cpu_began = clock::cpu_time();
        self.lookups.reset();
        if let Some(ticker) = &mut self.ticker {
            ticker.resume();
        }
    }

    /// Begins a call with this data.
    pub(crate) fn begin_call_data(&mut self, data: Option<CallData>) {
        self.is_called = true;
        self.call = data;
    }

    /// Ends the present call. Returns its data.
    pub(crate) fn end_call_data(&mut self) -> Option<CallData> {
        self.is_called = false;
        self.call.take()
    }

    /// Ends the entry. The ticker remains only if the guest is an idle reactor.
    pub(crate) fn end(&mut self, is_idle: bool) {
        match &self.ticker {
            Some(ticker) if is_idle => ticker.pause(),
            _ => self.ticker = None,
        }
        self.cpu_used = self.cpu_time();
        self.cpu_began = clock::cpu_time();
    }

    /// Returns the CPU time so far, in nanoseconds.
    fn cpu_time(&self) -> u64 {
        self.cpu_used
            .saturating_add(clock::cpu_time().saturating_sub(self.cpu_began))
    }

    /// Decides between two slices, and during long operations, whether the guest may continue.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        signal::yield_now();
        // SAFETY: The pointer is null, or the instance, which contains the runner, runs and so is
        // alive.
        let is_killed = unsafe { self.runner.as_ref() }.is_some_and(Runner::is_killed);
        if is_killed || !self.is_caller && signal::is_fatal_signal_pending() {
            return Checkpoint::Killed;
        }
        if self.has_lost_reader {
            return Checkpoint::BrokenPipe;
        }
        if self
            .deadline
            .is_some_and(|deadline| (Instant::<Monotonic>::now() - deadline).as_nanos() >= 0)
        {
            return Checkpoint::Time;
        }
        if self.cpu_max != UNLIMITED && self.cpu_time() > self.cpu_max {
            return Checkpoint::CpuTime;
        }
        if kernel::current!().signal_pending()
            || signal::is_return_work_pending()
            || self.lookups.is_spent()
        {
            return Checkpoint::Interrupt;
        }
        Checkpoint::Continue
    }

    /// Counts an allocation of `size` bytes. Returns true if a checkpoint is due.
    fn is_check_due(&mut self, size: usize) -> bool {
        self.allocations = self.allocations.wrapping_add(1);
        self.allocations % ALLOCATIONS_PER_CHECK == 0 || size >= LARGE_ALLOCATION
    }

    /// Takes the count of the memory that was allocated with this host.
    pub(crate) fn take_resident(&mut self) -> Resident {
        core::mem::replace(&mut self.resident, Resident::new())
    }

    /// Returns the error of the guest's call after a write to `handle` failed with `error`. If a
    /// broken pipe is to end the guest, the call counts as interrupted, and the next checkpoint
    /// ends the guest.
    #[cold]
    fn lost_reader(&mut self, handle: Handle, error: Error) -> Error {
        if error != EPIPE || !self.ends_without_reader {
            return error;
        }
        self.has_lost_reader = self.files.get(handle.0.into()).is_ok_and(|open| {
            open.kind() == bindings::S_IFIFO
                || sockets::kind(open) == bindings::sock_type_SOCK_STREAM
        });
        if self.has_lost_reader {
            ERESTARTNOINTR
        } else {
            error
        }
    }

    /// Takes the machine code that was compiled with this host.
    pub(crate) fn take_programs(&mut self) -> Option<Arc<Programs>> {
        self.programs.take()
    }

    /// Ends the ticks of a reactor, whose words are about to be freed.
    pub(crate) fn end_ticks(&mut self) {
        self.ticker = None;
    }

    /// Frees the stack of a compiled guest.
    ///
    /// # Safety
    ///
    /// The engine must not use the stack any more.
    pub(crate) unsafe fn free_stack(&mut self) {
        if let Some(stack) = self.guest_stack.take() {
            self.resident.sub(stack.size());
        }
    }

    /// Closes all files, frees stack and memories of a compiled guest and stops counting memory, at
    /// the end of the guest.
    pub(crate) fn close_all(&mut self) {
        // If nobody waits for the call, no task takes its data.
        self.call = None;
        self.guest_stack = None;
        self.memories = KVec::new();
        self.resident.clear();
        self.files.close_all();
    }
}

impl Host {
    /// Returns the path that `place` stands for.
    ///
    /// # Errors
    ///
    /// `EBADF` if its directory is not open; those of [`Lookups::check`].
    fn path<'a>(&'a self, place: RelativePath<'a>) -> Result<paths::Path<'a>> {
        self.lookups.check()?;
        let dir = self.files.get(place.dir.0.into())?;
        Ok(paths::Path::new(
            dir,
            place.path,
            place.follow,
            &self.lookups,
        ))
    }
}
