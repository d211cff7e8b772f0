// SPDX-License-Identifier: GPL-2.0

//! Clocks of WASI preview 1, by `clockid`: 0 is real time, 1 monotonic time, 2 and 3 are CPU time.

use super::signal;
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

const REALTIME: u64 = 0;
const MONOTONIC: u64 = 1;
const PROCESS_CPU: u64 = 2;
const THREAD_CPU: u64 = 3;

/// Returns the CPU time of the current task, in nanoseconds.
pub(super) fn cpu_time() -> u64 {
    let task = Task::current_raw();
    // SAFETY: `Task::current_raw` points to the current task, which is valid while it runs. The
    // scheduler stores `sum_exec_runtime` as one word.
    unsafe { (&raw const (*task).se.sum_exec_runtime).read_volatile() }
}

/// Returns the time of a clock, in nanoseconds. Both CPU clocks return the CPU time of the thread
/// that runs the guest, as of the last scheduler tick or context switch.
///
/// # Errors
///
/// `EINVAL` if `clock` is not a preview 1 `clockid`.
pub(super) fn time(clock: u64) -> Result<u64> {
    match clock {
        REALTIME => Ok(Instant::<RealTime>::now().as_nanos() as u64),
        MONOTONIC => Ok(Instant::<Monotonic>::now().as_nanos() as u64),
        PROCESS_CPU | THREAD_CPU => Ok(cpu_time()),
        _ => Err(EINVAL),
    }
}

/// Returns the resolution of a clock, in nanoseconds, equal to the result of `clock_getres(2)`.
///
/// # Errors
///
/// `EINVAL` if `clock` is not a preview 1 `clockid`.
pub(super) fn resolution(clock: u64) -> Result<u64> {
    match clock {
        REALTIME | MONOTONIC => {
            // SAFETY: `hrtimer_resolution` is a static word of the kernel, which lives as long as
            // the kernel.
            Ok(u64::from(unsafe { (&raw const bindings::hrtimer_resolution).read_volatile() }))
        }
        PROCESS_CPU | THREAD_CPU => Ok(u64::from(bindings::NSEC_PER_SEC / bindings::HZ)),
        _ => Err(EINVAL),
    }
}

/// Sleeps until the monotonic clock reaches `until` nanoseconds.
///
/// # Errors
///
/// `EINTR` if a signal or a kill of the guest arrives first; `EINVAL` if `clock` is not the
/// monotonic clock.
pub(super) fn sleep_until(clock: u64, until: u64) -> Result<u64> {
    if clock != MONOTONIC {
        return Err(EINVAL);
    }
    signal::sleep_until(until)?;
    Ok(0)
}
