// SPDX-License-Identifier: GPL-2.0

//! Threads and processes: processor affinity, child processes and their CPU time.

use crate::signals;
use rustix::{
    io::Errno,
    thread::{
        CapabilitySet,
        capabilities,
        set_capabilities, //
    }, //
};
use std::{
    mem::MaybeUninit,
    time::Duration, //
};

/// Returns the thread id of the current thread.
pub(crate) fn id() -> i32 {
    // SAFETY: `gettid` has no requirements.
    unsafe { libc::gettid() }
}

/// Set of processors.
pub(crate) type Processors = libc::cpu_set_t;

/// Returns the processors that the current thread may run on.
pub(crate) fn affinity() -> Processors {
    // SAFETY: `cpu_set_t` consists of integers, for which zero is valid.
    let mut set: Processors = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: `set` is writable and has the size that is passed.
    assert_eq!(unsafe { libc::sched_getaffinity(0, size_of::<Processors>(), &raw mut set) }, 0);
    set
}

/// Restricts the current thread to these processors.
pub(crate) fn set_affinity(set: &Processors) {
    // SAFETY: `set` is readable and has the size that is passed.
    assert_eq!(unsafe { libc::sched_setaffinity(0, size_of::<Processors>(), std::ptr::from_ref(set)) }, 0);
}

/// Restricts the current thread to one processor.
pub(crate) fn pin(processor: usize) {
    // SAFETY: `cpu_set_t` consists of integers, for which zero is valid.
    let mut set: Processors = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: `processor` is less than `CPU_SETSIZE`, so that the bit is inside of `set`.
    unsafe { libc::CPU_SET(processor, &mut set) };
    set_affinity(&set);
}

/// Keeps the kernel from collapsing memory of the current process into huge pages. A collapse
/// charges up to 2 MiB at a time of the kernel's choice.
pub(crate) fn refuse_huge_pages() {
    // SAFETY: `PR_SET_THP_DISABLE` reads no memory of the caller.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1_u64, 0_u64, 0_u64, 0_u64) }, 0);
}

/// Takes CAP_SYS_ADMIN from the current thread.
pub(crate) fn drop_sys_admin() -> Result<(), Errno> {
    let mut sets = capabilities(None)?;
    sets.effective.remove(CapabilitySet::SYS_ADMIN);
    set_capabilities(None, sets)
}

/// Child process, killed when this is dropped.
pub(crate) struct Child(i32);

impl Child {
    /// Starts a child process that does `work` and exits with the status that it returns. `work`
    /// must not take a lock that another thread of this process may hold.
    pub(crate) fn start(work: impl FnOnce() -> u8) -> Self {
        // SAFETY: The child only does `work`, which takes no lock of another thread, and leaves by
        // `_exit`.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "no process");
        if pid == 0 {
            let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(255);
            // SAFETY: `_exit` has no requirements.
            unsafe { libc::_exit(status.into()) };
        }
        Self(pid)
    }

    /// Returns the process ID of the child.
    pub(crate) fn pid(&self) -> i32 {
        self.0
    }

    /// Returns the CPU time that the child has used.
    pub(crate) fn cpu_time(&self) -> Duration {
        let mut clock = 0;
        // SAFETY: `clock` is writable.
        assert_eq!(unsafe { libc::clock_getcpuclockid(self.0, &raw mut clock) }, 0);
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is writable.
        assert_eq!(unsafe { libc::clock_gettime(clock, &raw mut time) }, 0);
        let seconds = u64::try_from(time.tv_sec).expect("not negative");
        Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).expect("not negative"))
    }

    /// Waits for the end of the child. Returns its status in the encoding of wait(2), and its CPU
    /// time.
    pub(crate) fn wait_with_time(self) -> (i32, Duration) {
        let mut status = 0;
        // SAFETY: `rusage` consists of integers, for which zero is valid.
        let mut usage: libc::rusage = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: `status` and `usage` are writable.
        assert_eq!(unsafe { libc::wait4(self.0, &raw mut status, 0, &raw mut usage) }, self.0);
        std::mem::forget(self);
        let time = |time: libc::timeval| {
            let micros = time.tv_sec * 1_000_000 + time.tv_usec;
            Duration::from_micros(u64::try_from(micros).expect("not negative"))
        };
        (status, time(usage.ru_utime) + time(usage.ru_stime))
    }

    /// Waits for the end of the child, which must exit. Returns its exit status.
    pub(crate) fn wait(self) -> u8 {
        let status = signals::wait(self.0);
        std::mem::forget(self);
        assert!(libc::WIFEXITED(status), "{status:#x}");
        u8::try_from(libc::WEXITSTATUS(status)).expect("eight bits")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: `kill` has no memory requirements. The child was not waited for, so its id is not
        // reused.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        signals::wait(self.0);
    }
}
