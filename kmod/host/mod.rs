// SPDX-License-Identifier: GPL-2.0

//! What the kernel does for a guest. All of it runs on the stack of the task.

mod alarm;
mod clock;
pub(crate) mod credentials;
mod directory;
mod files;
mod heap;
mod paths;
mod ready;
mod resident;
pub(crate) mod signal;
mod sockets;
mod splice;
mod ticker;
mod transfer;

pub(crate) use self::{
    alarm::Alarm,
    files::Files,
    resident::Resident, //
};

use self::{
    paths::Lookups,
    ticker::Ticker,
    transfer::Direction, //
};

use crate::{
    ffi::{
        Checkpoint,
        HostCall,
        HostOp,
        Jit,
        Place,
        HOST_INTERRUPTED,
        OPENED_DIRECTORY, //
    },
    instance::Instance,
    limits::UNLIMITED,
    programs::Programs, //
};
use core::ptr;
use kernel::{
    bindings,
    error::{
        code,
        to_result, //
    },
    prelude::*,
    time::{
        hrtimer::ArcHrTimerHandle,
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// Allocations between two looks at whether the work is to go on.
const ALLOCATIONS_PER_CHECK: u32 = 16;

/// The size of an allocation, in bytes, that is worth a look of its own.
const LARGE_ALLOCATION: usize = 64 * 1024;

/// What host calls find behind [`HostCall::host`] while a module is loaded, or a guest is started or runs.
pub(crate) struct Host {
    files: Files,
    /// The instance while it runs, else null.
    pub(crate) instance: *const Instance,
    /// When its time is up.
    pub(crate) deadline: Option<Instant<Monotonic>>,
    /// The most CPU time, in nanoseconds.
    pub(crate) cpu_max: u64,
    /// The CPU time of earlier stays in the engine, in nanoseconds.
    cpu_used: u64,
    /// The task's CPU time when this stay began.
    cpu_began: u64,
    allocations: u32,
    lookups: Lookups,
    /// What the engine has allocated with this host.
    resident: Resident,
    /// Requests checkpoints of compiled code.
    ticker: Option<ArcHrTimerHandle<Ticker>>,
    /// A write to a pipe or stream socket that nobody reads ends the guest.
    ends_without_reader: bool,
    /// That has happened.
    has_lost_reader: bool,
}

// SAFETY: `instance` is only used while it runs, by who runs it.
unsafe impl Send for Host {}

impl Host {
    /// A host for a guest with `files`.
    pub(crate) fn new(files: Files) -> Self {
        Self {
            files,
            instance: ptr::null(),
            deadline: None,
            cpu_max: UNLIMITED,
            cpu_used: 0,
            cpu_began: 0,
            allocations: 0,
            lookups: Lookups::new(),
            resident: Resident::new(),
            ticker: None,
            ends_without_reader: false,
            has_lost_reader: false,
        }
    }

    /// Has a write to a pipe or stream socket that nobody reads end the guest, as SIGPIPE ends a process.
    pub(crate) fn end_without_reader(mut self) -> Self {
        self.ends_without_reader = true;
        self
    }

    /// Sets the deadline to `nanoseconds` from now.
    pub(crate) fn set_time(&mut self, nanoseconds: u64) {
        if nanoseconds != UNLIMITED {
            // No addition overflows.
            let nanoseconds = i64::try_from(nanoseconds).unwrap_or(i64::MAX).min(i64::MAX / 4);
            self.deadline = Some(Instant::<Monotonic>::now() + Delta::from_nanos(nanoseconds));
        }
    }

    /// A stay of the current task in the engine begins.
    pub(crate) fn begin(&mut self) {
        self.cpu_began = clock::cpu_time();
        self.lookups.reset();
        self.resident.move_to_current();
    }

    /// It ends.
    pub(crate) fn end(&mut self) {
        self.ticker = None;
        self.cpu_used = self.cpu_time();
        self.cpu_began = clock::cpu_time();
    }

    /// The CPU time so far, in nanoseconds.
    fn cpu_time(&self) -> u64 {
        self.cpu_used.saturating_add(clock::cpu_time().saturating_sub(self.cpu_began))
    }

    /// Whether the guest may go on: between two slices, and in the middle of what takes long.
    fn checkpoint(&self) -> Checkpoint {
        signal::yield_now();
        // SAFETY: While the guest runs, so is its instance.
        let is_killed = unsafe { self.instance.as_ref() }.is_some_and(|instance| instance.is_killed());
        if is_killed || signal::is_fatal_signal_pending() {
            return Checkpoint::Killed;
        }
        if self.has_lost_reader {
            return Checkpoint::BrokenPipe;
        }
        if self.deadline.is_some_and(|deadline| (Instant::<Monotonic>::now() - deadline).as_nanos() >= 0) {
            return Checkpoint::Time;
        }
        if self.cpu_max != UNLIMITED && self.cpu_time() > self.cpu_max {
            return Checkpoint::CpuTime;
        }
        if kernel::current!().signal_pending() || signal::is_return_work_pending() || self.lookups.is_spent() {
            return Checkpoint::Interrupt;
        }
        Checkpoint::Continue
    }

    /// Counts an allocation of `size` bytes; whether it is time for a look at whether the work is to go on.
    fn is_check_due(&mut self, size: usize) -> bool {
        self.allocations = self.allocations.wrapping_add(1);
        self.allocations % ALLOCATIONS_PER_CHECK == 0 || size >= LARGE_ALLOCATION
    }

    /// The memory that was allocated with this host, counted for the process that caused it.
    pub(crate) fn take_resident(&mut self) -> Resident {
        core::mem::replace(&mut self.resident, Resident::new())
    }

    /// Whether `op`, which has failed with `EPIPE`, ends the guest.
    fn ends_at_pipe(&mut self, op: u32, [a, b, _, _]: [u64; 4]) -> bool {
        let handle = match op {
            op if op == HostOp::Write as u32 || op == HostOp::Send as u32 => a,
            op if op == HostOp::Splice as u32 => b,
            _ => return false,
        };
        let is_stream = self.files.get(handle).is_ok_and(|open| {
            open.kind() == bindings::S_IFIFO || sockets::kind(open) == bindings::sock_type_SOCK_STREAM
        });
        self.has_lost_reader = self.ends_without_reader && is_stream;
        self.has_lost_reader
    }

    /// Gives up all files, and counts no memory any more: the guest is gone.
    pub(crate) fn close_all(&mut self) {
        self.resident.clear();
        self.files.close_all();
    }
}

/// Does `op`; the engine calls it by way of `kwasmi_stack_leave`.
///
/// # Safety
///
/// `call` points to a call that is filled in as `op` says.
#[no_mangle]
unsafe extern "C" fn kwasmi_host_entry(op: u32, call: *mut HostCall) -> i32 {
    // SAFETY: The caller guarantees that it is valid.
    let call = unsafe { &mut *call };
    let answer = if op == HostOp::Read as u32 || op == HostOp::Write as u32 {
        // SAFETY: The caller guarantees the arguments.
        unsafe { transfer(op, call) }.map(Answer::Value)
    } else {
        // SAFETY: As above.
        unsafe { dispatch(op, call) }
    };
    match answer {
        Ok(Answer::Value(value)) => {
            call.value = value;
            0
        }
        Ok(Answer::Stop(checkpoint)) => {
            call.value = checkpoint as u64;
            HOST_INTERRUPTED
        }
        Err(error) if error == EPIPE && ends_at_pipe(op, call) => HOST_INTERRUPTED,
        Err(error) => status(error),
    }
}

/// Whether `op`, which has failed with `EPIPE`, ends the guest.
#[cold]
fn ends_at_pipe(op: u32, call: &HostCall) -> bool {
    // SAFETY: It is null, or a host that lives during the stay and is used by this task only.
    unsafe { call.host.cast::<Host>().as_mut() }.is_some_and(|host| host.ends_at_pipe(op, call.args))
}

/// The status of an error: those by which the kernel says that a signal came are one. A driver may say `EINTR` for a reason of
/// its own; that is the guest's to know.
#[cold]
fn status(error: Error) -> i32 {
    let restarts = [code::ERESTARTSYS, code::ERESTARTNOINTR, code::ERESTARTNOHAND, code::ERESTART_RESTARTBLOCK];
    if !restarts.contains(&error) && error != EINTR {
        return error.to_errno();
    }
    // `Lookups` gives this one without a signal.
    if kernel::current!().signal_pending() || error == code::ERESTARTNOINTR {
        HOST_INTERRUPTED
    } else {
        EINTR.to_errno()
    }
}

/// What a call comes to.
enum Answer {
    Value(u64),
    Stop(Checkpoint),
}

/// Reads or writes: what is done most often, and without what all else needs on the stack.
///
/// # Safety
///
/// `call` is filled in as `op`, one of the two, says.
unsafe fn transfer(op: u32, call: &HostCall) -> Result<u64> {
    let [handle, vectors, count, at] = call.args;
    // SAFETY: It is null, or a host that lives during the stay and is used by this task only.
    let host = unsafe { call.host.cast::<Host>().as_ref() }.ok_or(EINVAL)?;
    let file = host.files.get(handle)?;
    let direction = if op == HostOp::Read as u32 { Direction::Read } else { Direction::Write };
    // SAFETY: The engine guarantees the vectors and what they point to.
    unsafe { file.transfer((vectors, count), at, direction) }
}

/// # Safety
///
/// `call` is filled in as `op` says.
#[inline(never)]
unsafe fn dispatch(op: u32, call: &mut HostCall) -> Result<Answer> {
    let [a, b, c, _] = call.args;
    // SAFETY: It is null, or a host that lives during the stay and is used by this task only.
    let host = unsafe { call.host.cast::<Host>().as_mut() };
    match op {
        op if op == HostOp::Alloc as u32 => Ok(match heap::alloc(host, a, b)? {
            heap::Allocated::At(address) => Answer::Value(address),
            heap::Allocated::Stop(checkpoint) => Answer::Stop(checkpoint),
        }),
        op if op == HostOp::Free as u32 => {
            // SAFETY: The engine frees what it allocated, once.
            unsafe { heap::free(host, a, b) };
            Ok(Answer::Value(0))
        }
        op if op == HostOp::Yield as u32 => {
            signal::yield_now();
            Ok(Answer::Value(0))
        }
        op if op == HostOp::AllocStack as u32 => heap::alloc_stack(host, a).map(Answer::Value),
        op if op == HostOp::FreeStack as u32 => {
            // SAFETY: The engine frees a stack that it allocated, once, with its size, when nothing runs on it.
            unsafe { heap::free_stack(host, a, b) };
            Ok(Answer::Value(0))
        }
        op if op == HostOp::Compile as u32 => {
            // SAFETY: The engine guarantees that the first argument is the address of a `Jit` that nobody else uses.
            let jit = unsafe { &mut *(a as *mut Jit) };
            // SAFETY: The engine guarantees that it is filled in.
            let programs = KBox::new(unsafe { Programs::compile(jit) }?, GFP_KERNEL_ACCOUNT)?;
            jit.programs = KBox::into_raw(programs).cast();
            Ok(Answer::Value(0))
        }
        op if op == HostOp::Discard as u32 => {
            // SAFETY: The engine guarantees that the address came from `Compile`, and that nobody runs the programs any more.
            drop(unsafe { KBox::from_raw(a as *mut Programs) });
            Ok(Answer::Value(0))
        }
        op if op == HostOp::Tick as u32 => {
            let host = host.ok_or(EINVAL)?;
            host.ticker = None;
            if a != 0 {
                // SAFETY: The engine guarantees that the words live until the stay ends, which drops the ticker.
                host.ticker = Some(unsafe { Ticker::start([(a as usize, 1), (b as usize, c)]) }?);
            }
            Ok(Answer::Value(0))
        }
        // SAFETY: The caller guarantees the arguments.
        _ => unsafe { for_guest(op, call.args, host.ok_or(EINVAL)?) }.map(Answer::Value),
    }
}

/// # Safety
///
/// The arguments are what `op` says.
unsafe fn for_guest(op: u32, [a, b, c, d]: [u64; 4], host: &mut Host) -> Result<u64> {
    match op {
        op if op == HostOp::Checkpoint as u32 => Ok(host.checkpoint() as u64),
        op if op == HostOp::Seek as u32 => host.files.get(a)?.seek(b as i64, c),
        op if op == HostOp::Close as u32 => host.files.close(a),
        op if op == HostOp::Stat as u32 => {
            // SAFETY: The engine guarantees that the second argument is the address of a `FileStat`.
            unsafe { host.files.get(a)?.stat(b) }
        }
        op if op == HostOp::SetFlags as u32 => host.files.set_flags(a, b),
        op if op == HostOp::ClockTime as u32 => clock::time(a),
        op if op == HostOp::ClockResolution as u32 => clock::resolution(a),
        op if op == HostOp::SleepUntil as u32 => clock::sleep_until(a, b),
        op if op == HostOp::Random as u32 => {
            // SAFETY: It has no requirements.
            to_result(unsafe { bindings::wait_for_random_bytes() })?;
            // SAFETY: The engine guarantees address and length of memory that it may write to.
            unsafe { bindings::get_random_bytes(a as *mut c_void, b as usize) };
            Ok(0)
        }
        // SAFETY: The caller guarantees the arguments.
        _ => unsafe { for_files(op, [a, b, c, d], host) },
    }
}

/// Operations on files that a guest opened, or has a directory of, and on sockets.
///
/// # Safety
///
/// The arguments are what `op` says.
unsafe fn for_files(op: u32, [a, b, c, d]: [u64; 4], host: &mut Host) -> Result<u64> {
    match op {
        op if op == HostOp::SetTimes as u32 => {
            // SAFETY: The path is the file's, and the engine guarantees the address of `Times`.
            unsafe { files::set_times(host.files.get(a)?.path(), b) }
        }
        op if op == HostOp::ReadDirectory as u32 => {
            // SAFETY: The engine guarantees address and length of memory that it may write to.
            let bytes = unsafe { bytes_mut(b, c) };
            directory::read(host.files.get(a)?, bytes, d, host)
        }
        op if op == HostOp::Advise as u32 => host.files.get(a)?.advise(b, c, d),
        op if op == HostOp::Allocate as u32 => host.files.get(a)?.allocate(b, c),
        op if op == HostOp::SetSize as u32 => host.files.get(a)?.set_size(b),
        op if op == HostOp::Sync as u32 => host.files.get(a)?.sync(b),
        op if op == HostOp::Poll as u32 => {
            // SAFETY: The engine guarantees address and number of the entries.
            unsafe { ready::poll(&host.files, a, b, c) }
        }
        op if op == HostOp::Accept as u32 => {
            let accepted = sockets::accept(host.files.get(a)?, b, c == 1)?;
            host.files.add(accepted).map(u64::from)
        }
        op if op == HostOp::Receive as u32 => {
            // SAFETY: The engine guarantees the vectors and what they point to.
            unsafe { sockets::receive(host.files.get(a)?, (b, c), d) }
        }
        op if op == HostOp::Send as u32 => {
            // SAFETY: As above.
            unsafe { sockets::send(host.files.get(a)?, (b, c), false) }
        }
        op if op == HostOp::Splice as u32 => splice::splice(host.files.get(a)?, host.files.get(b)?, c),
        op if op == HostOp::Shutdown as u32 => sockets::shutdown(host.files.get(a)?, b),
        // SAFETY: The caller guarantees the arguments.
        _ => unsafe { for_paths(op, [a, b, c], host) },
    }
}

/// Operations on names.
///
/// # Safety
///
/// The arguments are what `op` says.
unsafe fn for_paths(op: u32, [a, b, c]: [u64; 3], host: &mut Host) -> Result<u64> {
    if !(HostOp::Open as u32..=HostOp::ReadLink as u32).contains(&op) {
        return Err(ENOSYS);
    }
    host.lookups.check()?;
    // SAFETY: The engine guarantees that the first argument is the address of a place.
    let place = unsafe { path(host, a) }?;
    match op {
        op if op == HostOp::Open as u32 => {
            let opened = place.open(b, c)?;
            let kind = if opened.kind() == bindings::S_IFDIR { OPENED_DIRECTORY } else { 0 };
            host.files.add(opened).map(|handle| u64::from(handle) | kind)
        }
        op if op == HostOp::StatAt as u32 => {
            // SAFETY: The engine guarantees that the second argument is the address of a `FileStat`.
            unsafe { place.stat(b) }
        }
        op if op == HostOp::SetTimesAt as u32 => {
            // SAFETY: The engine guarantees that the second argument is the address of `Times`.
            unsafe { place.set_times(b) }
        }
        op if op == HostOp::CreateDirectory as u32 => place.create_directory(),
        op if op == HostOp::RemoveDirectory as u32 => place.remove_directory(),
        op if op == HostOp::Unlink as u32 => place.unlink(),
        op if op == HostOp::Symlink as u32 => {
            // SAFETY: The engine guarantees that the second argument is the address of a text with a NUL.
            unsafe { place.symlink(b as *const c_char) }
        }
        op if op == HostOp::Link as u32 || op == HostOp::Rename as u32 => {
            // SAFETY: The engine guarantees that the second argument is the address of a place.
            let other = unsafe { path(host, b) }?;
            if op == HostOp::Link as u32 {
                place.link(&other)
            } else {
                place.rename(&other)
            }
        }
        op if op == HostOp::ReadLink as u32 => {
            // SAFETY: The engine guarantees address and length of memory that it may write to.
            place.read_link(unsafe { bytes_mut(b, c) })
        }
        _ => Err(ENOSYS),
    }
}

/// The path that a place of the engine is.
///
/// # Safety
///
/// `place` is the address of one, which outlives what is returned.
unsafe fn path(host: &Host, place: u64) -> Result<paths::Path<'_>> {
    // SAFETY: The caller guarantees it.
    let place = unsafe { *(place as *const Place) };
    let dir = host.files.get(u64::from(place.dir))?;
    // SAFETY: The engine guarantees that the path has a NUL at its end.
    Ok(unsafe { paths::Path::new(dir, place.path.cast(), place.follow != 0, &host.lookups) })
}

/// # Safety
///
/// There are `len` bytes at `addr`, which nobody else uses.
unsafe fn bytes_mut<'a>(addr: u64, len: u64) -> &'a mut [u8] {
    // SAFETY: The caller guarantees it.
    unsafe { core::slice::from_raw_parts_mut(addr as *mut u8, len as usize) }
}
