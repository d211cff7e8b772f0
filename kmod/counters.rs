// SPDX-License-Identifier: GPL-2.0

//! What kwasmi holds now, for `KWASMI_IOC_INFO` and for the limits of all together.

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// A number.
pub(crate) struct Counter(Atomic<u64>);

impl Counter {
    const fn new() -> Self {
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
        let more = more as u64;
        let before = self.0.fetch_add(more, Relaxed);
        if before.checked_add(more).is_some_and(|now| now <= max) {
            return true;
        }
        self.0.add(more.wrapping_neg(), Relaxed);
        false
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
