// SPDX-License-Identifier: GPL-2.0

//! Report of how a guest ended.

use crate::{
    allocation,
    ffi::{
        Ending,
        RunArgs,
        INVOKE_MAX, //
    },
    uapi::kwasmi_run, //
};
use kernel::prelude::*;

/// Result of a run, as `KWASMI_IOC_RUN` returns it.
pub(super) struct Report {
    pub(super) ending: Ending,
    pub(super) code: u32,
    pub(super) fuel_used: u64,
    pub(super) memory_peak: u64,
    pub(super) heap_peak: u64,
    pub(super) stack_peak: u64,
    pub(super) limit_value: u64,
    /// The engine writes them here.
    pub(super) results: [u64; INVOKE_MAX],
    /// Number of `results`.
    pub(super) results_len: usize,
    /// Text that explains the ending, for this and further calls.
    pub(super) text: KVVec<u8>,
}

impl Report {
    /// Returns the report of a guest that has not run.
    pub(super) fn new() -> Self {
        Self {
            ending: Ending::EngineFault,
            code: 0,
            fuel_used: 0,
            memory_peak: 0,
            heap_peak: 0,
            stack_peak: 0,
            limit_value: 0,
            results: [0; INVOKE_MAX],
            results_len: 0,
            text: KVVec::new(),
        }
    }

    /// Stores the ending and the results that the engine returned in `args`, and `text`, which
    /// explains the ending.
    pub(super) fn record(&mut self, args: &RunArgs, text: &[u8]) {
        self.ending = ending(args.ending);
        self.code = args.code;
        self.results_len = args.results_len;
        self.say(text);
    }

    /// Stores the ending of a guest that has no results. `code` is the detail that [`Ending`]
    /// describes.
    pub(super) fn set_ending(&mut self, ending: Ending, code: u32) {
        self.ending = ending;
        self.code = code;
        self.results_len = 0;
    }

    /// Returns the answer of `KWASMI_IOC_RUN`; the fields of the log buffer are 0.
    pub(super) fn answer(&self) -> kwasmi_run {
        kwasmi_run {
            status: self.ending as u32,
            code: self.code,
            fuel_used: self.fuel_used,
            memory_peak: self.memory_peak,
            heap_peak: self.heap_peak,
            stack_peak: self.stack_peak,
            limit_value: self.limit_value,
            ..kwasmi_run::default()
        }
    }

    /// Stores the text that explains how the guest ended. Without memory for it, the text is
    /// dropped. `allocation::copy` does not call the out-of-memory killer: the guest may have used up
    /// its memory cgroup.
    pub(super) fn say(&mut self, text: &[u8]) {
        self.text = allocation::copy(text).unwrap_or_default();
    }
}

/// Returns the ending with the number `raw`, which the engine has stored. An unknown number is an
/// engine fault.
fn ending(raw: u32) -> Ending {
    [
        Ending::Exited,
        Ending::Trapped,
        Ending::Limited,
        Ending::Killed,
        Ending::OutOfMemory,
    ]
    .into_iter()
    .find(|ending| *ending as u32 == raw)
    .unwrap_or(Ending::EngineFault)
}
