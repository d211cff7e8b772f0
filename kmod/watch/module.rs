// SPDX-License-Identifier: GPL-2.0

//! Counters of a module.

use super::{
    Counter,
    CounterId,
    Sink, //
};
use crate::{
    counters,
    ffi::Ending, //
};
use kernel::prelude::*;

/// Words for the ends of guests, in the order of [`Ending`]; those of `docs/stats.md`.
const ENDS: [&str; 6] = [
    "exited",
    "trapped",
    "limited",
    "killed",
    "out-of-memory",
    "engine-fault",
];

/// Words for the traps `KWASMI_TRAP_*`, whose numbers begin at 1.
const TRAPS: [&str; 9] = [
    "unreachable",
    "memory-bounds",
    "table-bounds",
    "null-element",
    "divide-by-zero",
    "integer-overflow",
    "bad-conversion",
    "bad-signature",
    "other",
];

/// Counters of the instances of byte-identical modules, which share their code.
pub(crate) struct ModuleCounters {
    instances: counters::Counter,
    starts: counters::Counter,
    ends: [counters::Counter; ENDS.len()],
    traps: [counters::Counter; TRAPS.len()],
}

impl ModuleCounters {
    /// Returns the counters of a module without instances.
    pub(crate) const fn new() -> Self {
        Self {
            instances: counters::Counter::new(),
            starts: counters::Counter::new(),
            ends: [const { counters::Counter::new() }; ENDS.len()],
            traps: [const { counters::Counter::new() }; TRAPS.len()],
        }
    }

    /// Counts an instance that is created.
    pub(crate) fn create(&self) {
        self.instances.add(1);
    }

    /// Counts an instance that is started.
    pub(crate) fn start(&self) {
        self.starts.add(1);
    }

    /// Counts a guest that has ended. `code` is the detail that [`Ending`] describes.
    pub(crate) fn end(&self, ending: Ending, code: u32) {
        if let Some(counter) = self.ends.get(ending as usize) {
            counter.add(1);
        }
        let trap = (code as usize).wrapping_sub(1);
        if let (Ending::Trapped, Some(counter)) = (ending, self.traps.get(trap)) {
            counter.add(1);
        }
    }

    /// Counts an instance that is dropped.
    pub(crate) fn drop_instance(&self) {
        self.instances.sub(1);
    }

    /// Passes the counters to `sink`.
    ///
    /// # Errors
    ///
    /// The errors of `sink`.
    pub(crate) fn list(&self, sink: Sink<'_>) -> Result {
        sink(Counter::new(CounterId::Instances, self.instances.get()))?;
        sink(Counter::new(CounterId::Starts, self.starts.get()))?;
        labelled(CounterId::Ends, 0, &ENDS, &self.ends, sink)?;
        labelled(CounterId::Traps, 1, &TRAPS, &self.traps, sink)
    }
}

/// Passes those of `counters` that are not 0 to `sink`, with the indices from `first` on.
///
/// # Errors
///
/// The errors of `sink`.
fn labelled(
    id: CounterId,
    first: usize,
    words: &[&'static str],
    counters: &[counters::Counter],
    sink: Sink<'_>,
) -> Result {
    for (index, (word, counter)) in words.iter().zip(counters).enumerate() {
        let value = counter.get();
        if value > 0 {
            sink(Counter::labelled(id, first + index, value, ("", word)))?;
        }
    }
    Ok(())
}
