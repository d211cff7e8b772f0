// SPDX-License-Identifier: GPL-2.0

//! Memory for what callers and guests ask for: charged to the memory cgroup of the task, and refused where there is none, in
//! the cgroup or in the machine, without the out-of-memory killer being called for it.
//!
//! The `kernel` crate's allocators cannot be told that (`__GFP_RETRY_MAYFAIL`), so this calls what they call.
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

/// The largest block in bytes that is looked for in one piece; a larger one is mapped page by page.
const PIECE_MAX: usize = 8192;

const FLAGS: u32 = bindings::GFP_KERNEL_ACCOUNT | bindings::__GFP_NOWARN | (1 << bindings::___GFP_RETRY_MAYFAIL_BIT);

/// Allocates memory; `kvfree` gives it back.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn allocate(layout: Layout) -> Result<NonNull<u8>> {
    let (size, align) = (layout.size(), layout.align());
    if size == 0 {
        return Err(EINVAL);
    }
    let block = if size <= PIECE_MAX {
        // SAFETY: There is nothing to reallocate.
        unsafe { bindings::kvrealloc_node_align(ptr::null(), size, align, FLAGS, bindings::NUMA_NO_NODE) }
    } else {
        // SAFETY: As above.
        unsafe { bindings::vrealloc_node_align(ptr::null(), size, align, FLAGS, bindings::NUMA_NO_NODE) }
    };
    NonNull::new(block.cast()).ok_or(ENOMEM)
}

/// Gives memory back.
///
/// # Safety
///
/// `block` came from [`allocate`], and is given back once.
pub(crate) unsafe fn free(block: NonNull<u8>) {
    // SAFETY: The caller guarantees it.
    unsafe { bindings::kvfree(block.as_ptr().cast()) };
}

/// An empty vector with room for `len` bytes.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn buffer(len: usize) -> Result<KVVec<u8>> {
    if len == 0 {
        return Ok(KVVec::new());
    }
    let block = allocate(Layout::array::<u8>(len).map_err(|_| ENOMEM)?)?;
    // SAFETY: The block is fresh and has `len` bytes; `KVmalloc` frees with `kvfree` as well.
    Ok(unsafe { KVVec::from_raw_parts(block.as_ptr(), 0, len) })
}
