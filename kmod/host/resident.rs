// SPDX-License-Identifier: GPL-2.0

//! The resident set size of the process that holds a guest.
//!
//! The memory of an engine is mapped into no process. Counted nowhere, it would leave a process that holds a guest of
//! gigabytes small in the eyes of the out-of-memory killer, which would end others first. So it is added to the anonymous
//! pages of the process that loaded the module, or that ran the instance last; ps(1) shows it as well.
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

/// Memory that is counted for a process.
///
/// # Invariants
///
/// `pages` are counted in `mm`; without an `mm` there are none.
pub(crate) struct Resident {
    mm: Option<ARef<Mm>>,
    bytes: usize,
    pages: usize,
}

impl Resident {
    /// No memory, of no process.
    pub(crate) fn new() -> Self {
        // INVARIANT: No pages are counted.
        Self { mm: None, bytes: 0, pages: 0 }
    }

    /// Counts for the current process from now on, what was counted for another one included.
    pub(super) fn move_to_current(&mut self) {
        let task = Task::current_raw();
        // SAFETY: The current task is valid while it runs, and only the task itself replaces its address space.
        let mm = unsafe { (*task).mm };
        if self.mm.as_ref().is_some_and(|has| core::ptr::eq(has.as_raw(), mm)) {
            return;
        }
        self.count(0);
        self.mm = NonNull::new(mm).map(|mm| {
            // SAFETY: The current task holds a reference to its address space.
            let mm = unsafe { Mm::from_raw(mm.as_ptr()) };
            // INVARIANT: No pages are counted at this moment.
            ARef::from(mm)
        });
        self.count(self.bytes);
    }

    /// Counts `bytes` more.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.count(self.bytes);
    }

    /// Counts `bytes` less.
    pub(super) fn sub(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.count(self.bytes);
    }

    /// Counts nothing any more.
    pub(crate) fn clear(&mut self) {
        self.bytes = 0;
        self.count(0);
    }

    /// Makes the pages that are counted those of `bytes`.
    fn count(&mut self, bytes: usize) {
        let Some(mm) = &self.mm else {
            return;
        };
        let pages = bytes.div_ceil(PAGE_SIZE);
        if pages == self.pages {
            return;
        }
        // Neither is more than there are pages in an address space.
        let more = (pages as i64).wrapping_sub(self.pages as i64);
        // SAFETY: `mm` is referenced, so that the structure and its counters are there.
        let counter = unsafe { &raw mut (*mm.as_raw()).__bindgen_anon_1.rss_stat[bindings::MM_ANONPAGES as usize] };
        // SAFETY: It is set at boot, and when processors come and go.
        let batch = unsafe { (&raw const bindings::percpu_counter_batch).read_volatile() };
        // SAFETY: The counter is initialised until the last reference to `mm` is dropped.
        unsafe { bindings::percpu_counter_add_batch(counter, more, batch) };
        // INVARIANT: The difference was just counted.
        self.pages = pages;
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        // Before the reference is dropped: the kernel looks whether something is left in the counters.
        self.clear();
    }
}
