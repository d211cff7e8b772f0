// SPDX-License-Identifier: GPL-2.0

//! Clocks of WASI preview 1, by `clockid`: 0 is real time, 1 monotonic time, 2 and 3 are CPU time.

use super::signal;
use crate::preview1::ClockId;
use kernel::{
    bindings,
    prelude::*,
    task::Task,
    time::{
        hrtimer::HrTimerExpires,
        Instant,
        Monotonic,
        RealTime, //
    }, //
};

/// Returns the CPU time of the current task, in nanoseconds.
pub(super) fn cpu_time() -> u64 {
    cpu_time_of(kernel::current!())
}

/// Returns the CPU time of `task`, in nanoseconds, as of its last scheduler tick or context switch.
pub(super) fn cpu_time_of(task: &Task) -> u64 {
    let task = task.as_ptr();
    // SAFETY: `task` is a reference, so the structure is valid. The scheduler stores
    // `sum_exec_runtime` as one word.
    unsafe { (&raw const (*task).se.sum_exec_runtime).read_volatile() }
}

/// Returns the time of a clock, in nanoseconds. Both CPU clocks return the CPU time of the thread
/// that runs the guest, as of the last scheduler tick or context switch.
pub(super) fn time(clock: ClockId) -> u64 {
    match clock {
        ClockId::Realtime => Instant::<RealTime>::now().as_nanos() as u64,
        ClockId::Monotonic => Instant::<Monotonic>::now().as_nanos() as u64,
        ClockId::ProcessCpu | ClockId::ThreadCpu => cpu_time(),
    }
}

/// Returns the resolution of a clock, in nanoseconds, equal to the result of `clock_getres(2)`.
pub(super) fn resolution(clock: ClockId) -> u64 {
    match clock {
        ClockId::Realtime | ClockId::Monotonic => {
            // SAFETY: `hrtimer_resolution` is a static word of the kernel, which lives as long as
            // the kernel.
            u64::from(unsafe { (&raw const bindings::hrtimer_resolution).read_volatile() })
        }
        ClockId::ProcessCpu | ClockId::ThreadCpu => {
            u64::from(bindings::NSEC_PER_SEC / bindings::HZ)
        }
    }
}

/// Sleeps until the monotonic clock reaches `until` nanoseconds.
///
/// # Errors
///
/// `EINTR` if a signal or a kill of the guest arrives first; `EINVAL` if `clock` is not the
/// monotonic clock.
pub(super) fn sleep_until(clock: ClockId, until: u64) -> Result {
    if clock != ClockId::Monotonic {
        return Err(EINVAL);
    }
    signal::sleep_until(until)
}
