// SPDX-License-Identifier: GPL-2.0

//! Memory and CPU time of a supervisor, from `/proc` (proc(5)).

use std::{
    fs,
    time::Duration, //
};

/// Memory and CPU time of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory, in bytes. The memory of the guests that a process runs is part of it.
    pub memory: u64,
    /// CPU time in user and kernel mode.
    pub cpu: Duration,
}

impl Usage {
    /// Returns the usage of the process `pid`, or `None` if there is no such process.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
        let ticks = rustix::param::clock_ticks_per_second();
        Self::parse(&read("statm")?, &read("stat")?, rustix::param::page_size() as u64, ticks)
    }

    /// Returns the usage from the contents of `statm` and `stat`, for a page size in bytes and the
    /// clock ticks per second.
    fn parse(statm: &str, stat: &str, page: u64, ticks: u64) -> Option<Self> {
        let resident: u64 = statm.split(' ').nth(1)?.parse().ok()?;
        // The second field is the program's name in parentheses. The name may contain `) `.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ').skip(11);
        let mut time = || fields.next()?.parse::<u64>().ok();
        let sum = time()?.checked_add(time()?)?;
        let cpu = Duration::from_nanos(sum.checked_mul(1_000_000_000)?.checked_div(ticks)?);
        Some(Self { memory: resident.checked_mul(page)?, cpu })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_program_name() {
        let stat = "12 (a) b (c) R 1 12 12 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 100 1000 10";
        let usage = Usage::parse("1000 25 20 1 0 30 0\n", stat, 4096, 100);
        assert_eq!(usage, Some(Usage { memory: 25 * 4096, cpu: Duration::from_secs(3) }));
        assert_eq!(Usage::parse("", stat, 4096, 100), None);
        assert_eq!(Usage::parse("1 2", "12 (a) R 1", 4096, 100), None);
    }

    #[test]
    fn this_process_has_memory() {
        let pid = i32::try_from(std::process::id()).expect("is a process");
        assert!(Usage::of(pid).expect("exists").memory > 100_000);
        assert_eq!(Usage::of(-1), None);
    }
}
