// SPDX-License-Identifier: GPL-2.0

//! Accounting of the engine's memory as resident memory of the process that holds a guest.
//!
//! The memory of an engine is not mapped into any process. Without accounting, the out-of-memory
//! killer would take a process with a guest of gigabytes for a small one and kill others first. So
//! the memory counts as anonymous pages of the process that loaded the module or that ran the
//! instance last; ps(1) includes it in RSS.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use core::ptr::NonNull;
use kernel::{
    bindings,
    mm::Mm,
    page::PAGE_SIZE,
    sync::aref::ARef,
    task::Task, //
};

/// Memory that is accounted to one process.
///
/// # Invariants
///
/// `pages` pages are added to the anonymous page counter of `mm`; `pages` is 0 if `mm` is `None`.
pub(crate) struct Resident {
    mm: Option<ARef<Mm>>,
    bytes: usize,
    pages: usize,
}

impl Resident {
    /// Creates an account without memory and without a process.
    pub(crate) fn new() -> Self {
        // INVARIANT: No pages are counted.
        Self {
            mm: None,
            bytes: 0,
            pages: 0,
        }
    }

    /// Moves the account to the current process.
    pub(super) fn move_to_current(&mut self) {
        let task = Task::current_raw();
        // SAFETY: `Task::current_raw` points to the current task, which is valid while it runs.
        // Only the task itself replaces its address space.
        let mm = unsafe { (*task).mm };
        if self
            .mm
            .as_ref()
            .is_some_and(|has| core::ptr::eq(has.as_raw(), mm))
        {
            return;
        }
        self.count(0);
        self.mm = NonNull::new(mm).map(|mm| {
            // SAFETY: `Mm::from_raw` requires that the reference count of `mm` is not zero while
            // the result lives. The current task holds a reference to its address space.
            let mm = unsafe { Mm::from_raw(mm.as_ptr()) };
            // INVARIANT: `count(0)` set `pages` to 0.
            ARef::from(mm)
        });
        self.count(self.bytes);
    }

    /// Adds `bytes` to the account.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.count(self.bytes);
    }

    /// Subtracts `bytes` from the account.
    pub(super) fn sub(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.count(self.bytes);
    }

    /// Removes all memory from the account.
    pub(crate) fn clear(&mut self) {
        self.bytes = 0;
        self.count(0);
    }

    /// Sets the accounted pages to those of `bytes`, rounded up.
    fn count(&mut self, bytes: usize) {
        let Some(mm) = &self.mm else {
            return;
        };
        let pages = bytes.div_ceil(PAGE_SIZE);
        if pages == self.pages {
            return;
        }
        // Both are below the number of pages of an address space, so the difference fits.
        let more = (pages as i64).wrapping_sub(self.pages as i64);
        // SAFETY: `self.mm` is a reference, so the structure is valid; this only computes the
        // address of a field.
        let counter = unsafe {
            &raw mut (*mm.as_raw()).__bindgen_anon_1.rss_stat[bindings::MM_ANONPAGES as usize]
        };
        // SAFETY: `percpu_counter_batch` is a static word of the kernel, which the kernel stores as
        // a whole.
        let batch = unsafe { (&raw const bindings::percpu_counter_batch).read_volatile() };
        // SAFETY: `percpu_counter_add_batch` requires an initialised counter. The counters of an
        // `mm` exist until its last reference is dropped, and `self.mm` is one.
        unsafe { bindings::percpu_counter_add_batch(counter, more, batch) };
        // INVARIANT: The difference was added to the counter.
        self.pages = pages;
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        // Before the reference to `mm` is dropped: the kernel checks then that the counters are
        // zero.
        self.clear();
    }
}
