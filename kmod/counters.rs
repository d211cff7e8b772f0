// SPDX-License-Identifier: GPL-2.0

//! Counters of resources that exist now, for `KWASMI_IOC_INFO` and for the limits of all modules
//! and instances together.

use crate::host::credentials;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// Atomic counter.
pub(crate) struct Counter(Atomic<u64>);

impl Counter {
    /// Creates a counter with value 0.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Returns the value.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Adds `more` to the counter.
    pub(crate) fn add(&self, more: usize) {
        self.0.add(more as u64, Relaxed);
    }

    /// Adds `more` to the counter if the sum is at most `max`. Returns true if it did.
    pub(crate) fn add_below(&self, more: usize, max: u64) -> bool {
        // Other tasks never see a refused addition, so a task that retries at the limit does not
        // keep others from the rest.
        let mut seen = self.0.load(Relaxed);
        while let Some(now) = seen.checked_add(more as u64).filter(|now| *now <= max) {
            match self.0.cmpxchg(seen, now, Relaxed) {
                Ok(_) => return true,
                Err(other) => seen = other,
            }
        }
        false
    }

    /// Adds `more` to the counter if the sum is at most the part of `total` that the caller may
    /// use. Returns true if it did.
    pub(crate) fn add_of_total(&self, more: usize, total: u64) -> bool {
        self.add_below(more, open_to_all(total))
            || credentials::is_caller_root() && self.add_below(more, total)
    }

    /// Subtracts `less` from the counter.
    pub(crate) fn sub(&self, less: usize) {
        self.0.add((less as u64).wrapping_neg(), Relaxed);
    }

    /// Sets the counter to `value` if it is lower.
    pub(crate) fn raise(&self, value: usize) {
        let value = value as u64;
        let mut seen = self.0.load(Relaxed);
        while seen < value {
            match self.0.cmpxchg(seen, value, Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}

/// Returns the part of `total` that all callers may use. The last eighth is reserved for callers
/// with CAP_SYS_ADMIN.
const fn open_to_all(total: u64) -> u64 {
    total - total / 8
}

/// Returns the part of `total` that the caller may use.
pub(crate) fn most(total: u64) -> u64 {
    if credentials::is_caller_root() {
        total
    } else {
        open_to_all(total)
    }
}

/// Number of modules in memory.
pub(crate) static MODULES: Counter = Counter::new();
/// Number of instances in memory.
pub(crate) static INSTANCES: Counter = Counter::new();
/// Bytes that are allocated for engines.
pub(crate) static HEAP_BYTES: Counter = Counter::new();
/// Number of compiled programs in memory. Modules that share code share the program.
pub(crate) static COMPILED: Counter = Counter::new();
/// Bytes of machine code, which [`HEAP_BYTES`] includes.
pub(crate) static MACHINE_CODE_BYTES: Counter = Counter::new();
/// Number of blocks that make up [`HEAP_BYTES`].
pub(crate) static HEAP_BLOCKS: Counter = Counter::new();
/// Bytes that were freed on behalf of engines that failed or leaked them.
pub(crate) static RECLAIMED_BYTES: Counter = Counter::new();
/// Number of tasks that are in the engine to load, start or run.
pub(crate) static RUNNING: Counter = Counter::new();
/// Deepest use of an engine stack, in bytes.
pub(crate) static STACK_PEAK: Counter = Counter::new();
/// Modules whose compiled code the checker refused.
pub(crate) static UNSAFE: Counter = Counter::new();
