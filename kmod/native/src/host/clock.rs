// SPDX-License-Identifier: GPL-2.0

//! Clocks of preview 1, by `clockid`.

use super::Result;
use rustix::{
    io::Errno,
    thread::clock_nanosleep_absolute,
    time::{
        ClockId,
        Timespec,
        clock_getres,
        clock_gettime, //
    }, //
};
use std::sync::OnceLock;

const PER_SECOND: i64 = 1_000_000_000;

fn clock(id: u64) -> Result<ClockId> {
    match id {
        0 => Ok(ClockId::Realtime),
        1 => Ok(ClockId::Monotonic),
        2 => Ok(ClockId::ProcessCPUTime),
        3 => Ok(ClockId::ThreadCPUTime),
        _ => Err(Errno::INVAL),
    }
}

/// Converts a time to nanoseconds.
fn nanoseconds(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec * PER_SECOND + time.tv_nsec).unwrap_or(0)
}

/// Converts nanoseconds to a time. Values above `i64::MAX` are treated as `i64::MAX`.
fn timespec(nanoseconds: u64) -> Timespec {
    let nanoseconds = i64::try_from(nanoseconds).unwrap_or(i64::MAX);
    Timespec { tv_sec: nanoseconds / PER_SECOND, tv_nsec: nanoseconds % PER_SECOND }
}

pub(super) fn time(id: u64) -> Result {
    Ok(nanoseconds(clock_gettime(clock(id)?)))
}

/// Returns the resolution of a clock. It is queried only once, as in the kernel.
pub(super) fn resolution(id: u64) -> Result {
    static KNOWN: [OnceLock<u64>; 4] = [const { OnceLock::new() }; 4];
    let clock = clock(id)?;
    let known = usize::try_from(id).ok().and_then(|id| KNOWN.get(id)).ok_or(Errno::INVAL)?;
    Ok(*known.get_or_init(|| nanoseconds(clock_getres(clock))))
}

pub(super) fn sleep_until(id: u64, until: u64) -> Result {
    clock_nanosleep_absolute(clock(id)?, &timespec(until)).map(|()| 0)
}

/// Returns the time until the monotonic clock reaches `deadline`.
pub(super) fn until(deadline: u64) -> Timespec {
    timespec(deadline.saturating_sub(nanoseconds(clock_gettime(ClockId::Monotonic))))
}
