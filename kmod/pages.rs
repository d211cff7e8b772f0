// SPDX-License-Identifier: GPL-2.0

//! Pages, and their mapping to consecutive addresses of the kernel.
//!
//! C headers: [`include/linux/gfp.h`](srctree/include/linux/gfp.h),
//! [`include/linux/vmalloc.h`](srctree/include/linux/vmalloc.h)

use crate::{
    allocation,
    bindings as vmalloc, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*, //
};

/// Page, charged to the memory cgroup of the task that allocated it.
///
/// # Invariants
///
/// The pointer is that of an allocated page of order 0, of which this value owns a reference.
pub(crate) struct Page(NonNull<bindings::page>);

// SAFETY: Any task may use and free a page.
unsafe impl Send for Page {}
// SAFETY: A shared reference only gives the pointer.
unsafe impl Sync for Page {}

impl Page {
    /// Allocates a page of zeros.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if no memory is available.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: `alloc_pages` accepts all flags in process context.
        let page = unsafe { bindings::alloc_pages(allocation::FLAGS | bindings::__GFP_ZERO, 0) };
        // INVARIANT: The page was just allocated.
        Ok(Self(NonNull::new(page).ok_or(ENOMEM)?))
    }

    /// Returns the pointer to the page.
    pub(crate) fn as_ptr(&self) -> NonNull<bindings::page> {
        self.0
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this value owns a reference to the page, which has order 0.
        unsafe { bindings::__free_pages(self.0.as_ptr(), 0) };
    }
}

/// Mapping of pages.
///
/// # Invariants
///
/// `vm_map_ram` has mapped `count` pages to `start`.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    count: u32,
}

// SAFETY: Any task may unmap the pages.
unsafe impl Send for Mapping {}
// SAFETY: A shared reference only gives the address.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `pages` in this order.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also for 16 TiB and more.
    ///
    /// # Safety
    ///
    /// The pages must be allocated until the result is dropped.
    pub(crate) unsafe fn new(pages: &mut [NonNull<bindings::page>]) -> Result<Self> {
        let count = u32::try_from(pages.len()).map_err(|_| ENOMEM)?;
        // A `NonNull` has the representation of a pointer.
        let array = pages.as_mut_ptr().cast::<*mut bindings::page>();
        // SAFETY: `vm_map_ram` requires an array of pointers to `count` allocated pages, which it
        // only reads. The pages are allocated by this function's safety requirement.
        let start = unsafe { vmalloc::vm_map_ram(array, count, bindings::NUMA_NO_NODE) };
        // INVARIANT: The pages have just been mapped.
        Ok(Self {
            start: NonNull::new(start.cast()).ok_or(ENOMEM)?,
            count,
        })
    }

    /// Returns the address of the first page.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `vm_unmap_ram` requires the address that `vm_map_ram` returned, and its number of
        // pages, which these are by the type invariant. Nothing uses the addresses any more.
        unsafe { vmalloc::vm_unmap_ram(self.start.as_ptr().cast(), self.count) };
    }
}
