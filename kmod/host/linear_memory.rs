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

use super::signal;
use crate::{
    allocation, //
    ffi::SPECULATION_PAD,
    pages::{
        Mapping,
        Page, //
    },
};
use core::ptr::NonNull;
use kernel::{
    error::code::EINTR,
    page::PAGE_SIZE,
    prelude::*, //
};

/// Number of pages that are allocated between two checkpoints.
const PAGES_PER_CHECK: usize = 256;

/// Linear memory.
///
/// # Invariants
///
/// If there are pages, `mapping` maps all of them, in order, and behind them `filler`: [`mapped`]
/// pages in all.
pub(crate) struct LinearMemory {
    /// Declared before the pages, so that it is dropped before them.
    mapping: Option<Mapping>,
    pages: KVVec<Page>,
    /// Page of zeros, from the first growth on.
    filler: Option<Page>,
}

// SAFETY: Any task may use and free the pages.
unsafe impl Send for LinearMemory {}

impl LinearMemory {
    /// Returns a memory without pages.
    pub(crate) fn new() -> Self {
        // INVARIANT: There are no pages.
        Self {
            mapping: None,
            pages: KVVec::new(),
            filler: None,
        }
    }

    /// Returns the size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.pages.len() * PAGE_SIZE
    }

    /// Returns the address of the first byte. [`LinearMemory::grow`] changes it.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.mapping
            .as_ref()
            .map_or(NonNull::dangling(), Mapping::start)
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
            let _ = addresses.push_within_capacity(page.as_ptr());
        }
        // SAFETY: `Mapping::new` requires that the pages stay allocated until the mapping is
        // dropped. `pages` and `filler` keep them, or are freed below if there is no mapping.
        match unsafe { Mapping::new(&mut addresses) } {
            Ok(mapping) => {
                // INVARIANT: All pages have just been mapped, with the padding.
                self.mapping = Some(mapping);
                self.pages = pages;
                Ok(())
            }
            Err(error) => {
                pages.truncate(before);
                // INVARIANT: The pages are those of the former mapping.
                self.pages = pages;
                Err(error)
            }
        }
    }
}

impl Drop for LinearMemory {
    fn drop(&mut self) {
        self.mapping = None;
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
