// SPDX-License-Identifier: GPL-2.0

//! Counters that the engine changes while the host reads them.

use core::sync::atomic::{
    AtomicU64,
    AtomicUsize, //
};

/// Upper bound of the number of functions that guests can import. Size of
/// [`GuestCounters::calls`].
pub const HOST_FUNCTIONS_MAX: usize = 64;

/// Counters of a guest. The host owns them; the engine changes them while the guest runs.
#[repr(C)]
#[derive(Debug)]
pub struct GuestCounters {
    /// Fuel used, up to the end of the last slice.
    pub fuel: AtomicU64,
    /// Size of the linear memories, in bytes. It never decreases: memories only grow.
    pub memory: AtomicU64,
    /// Host calls by function, in the order of `wasi/table.rs`.
    pub calls: [AtomicU64; HOST_FUNCTIONS_MAX],
}

impl GuestCounters {
    /// Returns counters with the value 0.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            fuel: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            calls: [const { AtomicU64::new(0) }; HOST_FUNCTIONS_MAX],
        }
    }
}

impl Default for GuestCounters {
    fn default() -> Self {
        Self::new()
    }
}

/// Counters of an open heap account. The engine owns them and changes them at any time, until the
/// account is closed.
#[repr(C)]
#[derive(Debug)]
pub struct AccountCounters {
    /// Bytes allocated, including bookkeeping.
    pub used: AtomicUsize,
    /// Highest value of `used` so far.
    pub peak: AtomicUsize,
    /// Number of allocated blocks.
    pub blocks: AtomicUsize,
}

impl AccountCounters {
    /// Returns counters with the value 0.
    #[must_use]
    pub const fn new() -> Self {
        Self { used: AtomicUsize::new(0), peak: AtomicUsize::new(0), blocks: AtomicUsize::new(0) }
    }
}

impl Default for AccountCounters {
    fn default() -> Self {
        Self::new()
    }
}
