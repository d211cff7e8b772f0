// SPDX-License-Identifier: GPL-2.0

//! What kwasmi holds now, for `KWASMI_IOC_INFO` and for the limits of all together.

use crate::host::credentials;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// A number.
pub(crate) struct Counter(Atomic<u64>);

impl Counter {
    /// 0.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Its value.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Adds to it.
    pub(crate) fn add(&self, more: usize) {
        self.0.add(more as u64, Relaxed);
    }

    /// Adds to it, unless it would be more than `max` then; whether it did.
    pub(crate) fn add_below(&self, more: usize, max: u64) -> bool {
        // What is refused is never seen by others: who tries again and again at the limit keeps nobody else from what is left.
        let mut seen = self.0.load(Relaxed);
        while let Some(now) = seen.checked_add(more as u64).filter(|now| *now <= max) {
            match self.0.cmpxchg(seen, now, Relaxed) {
                Ok(_) => return true,
                Err(other) => seen = other,
            }
        }
        false
    }

    /// Adds to it, unless it would be more than the caller may have of `total` then; whether it did.
    pub(crate) fn add_of_total(&self, more: usize, total: u64) -> bool {
        self.add_below(more, open_to_all(total)) || credentials::is_caller_root() && self.add_below(more, total)
    }

    /// Takes from it.
    pub(crate) fn sub(&self, less: usize) {
        self.0.add((less as u64).wrapping_neg(), Relaxed);
    }

    /// Raises it to `value`, if it is lower.
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

/// The part of `total` that is not kept for callers with CAP_SYS_ADMIN: they have the last eighth to themselves.
const fn open_to_all(total: u64) -> u64 {
    total - total / 8
}

/// The most that the caller may have of `total`.
pub(crate) fn most(total: u64) -> u64 {
    if credentials::is_caller_root() {
        total
    } else {
        open_to_all(total)
    }
}

/// Module descriptors that are open.
pub(crate) static MODULES: Counter = Counter::new();
/// Instance descriptors that are open.
pub(crate) static INSTANCES: Counter = Counter::new();
/// Bytes that the kernel gave to engines.
pub(crate) static HEAP_BYTES: Counter = Counter::new();
/// In how many blocks.
pub(crate) static HEAP_BLOCKS: Counter = Counter::new();
/// Bytes taken back from engines that failed, or did not free them.
pub(crate) static RECLAIMED_BYTES: Counter = Counter::new();
/// Tasks that are in the engine to load, start or run.
pub(crate) static RUNNING: Counter = Counter::new();
/// The deepest use of an engine stack, in bytes.
pub(crate) static STACK_PEAK: Counter = Counter::new();
/// Modules whose compiled code the checker refused.
pub(crate) static UNSAFE: Counter = Counter::new();
