// SPDX-License-Identifier: GPL-2.0

//! Tasks: which processors they run on, how much time they had.

use crate::signals;
use std::{
    mem::MaybeUninit,
    time::Duration, //
};

/// The current thread's id.
pub(crate) fn id() -> i32 {
    // SAFETY: It has no requirements.
    unsafe { libc::gettid() }
}

/// Processors.
pub(crate) type Processors = libc::cpu_set_t;

/// The processors that the current thread may run on.
pub(crate) fn affinity() -> Processors {
    // SAFETY: All of it zero is a value.
    let mut set: Processors = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: There is room for a set.
    assert_eq!(unsafe { libc::sched_getaffinity(0, size_of::<Processors>(), &raw mut set) }, 0);
    set
}

/// Has the current thread run on these.
pub(crate) fn set_affinity(set: &Processors) {
    // SAFETY: It is a set.
    assert_eq!(unsafe { libc::sched_setaffinity(0, size_of::<Processors>(), std::ptr::from_ref(set)) }, 0);
}

/// Has the current thread run on one processor.
pub(crate) fn pin(processor: usize) {
    // SAFETY: All of it zero is a value.
    let mut set: Processors = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: The number is less than a set has room for.
    unsafe { libc::CPU_SET(processor, &mut set) };
    set_affinity(&set);
}

/// A child process; it is killed when this is dropped.
pub(crate) struct Child(i32);

impl Child {
    /// Starts a process that does `work`, and ends with the status that it returns. Nothing in `work` may want a lock that
    /// another thread of this process can have.
    pub(crate) fn start(work: impl FnOnce() -> u8) -> Self {
        // SAFETY: What the child may do is said above.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "no process");
        if pid == 0 {
            let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(255);
            // SAFETY: It ends the child.
            unsafe { libc::_exit(status.into()) };
        }
        Self(pid)
    }

    /// Its CPU time.
    pub(crate) fn cpu_time(&self) -> Duration {
        let mut clock = 0;
        // SAFETY: There is room for a clock's number.
        assert_eq!(unsafe { libc::clock_getcpuclockid(self.0, &raw mut clock) }, 0);
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: There is room for a time.
        assert_eq!(unsafe { libc::clock_gettime(clock, &raw mut time) }, 0);
        let seconds = u64::try_from(time.tv_sec).expect("not negative");
        Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).expect("not negative"))
    }

    /// Waits for its end; the status as wait(2) has it, and the CPU time.
    pub(crate) fn wait_with_time(self) -> (i32, Duration) {
        let mut status = 0;
        // SAFETY: All of it zero is a value.
        let mut usage: libc::rusage = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: There is room for a status and for what was used.
        assert_eq!(unsafe { libc::wait4(self.0, &raw mut status, 0, &raw mut usage) }, self.0);
        std::mem::forget(self);
        let time = |time: libc::timeval| {
            let micros = time.tv_sec * 1_000_000 + time.tv_usec;
            Duration::from_micros(u64::try_from(micros).expect("not negative"))
        };
        (status, time(usage.ru_utime) + time(usage.ru_stime))
    }

    /// Waits for its end; the status.
    pub(crate) fn wait(self) -> u8 {
        let status = signals::wait(self.0);
        std::mem::forget(self);
        assert!(libc::WIFEXITED(status), "{status:#x}");
        u8::try_from(libc::WEXITSTATUS(status)).expect("eight bits")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: It is our child, and was not waited for.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        signals::wait(self.0);
    }
}
