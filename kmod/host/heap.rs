// SPDX-License-Identifier: GPL-2.0

//! Memory for the engine: kvmalloc, charged to the memory cgroup of the task.

use crate::counters;
use core::{
    alloc::Layout,
    ptr::NonNull, //
};
use kernel::{
    alloc::{
        allocator::KVmalloc,
        flags,
        Allocator,
        NumaNode, //
    },
    bindings,
    prelude::*, //
};

/// Allocates `size` bytes, aligned to `align`; returns the address.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn alloc(size: u64, align: u64) -> Result<u64> {
    let layout = Layout::from_size_align(usize::try_from(size)?, usize::try_from(align)?).map_err(|_| ENOMEM)?;
    let flags = GFP_KERNEL_ACCOUNT | flags::__GFP_NOWARN;
    let block = KVmalloc::alloc(layout, flags, NumaNode::NO_NODE)?;
    counters::HEAP_BLOCKS.add(1);
    counters::HEAP_BYTES.add(layout.size());
    Ok(block.cast::<u8>().as_ptr() as u64)
}

/// Frees a block.
///
/// # Safety
///
/// `addr` came from [`alloc`] for `size` bytes, and is freed once.
pub(super) unsafe fn free(addr: u64, size: u64) {
    if let Some(block) = NonNull::new(addr as *mut c_void) {
        counters::HEAP_BLOCKS.sub(1);
        counters::HEAP_BYTES.sub(size as usize);
        // SAFETY: The caller guarantees it.
        unsafe { bindings::kvfree(block.as_ptr()) };
    }
}
