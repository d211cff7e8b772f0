// SPDX-License-Identifier: GPL-2.0

//! Data of an instance that host functions need, and the limits on its memories and tables.

use crate::{
    ffi::{
        InstanceLimits,
        Limit, //
    },
    wasi,
};
use wasmi::{
    Memory, ResourceLimiter,
    errors::{
        MemoryError,
        TableError, //
    },
};
use wasmi_core::LimiterError;

/// Amount of a resource that has a limit.
#[derive(Clone, Copy, Debug, Default)]
struct Quantity {
    now: u64,
    peak: u64,
    /// Size of the last growth, which [`Quantity::fail`] takes back.
    growth: u64,
}

impl Quantity {
    /// Adds the growth from `current` to `desired` and returns true, unless the sum would exceed
    /// `max`.
    fn grow(&mut self, current: usize, desired: usize, max: u64) -> bool {
        let growth = desired.saturating_sub(current) as u64;
        let now = self.now.saturating_add(growth);
        if now > max {
            return false;
        }
        *self = Self { now, peak: self.peak.max(self.now), growth };
        true
    }

    /// Takes back the last growth, which failed after it was counted.
    fn fail(&mut self) {
        self.now = self.now.saturating_sub(core::mem::take(&mut self.growth));
    }

    /// Returns the largest amount so far.
    fn peak(self) -> u64 {
        self.peak.max(self.now)
    }
}

/// Data of the store: everything that host functions need.
pub struct State<H> {
    pub(crate) wasi: wasi::WasiCtx<H>,
    pub(crate) memory: Option<Memory>,
    pub(crate) limits: InstanceLimits,
    memory_bytes: Quantity,
    table_elements: Quantity,
    /// Reason for which a growth was denied. If it is set, the guest ends.
    denied: Option<Denied>,
}

impl<H> State<H> {
    /// Returns the state of a guest that has not run.
    pub(crate) fn new(wasi: wasi::WasiCtx<H>, limits: InstanceLimits) -> Self {
        Self {
            wasi,
            memory: None,
            limits,
            memory_bytes: Quantity::default(),
            table_elements: Quantity::default(),
            denied: None,
        }
    }

    /// Returns the reason for which a growth was denied.
    pub(crate) fn denied(&self) -> Option<Denied> {
        self.denied
    }

    /// Returns the peak of the linear memories, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        self.memory_bytes.peak()
    }
}

/// Reason for denying a growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The growth would have exceeded a limit.
    Limit(Limit),
    /// `table.grow` ran out of fuel at the end of a slice. wasmi 2.0.0 does not save the
    /// instruction pointer there, so resuming would repeat the instructions before it.
    Pause,
}

impl<H> State<H> {
    fn deny<T>(&mut self, why: Denied) -> Result<T, LimiterError> {
        self.denied = Some(why);
        Err(LimiterError::ResourceLimiterDeniedAllocation)
    }
}

/// Implements the limits of an instance. A growth beyond the maximum that the module declares
/// returns -1 to the guest, as the specification demands. A growth beyond a limit, or for which no
/// memory is available, ends the guest.
impl<H: Send + Sync + 'static> ResourceLimiter for State<H> {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool, LimiterError> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if self.memory_bytes.grow(current, desired, self.limits.memory) {
            self.wasi.calls.counters.set_memory(self.memory_peak());
            Ok(true)
        } else {
            self.deny(Denied::Limit(Limit::Memory))
        }
    }

    fn memory_grow_failed(&mut self, error: &MemoryError) -> Result<(), LimiterError> {
        self.memory_bytes.fail();
        self.wasi.calls.counters.set_memory(self.memory_peak());
        match error {
            MemoryError::OutOfSystemMemory => Err(LimiterError::ResourceLimiterDeniedAllocation),
            _ => Ok(()),
        }
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool, LimiterError> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if self.table_elements.grow(current, desired, self.limits.table) {
            Ok(true)
        } else {
            self.deny(Denied::Limit(Limit::Table))
        }
    }

    fn table_grow_failed(&mut self, error: &TableError) -> Result<(), LimiterError> {
        self.table_elements.fail();
        match error {
            TableError::OutOfSystemMemory => Err(LimiterError::ResourceLimiterDeniedAllocation),
            TableError::OutOfFuel { .. } => self.deny(Denied::Pause),
            _ => Ok(()),
        }
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        100
    }

    fn memories(&self) -> usize {
        16
    }
}
