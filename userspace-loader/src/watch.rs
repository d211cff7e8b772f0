// SPDX-License-Identifier: GPL-2.0

//! Services with their counters, as tables.

use crate::{
    counters::Counters,
    failure::line,
    service::{
        Service,
        State, //
    },
    signing::{
        hash::Sha256,
        version::Version, //
    },
    table::Table,
    uapi, //
};
use serde::Serialize;
use std::{
    fmt,
    time::Duration, //
};

/// A service and its counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Watched {
    /// Name of the service.
    pub name: String,
    /// State of its guest.
    pub state: State,
    /// Process ID of the supervisor, if it is in the caller's PID namespace.
    pub pid: Option<i32>,
    /// SHA-256 of the module without its signature.
    #[serde(skip)]
    pub sha256: Sha256,
    /// Name and version of the module, if it has a manifest.
    #[serde(skip)]
    pub module: Option<(String, Version)>,
    /// Counters.
    pub counters: Counters,
}

impl Watched {
    /// Returns `service` with its counters.
    #[must_use]
    pub fn new(service: Service, counters: Counters) -> Self {
        Self {
            name: service.name,
            state: service.state,
            pid: service.pid,
            sha256: service.sha256,
            module: service.module,
            counters,
        }
    }

    /// Returns the cells of a row from the runs on.
    fn cells(&self) -> [String; 7] {
        let counter = |number| self.counters.get(number);
        let kib = |number| format!("{}K", counter(number) / 1024);
        [
            counter(uapi::KWASMI_COUNTER_RUNS).to_string(),
            counter(uapi::KWASMI_COUNTER_HOST_CALLS).to_string(),
            counter(uapi::KWASMI_COUNTER_FUEL).to_string(),
            seconds(counter(uapi::KWASMI_COUNTER_CPU_TIME)),
            kib(uapi::KWASMI_COUNTER_MEMORY),
            kib(uapi::KWASMI_COUNTER_HEAP),
            kib(uapi::KWASMI_COUNTER_HEAP_PEAK),
        ]
    }
}

/// Headings of [`Watched::cells`].
const HEADINGS: [&str; 7] = ["RUNS", "CALLS", "FUEL", "CPU", "MEMORY", "HEAP", "PEAK"];

/// Returns a time with two decimals.
fn seconds(nanoseconds: u64) -> String {
    format!("{}.{:02}s", nanoseconds / 1_000_000_000, nanoseconds / 10_000_000 % 100)
}

/// Output of `stats`: a table.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a>(pub &'a [Watched]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = ["NAME", "STATE"].iter().chain(&HEADINGS).map(|text| (*text).to_owned()).collect();
        let rows = self.0.iter().map(|service| {
            let mut row = vec![line(&service.name), service.state.to_string()];
            row.extend(service.cells());
            row
        });
        Table(std::iter::once(heading).chain(rows).collect()).fmt(f)
    }
}

/// Output of `stats NAME`: all counters of a service.
#[derive(Clone, Copy, Debug)]
pub struct Details<'a>(pub &'a Watched);

impl fmt::Display for Details<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", line(&self.0.name), self.0.state)?;
        self.0.counters.fmt(f)
    }
}

/// Output of `top`: a table of the services by their CPU time between two readings.
#[derive(Clone, Copy, Debug)]
pub struct Top<'a> {
    /// Earlier reading.
    pub before: &'a [Watched],
    /// Later reading.
    pub now: &'a [Watched],
    /// Time between the readings.
    pub elapsed: Duration,
}

impl Top<'_> {
    /// Returns the difference of a counter to the earlier reading of the same service.
    fn growth(&self, service: &Watched, counter: u32) -> u64 {
        let is_same = |before: &&Watched| (&before.name, before.pid) == (&service.name, service.pid);
        let before = self.before.iter().find(is_same).map_or(0, |before| before.counters.get(counter));
        service.counters.get(counter).saturating_sub(before)
    }

    /// Returns the table: its heading, and its rows in descending order of the CPU share.
    #[must_use]
    pub fn table(&self) -> Table {
        let heading =
            ["NAME", "STATE", "%CPU", "CALLS/S"].iter().chain(&HEADINGS).map(|text| (*text).to_owned()).collect();
        let nanoseconds = self.elapsed.as_nanos().max(1);
        let mut rows: Vec<_> = self
            .now
            .iter()
            .map(|service| {
                let cpu = u128::from(self.growth(service, uapi::KWASMI_COUNTER_CPU_TIME)) * 1000 / nanoseconds;
                let calls =
                    u128::from(self.growth(service, uapi::KWASMI_COUNTER_HOST_CALLS)) * 1_000_000_000 / nanoseconds;
                let share = format!("{}.{}", cpu / 10, cpu % 10);
                let mut row = vec![line(&service.name), service.state.to_string(), share, calls.to_string()];
                row.extend(service.cells());
                (cpu, row)
            })
            .collect();
        // Services with the same share stay in the order of their names.
        rows.sort_by_key(|(cpu, _)| std::cmp::Reverse(*cpu));
        Table(std::iter::once(heading).chain(rows.into_iter().map(|(_, row)| row)).collect())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::counters::{
        Value,
        tests as counters, //
    };

    /// Returns a service with counters.
    pub(crate) fn example() -> Watched {
        Watched {
            name: "web".to_owned(),
            state: State::Running,
            pid: Some(7),
            sha256: Sha256([0xab; 32]),
            module: Some(("m\"\\".to_owned(), Version([1, 2, 3]))),
            counters: counters::example(),
        }
    }

    #[test]
    fn services_are_a_table() {
        assert_eq!(
            Summary(&[example()]).to_string(),
            "NAME  STATE    RUNS  CALLS  FUEL  CPU    MEMORY  HEAP  PEAK\n\
             web   running  1     0      0     1.50s  0K      0K    0K\n"
        );
        assert!(Details(&example()).to_string().starts_with("web: running\n  runs: 1\n"));
        let json = serde_json::to_string(&example()).expect("is plain data");
        assert!(json.starts_with(r#"{"name":"web","state":"running","pid":7,"counters":{"runs":1,"#), "{json}");
    }

    #[test]
    fn top_sorts_by_the_share_of_cpu() {
        let with = |name: &str, pid, cpu| Watched {
            name: name.to_owned(),
            pid: Some(pid),
            counters: Counters(vec![Value {
                counter: uapi::KWASMI_COUNTER_CPU_TIME,
                label: String::new(),
                value: cpu,
            }]),
            ..example()
        };
        let before = [with("a", 1, 500_000_000), with("b", 2, 900_000_000), with("c", 3, 5_000_000_000)];
        // A new service has the name of an old one.
        let now = [with("a", 1, 750_000_000), with("b", 2, 1_900_000_000), with("c", 4, 10_000_000)];
        let top = Top { before: &before, now: &now, elapsed: Duration::from_secs(2) };
        let Table(rows) = top.table();
        let shares: Vec<_> = rows.iter().map(|row| (row[0].as_str(), row[2].as_str())).collect();
        assert_eq!(shares, [("NAME", "%CPU"), ("b", "50.0"), ("a", "12.5"), ("c", "0.5")]);
    }
}
