// SPDX-License-Identifier: GPL-2.0

//! [`Counters`]: the engine's reference to the counters of a guest, which the host reads at any
//! time.

use crate::{
    ffi::GuestCounters,
    wasi::FunctionId, //
};
use alloc::boxed::Box;
use core::{
    ptr::NonNull,
    sync::atomic::{
        AtomicU64,
        Ordering, //
    },
};

/// Counters of a guest: those of the host, or own ones if the host has none.
///
/// # Invariants
///
/// `place` points to counters that live as long as `self`.
#[derive(Debug)]
pub struct Counters {
    place: NonNull<GuestCounters>,
    is_own: bool,
}

// SAFETY: `GuestCounters` consists of atomic integers, which any task may access.
unsafe impl Send for Counters {}
// SAFETY: `GuestCounters` consists of atomic integers, which several tasks may access at once.
unsafe impl Sync for Counters {}

/// Adds 1 to a counter that no other task changes.
#[inline(always)]
fn increment(counter: &AtomicU64) {
    // An atomic addition would lock the bus. It would take centuries to overflow.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

impl Counters {
    /// Returns own counters.
    pub(crate) fn new() -> Self {
        // INVARIANT: `drop` frees the counters.
        Self { place: NonNull::from(Box::leak(Box::new(GuestCounters::new()))), is_own: true }
    }

    /// Returns a reference to counters of the host.
    ///
    /// # Safety
    ///
    /// `counters` is not null and valid until the result is dropped.
    #[cfg(feature = "object")]
    pub(crate) unsafe fn of_host(counters: *const GuestCounters) -> Self {
        // SAFETY: `counters` is not null by this function's safety requirement.
        let place = unsafe { NonNull::new_unchecked(counters.cast_mut()) };
        // INVARIANT: `counters` is valid for this long by this function's safety requirement.
        Self { place, is_own: false }
    }

    #[inline(always)]
    fn get(&self) -> &GuestCounters {
        // SAFETY: The counters live as long as `self`, by the type invariant. They are only accessed
        // by shared references.
        unsafe { self.place.as_ref() }
    }

    /// Counts a call of `function`.
    #[inline(always)]
    pub(crate) fn count(&self, function: FunctionId) {
        if let Some(counter) = self.get().calls.get(function as usize) {
            increment(counter);
        }
    }

    /// Takes back [`Counters::count`].
    pub(crate) fn uncount(&self, function: FunctionId) {
        if let Some(counter) = self.get().calls.get(function as usize) {
            counter.store(counter.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
        }
    }

    /// Returns the number of calls of all functions.
    pub(crate) fn calls(&self) -> u64 {
        self.get().calls.iter().fold(0, |sum: u64, counter| sum.wrapping_add(counter.load(Ordering::Relaxed)))
    }

    /// Sets the size of the linear memories, in bytes.
    pub(crate) fn set_memory(&self, bytes: u64) {
        self.get().memory.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        if self.is_own {
            // SAFETY: `Counters::new` leaked a box at this address, and nothing uses it any more.
            drop(unsafe { Box::from_raw(self.place.as_ptr()) });
        }
    }
}
