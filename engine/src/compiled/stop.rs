// SPDX-License-Identifier: GPL-2.0

//! Reasons why compiled code is left.

use crate::vmctx::TrapReason;

/// Reasons for a helper not to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceStop {
    /// A trap.
    Trap(TrapReason),
    /// A limit of memory.
    MemoryLimit,
    /// A limit of table elements.
    TableLimit,
    /// No memory.
    OutOfMemory,
}

impl From<TrapReason> for InstanceStop {
    fn from(reason: TrapReason) -> Self {
        Self::Trap(reason)
    }
}
