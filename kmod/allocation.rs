// SPDX-License-Identifier: GPL-2.0

//! Memory whose amount callers and guests determine. It is charged to the memory cgroup of the
//! task. If the cgroup or the machine is out of memory, an allocation fails instead of calling the
//! out-of-memory killer.
//!
//! The allocators of the `kernel` crate do not accept the flag for that, `__GFP_RETRY_MAYFAIL`, so
//! this file calls the kernel's functions itself.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)

use core::{
    alloc::Layout,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Size of the largest block that is allocated with kmalloc first, in bytes. A larger block is
/// mapped page by page with vmalloc.
const PIECE_MAX: usize = 8192;

/// Flags of all allocations.
pub(crate) const FLAGS: u32 = bindings::GFP_KERNEL_ACCOUNT
    | bindings::__GFP_NOWARN
    | (1 << bindings::___GFP_RETRY_MAYFAIL_BIT);

/// Allocates memory, to be freed by [`free`] or `kvfree`.
///
/// # Errors
///
/// `EINVAL` if the size is 0; `ENOMEM`.
pub(crate) fn allocate(layout: Layout) -> Result<NonNull<u8>> {
    let (size, align) = (layout.size(), layout.align());
    if size == 0 {
        return Err(EINVAL);
    }
    let block = if size <= PIECE_MAX {
        // SAFETY: `kvrealloc_node_align` accepts null as the old block, for a new allocation.
        unsafe {
            bindings::kvrealloc_node_align(ptr::null(), size, align, FLAGS, bindings::NUMA_NO_NODE)
        }
    } else {
        // SAFETY: `vrealloc_node_align` accepts null as the old block, for a new allocation.
        unsafe {
            bindings::vrealloc_node_align(ptr::null(), size, align, FLAGS, bindings::NUMA_NO_NODE)
        }
    };
    NonNull::new(block.cast()).ok_or(ENOMEM)
}

/// Frees memory.
///
/// # Safety
///
/// `block` must come from [`allocate`] and must not have been freed.
pub(crate) unsafe fn free(block: NonNull<u8>) {
    // SAFETY: `kvfree` requires memory of kmalloc or vmalloc that is not freed yet, which `block`
    // is by this function's safety requirement.
    unsafe { bindings::kvfree(block.as_ptr().cast()) };
}

/// Returns an empty vector with a capacity of `len` elements.
///
/// # Errors
///
/// `ENOMEM` if no memory is available.
pub(crate) fn buffer<T>(len: usize) -> Result<KVVec<T>> {
    let layout = Layout::array::<T>(len).map_err(|_| ENOMEM)?;
    if layout.size() == 0 {
        return Ok(KVVec::new());
    }
    let block = allocate(layout)?.cast();
    // SAFETY: `from_raw_parts` requires memory with this capacity that the allocator can free and
    // that the vector takes over. `allocate` returned room for `len` elements; `KVmalloc` frees
    // with `kvfree`, too.
    Ok(unsafe { KVVec::from_raw_parts(block.as_ptr(), 0, len) })
}

/// Returns a copy of `bytes`.
///
/// # Errors
///
/// `ENOMEM` if no memory is available.
pub(crate) fn copy(bytes: &[u8]) -> Result<KVVec<u8>> {
    let mut copy = buffer(bytes.len())?;
    copy.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT)?;
    Ok(copy)
}
