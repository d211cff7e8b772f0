// SPDX-License-Identifier: GPL-2.0

//! Clocks, by preview 1 `clockid`: 0 real time, 1 monotonic, 2 and 3 CPU time.

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

/// The CPU time of the current task, in nanoseconds.
pub(super) fn cpu_time() -> u64 {
    let task = Task::current_raw();
    // SAFETY: The current task is there; the scheduler writes the field, a word, as a whole.
    unsafe { (&raw const (*task).se.sum_exec_runtime).read_volatile() }
}

/// The time of a clock, in nanoseconds. Both CPU times are that of the thread that runs the guest, and are as fresh as the
/// scheduler's last tick or switch.
///
/// # Errors
///
/// `EINVAL`.
pub(super) fn time(clock: u64) -> Result<u64> {
    match clock {
        REALTIME => Ok(Instant::<RealTime>::now().as_nanos() as u64),
        MONOTONIC => Ok(Instant::<Monotonic>::now().as_nanos() as u64),
        PROCESS_CPU | THREAD_CPU => Ok(cpu_time()),
        _ => Err(EINVAL),
    }
}

/// The resolution of a clock, in nanoseconds, as `clock_getres` gives it.
///
/// # Errors
///
/// `EINVAL`.
pub(super) fn resolution(clock: u64) -> Result<u64> {
    match clock {
        REALTIME | MONOTONIC => {
            // SAFETY: It is set at boot.
            Ok(u64::from(unsafe { (&raw const bindings::hrtimer_resolution).read_volatile() }))
        }
        PROCESS_CPU | THREAD_CPU => Ok(u64::from(bindings::NSEC_PER_SEC / bindings::HZ)),
        _ => Err(EINVAL),
    }
}

/// Sleeps until the monotonic clock shows `until` nanoseconds.
///
/// # Errors
///
/// `EINTR` if the guest is to pause or end before that, `EINVAL`.
pub(super) fn sleep_until(clock: u64, until: u64) -> Result<u64> {
    if clock != MONOTONIC {
        return Err(EINVAL);
    }
    signal::sleep_until(until)?;
    Ok(0)
}
