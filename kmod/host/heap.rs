// SPDX-License-Identifier: GPL-2.0

//! Memory for the engine.

use super::Host;
use crate::{
    counters,
    ffi::Checkpoint,
    limits,
    memory,
    uapi::KWASMI_LIMIT_TOTAL_HEAP, //
};
use core::{
    alloc::Layout,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// What became of a request for memory.
pub(super) enum Allocated {
    /// The address.
    At(u64),
    /// The work that needs it is to end.
    Stop(Checkpoint),
}

/// Allocates `size` bytes, aligned to `align`. Translating a module allocates all the time: this is where it is ended.
///
/// # Errors
///
/// `ENOMEM`; `EDQUOT` if all engines together would have too much.
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
/// `addr` came from [`alloc`] for `size` bytes, and is freed once.
pub(super) unsafe fn free(host: Option<&mut Host>, addr: u64, size: u64) {
    if let Some(block) = NonNull::new(addr as *mut u8) {
        if let Some(host) = host {
            host.resident.sub(size as usize);
        }
        counters::HEAP_BLOCKS.sub(1);
        counters::HEAP_BYTES.sub(size as usize);
        // SAFETY: The caller guarantees it.
        unsafe { memory::free(block) };
    }
}
