// SPDX-License-Identifier: GPL-2.0

//! Tests of the ioctls of `/dev/kwasmi` from userspace, with valid and with invalid arguments.
//! Prints KTAP and exits with 1 if a test fails.
//!
//!     kwasmi-abi [PART]...   runs these parts; by default all that have no suite of their own

mod audit;
mod call_cost;
mod calls;
mod cgroup;
mod command;
mod counters;
mod directories;
mod disk;
mod fairness;
mod faults;
mod fuzz;
mod hostile;
mod idle;
mod info;
mod invoke;
mod io_limits;
mod kernel;
mod kill;
mod ktap;
mod limits;
mod load;
mod pool;
mod pool_services;
mod privilege;
mod probes;
mod process_limits;
mod quotas;
mod race;
mod reactor;
mod rebuilt;
mod rest;
mod ring;
mod ring_ends;
mod run;
mod scale;
mod services;
mod shared_code;
mod shared_ring;
mod signals;
mod signing;
mod soak;
mod start;
mod task;
mod traces;
mod upgrade;

use ktap::Tests;
use std::process::ExitCode;

/// Function that adds the tests of one part.
type Part = fn(&mut Tests);

/// Parts by name.
const PARTS: [(&str, Part); 35] = [
    ("info", info::tests),
    ("load", load::tests),
    ("start", start::tests),
    ("run", run::tests),
    ("invoke", invoke::tests),
    ("shared-code", shared_code::tests),
    ("limits", limits::tests),
    ("quotas", quotas::tests),
    ("directories", directories::tests),
    ("signals", signals::tests),
    ("kill", kill::tests),
    ("services", services::tests),
    ("calls", calls::tests),
    ("upgrade", upgrade::tests),
    ("pool", pool::tests),
    ("rest", rest::tests),
    ("ring", ring::tests),
    ("ring-ends", ring_ends::tests),
    ("idle", idle::tests),
    ("call-cost", call_cost::tests),
    ("counters", counters::tests),
    ("faults", faults::tests),
    ("fuzz", fuzz::tests),
    ("race", race::tests),
    ("command", command::tests),
    ("traces", traces::tests),
    ("probes", probes::tests),
    ("cgroup", cgroup::tests),
    ("fairness", fairness::tests),
    ("process-limits", process_limits::tests),
    ("io-limits", io_limits::tests),
    ("rebuilt", rebuilt::tests),
    ("hostile", hostile::tests),
    ("soak", soak::tests),
    ("signing", signing::tests),
];

/// Parts that run only if named: they have their own suites.
const ALONE: [&str; 8] = ["call-cost", "hostile", "idle", "soak", "signing", "process-limits", "io-limits", "rebuilt"];

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
