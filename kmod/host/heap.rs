// SPDX-License-Identifier: GPL-2.0

//! Memory allocation for the engine: [`HostOp::Alloc`](crate::ffi::HostOp::Alloc) and
//! [`HostOp::Free`](crate::ffi::HostOp::Free).

use super::Host;
use crate::{
    counters,
    ffi::Checkpoint,
    limits,
    memory,
    stack::GuestStack,
    uapi::KWASMI_LIMIT_TOTAL_HEAP, //
};
use core::{
    alloc::Layout,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// Result of an allocation request.
pub(super) enum Allocated {
    /// Address of the block.
    At(u64),
    /// No allocation was made, because the engine must stop its work.
    Stop(Checkpoint),
}

/// Allocates `size` bytes, aligned to `align`. Every few allocations it runs a checkpoint, so that
/// translating a module can be stopped.
///
/// # Errors
///
/// `EDQUOT` if all engines together would exceed `KWASMI_LIMIT_TOTAL_HEAP`; `ENOMEM` if the layout
/// is invalid or memory is short.
pub(super) fn alloc(mut host: Option<&mut Host>, size: u64, align: u64) -> Result<Allocated> {
    let layout = Layout::from_size_align(usize::try_from(size)?, usize::try_from(align)?).map_err(|_| ENOMEM)?;
    if let Some(host) = &mut host {
        if host.is_check_due(layout.size()) {
            match host.checkpoint() {
                Checkpoint::Continue | Checkpoint::Interrupt => {}
                stop => return Ok(Allocated::Stop(stop)),
            }
        }
    }
    if !counters::HEAP_BYTES.add_of_total(layout.size(), limits::ceiling(KWASMI_LIMIT_TOTAL_HEAP)) {
        return Err(EDQUOT);
    }
    let block = memory::allocate(layout).inspect_err(|_| counters::HEAP_BYTES.sub(layout.size()))?;
    counters::HEAP_BLOCKS.add(1);
    if let Some(host) = host {
        host.resident.add(layout.size());
    }
    Ok(Allocated::At(block.as_ptr() as u64))
}

/// Frees a block.
///
/// # Safety
///
/// `addr` must be 0 or the address of a block that [`alloc`] returned for `size` bytes and that has
/// not been freed.
pub(super) unsafe fn free(host: Option<&mut Host>, addr: u64, size: u64) {
    if let Some(block) = NonNull::new(addr as *mut u8) {
        if let Some(host) = host {
            host.resident.sub(size as usize);
        }
        counters::HEAP_BLOCKS.sub(1);
        counters::HEAP_BYTES.sub(size as usize);
        // SAFETY: `memory::free` requires a block of `memory::allocate` that is not freed yet.
        // `alloc` allocated it there, by this function's safety requirement.
        unsafe { memory::free(block) };
    }
}

/// Allocates the stack of a compiled guest: `size` bytes of virtually contiguous memory between guard pages. Returns its address.
///
/// # Errors
///
/// `EDQUOT` if all engines together would exceed `KWASMI_LIMIT_TOTAL_HEAP`; `ENOMEM`.
pub(super) fn alloc_stack(host: Option<&mut Host>, size: u64) -> Result<u64> {
    let size = usize::try_from(size)?;
    if !counters::HEAP_BYTES.add_of_total(size, limits::ceiling(KWASMI_LIMIT_TOTAL_HEAP)) {
        return Err(EDQUOT);
    }
    let stack = GuestStack::new(size).inspect_err(|_| counters::HEAP_BYTES.sub(size))?;
    counters::HEAP_BLOCKS.add(1);
    if let Some(host) = host {
        host.resident.add(size);
    }
    Ok(stack.into_raw() as u64)
}

/// Frees the stack of a compiled guest.
///
/// # Safety
///
/// `addr` must be 0 or the address of a stack that [`alloc_stack`] returned for `size` bytes and that has not been freed. Nothing
/// runs on it.
pub(super) unsafe fn free_stack(host: Option<&mut Host>, addr: u64, size: u64) {
    if let Some(start) = NonNull::new(addr as *mut u8) {
        if let Some(host) = host {
            host.resident.sub(size as usize);
        }
        counters::HEAP_BLOCKS.sub(1);
        counters::HEAP_BYTES.sub(size as usize);
        // SAFETY: By this function's safety requirement the stack came from `into_raw` with this size, and is freed once.
        drop(unsafe { GuestStack::from_raw(start, size as usize) });
    }
}
