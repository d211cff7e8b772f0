// SPDX-License-Identifier: GPL-2.0

//! List of tests, run one after another with their results printed as KTAP.

use crate::kernel;
use std::{
    panic::{
        self,
        UnwindSafe, //
    },
    process::ExitCode,
    time::Instant,
};

/// A list of tests.
#[derive(Default)]
pub(crate) struct Tests {
    list: Vec<(String, Box<dyn FnOnce() + UnwindSafe>)>,
}

impl Tests {
    /// Adds a test. It fails if it panics, leaves descriptors open, or leaves objects or memory in
    /// kwasmi.
    pub(crate) fn add(&mut self, name: impl Into<String>, test: impl FnOnce() + UnwindSafe + 'static) {
        self.list.push((name.into(), Box::new(test)));
    }

    /// Adds a test that is reported as skipped.
    pub(crate) fn skip(&mut self, name: impl Into<String>, why: &str) {
        self.add(format!("{} # SKIP {why}", name.into()), || {});
    }

    /// Runs all tests, or those whose names contain the value of `KWASMI_ONLY`.
    pub(crate) fn run(mut self) -> ExitCode {
        if let Ok(only) = std::env::var("KWASMI_ONLY") {
            self.list.retain(|(name, _)| name.contains(&only));
        }
        println!("KTAP version 1\n1..{}", self.list.len());
        let mut failed = 0;
        for (number, (name, test)) in (1..).zip(self.list) {
            let before = kernel::open_descriptors();
            let begin = Instant::now();
            let result = panic::catch_unwind(|| {
                test();
                assert_eq!(kernel::open_descriptors(), before, "descriptors are left open");
                kernel::assert_nothing_held();
            });
            println!("# {:.1} s", begin.elapsed().as_secs_f64());
            if result.is_ok() {
                println!("ok {number} {name}");
            } else {
                failed += 1;
                println!("not ok {number} {name}");
            }
        }
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
