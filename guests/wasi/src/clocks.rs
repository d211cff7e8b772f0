// SPDX-License-Identifier: GPL-2.0

//! Cases for clocks.

use crate::{
    case::Topic,
    sys, //
};

const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;
const NAMES: [&str; 4] = ["realtime", "monotonic", "process CPU time", "thread CPU time"];
/// 2020-09-13 and 2099-12-03 in nanoseconds: bounds of the real time.
const PAST: u64 = 1_600_000_000_000_000_000;
const FUTURE: u64 = 4_100_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// Returns true if a clock advances within ten seconds of work.
fn advances(clock: u32) -> sys::Result<bool> {
    let begin = sys::clock_time_get(clock, 0)?;
    let give_up = sys::clock_time_get(MONOTONIC, 0)?.saturating_add(10 * SECOND);
    while sys::clock_time_get(MONOTONIC, 0)? < give_up {
        if sys::clock_time_get(clock, 0)? > begin {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(crate) fn cases() {
    let topic = Topic("clock_res_get");
    for (clock, name) in (0..).zip(NAMES) {
        topic.is(name, sys::clock_res_get(clock).map(|ns| ns > 0 && ns <= SECOND), "yes");
    }
    topic.is("clock 4", sys::clock_res_get(4), "inval");
    topic.is("the largest clock id", sys::clock_res_get(u32::MAX), "inval");

    let topic = Topic("clock_time_get");
    for (clock, name) in (0..).zip(NAMES) {
        topic.is(name, advances(clock), "yes");
    }
    topic.is("the real time is plausible", sys::clock_time_get(REALTIME, 0).map(|ns| ns > PAST && ns < FUTURE), "yes");
    topic.is("any precision is accepted", sys::clock_time_get(MONOTONIC, u64::MAX).map(drop), "ok");
    topic.is("clock 4", sys::clock_time_get(4, 0), "inval");
    topic.is("the largest clock id", sys::clock_time_get(u32::MAX, 0), "inval");
    let mut last = 0;
    let mut back = 0;
    for _ in 0..1000 {
        let now = sys::clock_time_get(MONOTONIC, 0).unwrap_or(0);
        back += u32::from(now < last);
        last = now;
    }
    topic.is("the monotonic clock never goes back", back, "0");
}
