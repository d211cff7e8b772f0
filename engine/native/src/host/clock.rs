// SPDX-License-Identifier: GPL-2.0

//! Clocks of preview 1, by `clockid`.

use super::Result;
use crate::preview1;
use rustix::{
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

/// Returns Linux's clock for a `clockid`.
fn clock(id: preview1::ClockId) -> ClockId {
    match id {
        preview1::ClockId::Realtime => ClockId::Realtime,
        preview1::ClockId::Monotonic => ClockId::Monotonic,
        preview1::ClockId::ProcessCpu => ClockId::ProcessCPUTime,
        preview1::ClockId::ThreadCpu => ClockId::ThreadCPUTime,
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

pub(super) fn time(id: preview1::ClockId) -> u64 {
    nanoseconds(clock_gettime(clock(id)))
}

/// Returns the resolution of a clock. It is queried only once, as in the kernel.
pub(super) fn resolution(id: preview1::ClockId) -> u64 {
    static KNOWN: [OnceLock<u64>; 4] = [const { OnceLock::new() }; 4];
    *KNOWN[id as usize].get_or_init(|| nanoseconds(clock_getres(clock(id))))
}

pub(super) fn sleep_until(id: preview1::ClockId, until: u64) -> Result<()> {
    clock_nanosleep_absolute(clock(id), &timespec(until))
}

/// Returns the time until the monotonic clock reaches `deadline`.
pub(super) fn until(deadline: u64) -> Timespec {
    timespec(deadline.saturating_sub(nanoseconds(clock_gettime(ClockId::Monotonic))))
}
