// SPDX-License-Identifier: GPL-2.0

//! Sums of the counters of several instances.

use super::{
    Counter,
    CounterId,
    Sink,
    FUNCTIONS, //
};
use kernel::prelude::*;

/// Upper bound of the number of counters: one for each function, 26 of the histogram, 6 of the
/// endings, 9 of the traps, 13 others, and some room.
const COUNTERS_MAX: usize = FUNCTIONS.len() + 64;

/// Sums of the counters of several instances, in ascending order of their numbers.
pub(crate) struct CounterSums(KVVec<Counter>);

impl CounterSums {
    /// Returns sums without counters, with room for all.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(KVVec::with_capacity(
            COUNTERS_MAX,
            GFP_KERNEL_ACCOUNT,
        )?))
    }

    /// Adds a counter of an instance to its sum. For a peak, keeps the maximum.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there are more counters than any instance has.
    pub(crate) fn add(&mut self, counter: Counter) -> Result {
        let key = |counter: &Counter| (counter.id as u32, counter.index);
        let wanted = key(&counter);
        match self.0.binary_search_by_key(&wanted, key) {
            Ok(index) => {
                let Some(sum) = self.0.get_mut(index) else {
                    return Ok(());
                };
                sum.value = match counter.id {
                    CounterId::MemoryPeak | CounterId::HeapPeak => sum.value.max(counter.value),
                    _ => sum.value.saturating_add(counter.value),
                };
                Ok(())
            }
            Err(index) => self
                .0
                .insert_within_capacity(index, counter)
                .map_err(|_| ENOMEM),
        }
    }

    /// Adds a counter of an instance that is about to be freed. Memory, heap and queued calls count
    /// as 0.
    ///
    /// # Errors
    ///
    /// The error of [`CounterSums::add`].
    pub(crate) fn add_past(&mut self, counter: Counter) -> Result {
        match counter.id {
            CounterId::Memory | CounterId::Heap | CounterId::CallsQueued => self.add(Counter {
                value: 0,
                ..counter
            }),
            _ => self.add(counter),
        }
    }

    /// Passes the sums to `sink`.
    ///
    /// # Errors
    ///
    /// The errors of `sink`.
    pub(crate) fn list(&self, sink: Sink<'_>) -> Result {
        self.0.iter().try_for_each(|counter| sink(*counter))
    }
}
