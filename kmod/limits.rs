// SPDX-License-Identifier: GPL-2.0

//! What a module and an instance may take: the defaults, and the ceilings that root sets as module parameters.

use crate::{
    log::LogBuffer,
    module_parameters, //
};
use core::fmt::Write;
use kernel::prelude::*;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The default linear memory, in bytes.
const MEMORY_DEFAULT: u64 = 256 * MIB;
/// The default heap of an instance, in bytes: room for a linear memory of the default size to grow, which copies it.
const HEAP_DEFAULT: u64 = 1024 * MIB;
/// The default Wasm value stack, in bytes.
const STACK_DEFAULT: u64 = MIB;
/// The smallest Wasm value stack, in bytes; the engine's `STACK_MIN`.
const STACK_MIN: u64 = 4 * KIB;

/// The largest module that is accepted, in bytes.
pub(crate) fn module_bytes() -> u64 {
    module_parameters::module_max_kib.value().saturating_mul(KIB)
}

/// The ceiling for a linear memory, in bytes.
pub(crate) fn memory_ceiling() -> u64 {
    module_parameters::memory_max_mib.value().saturating_mul(MIB)
}

/// The ceiling for an engine's heap, in bytes; also what a module may take.
pub(crate) fn heap_ceiling() -> u64 {
    module_parameters::heap_max_mib.value().saturating_mul(MIB)
}

fn stack_ceiling() -> u64 {
    module_parameters::stack_max_kib.value().saturating_mul(KIB).max(STACK_MIN)
}

/// The size of the reserve, in bytes.
pub(crate) fn reserve_bytes() -> usize {
    module_parameters::reserve_kib.value().saturating_mul(KIB).clamp(64 * KIB, 64 * MIB) as usize
}

/// Whether imports are provided that make the engine fail.
pub(crate) fn has_fault_injection() -> bool {
    module_parameters::fault_injection.value()
}

/// What the caller asked for, or the default where that is 0; not above the ceiling.
fn choose(log: &mut LogBuffer, what: &str, asked: u64, default: u64, ceiling: u64) -> Result<usize> {
    if asked > ceiling {
        let _ = write!(log, "{what} of {asked} bytes is above the ceiling of {ceiling}");
        return Err(EDQUOT);
    }
    let value = if asked == 0 { default.min(ceiling) } else { asked };
    Ok(usize::try_from(value)?)
}

/// The Wasm value stack, in bytes.
pub(crate) fn stack(log: &mut LogBuffer, asked: u64) -> Result<usize> {
    if asked != 0 && asked < STACK_MIN {
        let _ = write!(log, "a value stack of {asked} bytes is below the least of {STACK_MIN}");
        return Err(EINVAL);
    }
    choose(log, "a value stack", asked, STACK_DEFAULT, stack_ceiling())
}

/// The linear memory, in bytes.
pub(crate) fn memory(log: &mut LogBuffer, asked: u64) -> Result<usize> {
    choose(log, "a linear memory", asked, MEMORY_DEFAULT, memory_ceiling())
}

/// The heap of an instance, in bytes.
pub(crate) fn heap(log: &mut LogBuffer, asked: u64) -> Result<usize> {
    choose(log, "a heap", asked, HEAP_DEFAULT, heap_ceiling())
}
