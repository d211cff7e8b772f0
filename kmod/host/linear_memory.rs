// SPDX-License-Identifier: GPL-2.0

//! Linear memories of compiled guests.
//!
//! A linear memory is a list of pages that are mapped to consecutive addresses. Growth allocates
//! only the new pages, and maps all pages to another range of addresses. It copies nothing, and the
//! memory never exists twice.
//!
//! Behind the memory lies padding, up to the next power of two of its size plus
//! [`SPECULATION_PAD`]. If the processor speculates past a bounds check of compiled code, it does
//! not get beyond the padding, which is one page of zeros, mapped many times.
//!
//! C headers: [`include/linux/vmalloc.h`](srctree/include/linux/vmalloc.h),
//! [`include/linux/gfp.h`](srctree/include/linux/gfp.h)

use super::signal;
use crate::{
    allocation, //
    bindings as vmalloc,
    ffi::SPECULATION_PAD,
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::code::EINTR,
    page::PAGE_SIZE,
    prelude::*, //
};

/// Number of pages that are allocated between two checkpoints.
const PAGES_PER_CHECK: usize = 256;

/// Page of a linear memory.
///
/// # Invariants
///
/// The pointer is that of an allocated page of order 0, which this value owns.
struct Page(NonNull<bindings::page>);

impl Page {
    /// Allocates a page of zeros.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if no memory is available.
    fn new() -> Result<Self> {
        // SAFETY: `alloc_pages` accepts all flags in process context.
        let page = unsafe { bindings::alloc_pages(allocation::FLAGS | bindings::__GFP_ZERO, 0) };
        // INVARIANT: The page was just allocated.
        Ok(Self(NonNull::new(page).ok_or(ENOMEM)?))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this value owns the page, which has order 0.
        unsafe { bindings::__free_pages(self.0.as_ptr(), 0) };
    }
}

/// Linear memory.
///
/// # Invariants
///
/// If there are pages, `vm_map_ram` has mapped all of them, in order, to `start`, and behind them
/// `filler`: [`mapped`] pages in all.
pub(crate) struct LinearMemory {
    pages: KVVec<Page>,
    /// Page of zeros, from the first growth on.
    filler: Option<Page>,
    start: NonNull<u8>,
}

// SAFETY: Any task may use, map and free the pages.
unsafe impl Send for LinearMemory {}

impl LinearMemory {
    /// Returns a memory without pages.
    pub(crate) fn new() -> Self {
        // INVARIANT: There are no pages.
        Self {
            pages: KVVec::new(),
            filler: None,
            start: NonNull::dangling(),
        }
    }

    /// Returns the size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.pages.len() * PAGE_SIZE
    }

    /// Returns the address of the first byte. [`LinearMemory::grow`] changes it.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Grows the memory to `size` bytes, rounded up to whole pages. New bytes are zero. Every few
    /// pages, `may_continue` decides whether to go on.
    ///
    /// # Errors
    ///
    /// `EINTR` if `may_continue` returned false; `ENOMEM`. The memory is as before then.
    pub(crate) fn grow(&mut self, size: usize, mut may_continue: impl FnMut() -> bool) -> Result {
        let before = self.pages.len();
        let count = size.div_ceil(PAGE_SIZE);
        if count <= before {
            return Ok(());
        }
        let filler = match self.filler.take() {
            Some(filler) => filler,
            None => Page::new()?,
        };
        let filler = &*self.filler.insert(filler);
        let mut added = allocation::buffer(count - before)?;
        for index in before..count {
            if index % PAGES_PER_CHECK == 0 && !may_continue() {
                return Err(EINTR);
            }
            added.push(Page::new()?, GFP_KERNEL)?;
        }
        let mut addresses = allocation::buffer(mapped(count))?;
        let mut pages = allocation::buffer(count)?;
        for page in Iterator::chain(self.pages.drain_all(), added.drain_all()) {
            // The buffer has room for all pages.
            let _ = pages.push_within_capacity(page);
        }
        let padding = core::iter::repeat_n(filler, mapped(count) - count);
        for page in Iterator::chain(pages.iter(), padding) {
            let _ = addresses.push_within_capacity(page.0);
        }
        let start = map(&mut addresses);
        match start {
            Ok(start) => {
                self.unmap(before);
                self.start = start;
            }
            Err(_) => pages.truncate(before),
        }
        // INVARIANT: The pages are those that were mapped to `start` just now, or else before.
        self.pages = pages;
        start.map(|_| ())
    }

    /// Unmaps the memory, which must be mapped with `count` pages.
    fn unmap(&mut self, count: usize) {
        if count > 0 {
            // `map` has checked that the number fits.
            let mapped = mapped(count) as u32;
            // SAFETY: `vm_unmap_ram` requires the address that `vm_map_ram` returned, and its
            // number of pages, which these are by the type invariant. Nothing uses the addresses
            // any more.
            unsafe { vmalloc::vm_unmap_ram(self.start.as_ptr().cast(), mapped) };
        }
    }
}

impl Drop for LinearMemory {
    fn drop(&mut self) {
        self.unmap(self.pages.len());
        // Freeing gigabytes takes a while.
        while self.pages.pop().is_some() {
            if self.pages.len() % PAGES_PER_CHECK == 0 {
                signal::yield_now();
            }
        }
    }
}

/// Returns the number of pages that are mapped for a memory of `count` pages: the next power of
/// two, and [`SPECULATION_PAD`].
fn mapped(count: usize) -> usize {
    count.next_power_of_two() + SPECULATION_PAD / PAGE_SIZE
}

/// Maps `pages` to consecutive addresses, and returns the first.
///
/// # Errors
///
/// `ENOMEM`, also for 16 TiB and more.
fn map(pages: &mut KVVec<NonNull<bindings::page>>) -> Result<NonNull<u8>> {
    let count = u32::try_from(pages.len()).map_err(|_| ENOMEM)?;
    // A `NonNull` has the representation of a pointer.
    let array = pages.as_mut_ptr().cast::<*mut bindings::page>();
    // SAFETY: `vm_map_ram` requires an array of pointers to `count` pages, which it only reads. The
    // caller passes pages that it owns.
    let start = unsafe { vmalloc::vm_map_ram(array, count, bindings::NUMA_NO_NODE) };
    NonNull::new(start.cast()).ok_or(ENOMEM)
}
