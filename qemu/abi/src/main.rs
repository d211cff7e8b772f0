// SPDX-License-Identifier: GPL-2.0

//! Tests of `/dev/kwasmi` as a caller sees it, good or bad. Prints KTAP; exits with 1 if one fails.
//!
//!     kwasmi-abi [PART]...   parts of the tests, or all but those that have suites of their own

mod audit;
mod cgroup;
mod command;
mod directories;
mod effort;
mod faults;
mod fuzz;
mod hostile;
mod info;
mod kernel;
mod kill;
mod ktap;
mod limits;
mod load;
mod privilege;
mod probes;
mod process_limits;
mod quotas;
mod race;
mod rebuilt;
mod run;
mod share;
mod shared_code;
mod signals;
mod signing;
mod soak;
mod start;
mod task;
mod traces;

use ktap::Tests;
use std::process::ExitCode;

/// Adds a part's tests.
type Part = fn(&mut Tests);

/// The parts, by name.
const PARTS: [(&str, Part); 23] = [
    ("info", info::tests),
    ("load", load::tests),
    ("start", start::tests),
    ("run", run::tests),
    ("shared-code", shared_code::tests),
    ("limits", limits::tests),
    ("quotas", quotas::tests),
    ("directories", directories::tests),
    ("signals", signals::tests),
    ("kill", kill::tests),
    ("faults", faults::tests),
    ("fuzz", fuzz::tests),
    ("race", race::tests),
    ("command", command::tests),
    ("traces", traces::tests),
    ("probes", probes::tests),
    ("cgroup", cgroup::tests),
    ("share", share::tests),
    ("process-limits", process_limits::tests),
    ("rebuilt", rebuilt::tests),
    ("hostile", hostile::tests),
    ("soak", soak::tests),
    ("signing", signing::tests),
];

/// The parts that are not among all: they have suites of their own.
const ALONE: [&str; 5] = ["hostile", "soak", "signing", "process-limits", "rebuilt"];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "--unprivileged-load") {
        return load::unprivileged();
    }
    let mut tests = Tests::default();
    for (name, part) in PARTS {
        if args.is_empty() && !ALONE.contains(&name) || args.iter().any(|arg| arg == name) {
            part(&mut tests);
        }
    }
    tests.run()
}
