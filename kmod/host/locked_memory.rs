// SPDX-License-Identifier: GPL-2.0

//! Locked memory: pages that are counted for the current user and limited by `RLIMIT_MEMLOCK`, as
//! io_uring does for its rings.
//!
//! C header: [`include/linux/sched/user.h`](srctree/include/linux/sched/user.h)

use super::credentials;
use core::sync::atomic::{
    AtomicI64,
    Ordering, //
};
use kernel::{
    bindings,
    cred::Credential,
    page::PAGE_SIZE,
    prelude::*,
    sync::aref::ARef,
    task::Task, //
};

/// Pages that are counted as locked memory of a user, until this value is dropped.
pub(super) struct LockedMemory {
    /// Credentials of the user, which hold a reference to the user's counters.
    credentials: ARef<Credential>,
    pages: i64,
}

impl LockedMemory {
    /// Counts `pages` pages for the current task.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the user would have more than `RLIMIT_MEMLOCK` of the current process, unless the
    /// task has CAP_IPC_LOCK.
    pub(super) fn new(pages: usize) -> Result<Self> {
        let task = Task::current_raw();
        // SAFETY: `Task::current_raw` points to the current task, which is valid while it runs and
        // keeps `signal` until it exits.
        let signal = unsafe { (*task).signal };
        // SAFETY: `signal` is that of the current task, which holds a reference to it. Other
        // processes store the field as one word.
        let limit = unsafe {
            (&raw const (*signal).rlim[bindings::RLIMIT_MEMLOCK as usize].rlim_cur).read_volatile()
        };
        let this = Self {
            credentials: credentials::current(),
            pages: i64::try_from(pages)?,
        };
        let before = this.counter().fetch_add(this.pages, Ordering::Relaxed);
        let after = before.saturating_add(this.pages);
        let max = i64::try_from(limit / PAGE_SIZE).unwrap_or(i64::MAX);
        // SAFETY: `capable` may be called in any task with a valid capability number, which
        // `CAP_IPC_LOCK` is.
        if after > max && !unsafe { bindings::capable(bindings::CAP_IPC_LOCK as c_int) } {
            // The drop takes the pages back.
            return Err(ENOMEM);
        }
        Ok(this)
    }

    /// Returns the number of locked pages of the user.
    fn counter(&self) -> &AtomicI64 {
        let cred = self.credentials.as_ptr();
        // SAFETY: `cred` is referenced through `credentials`. `user` does not change after the
        // credentials are committed.
        let user = unsafe { (*cred).user };
        // SAFETY: The credentials hold a reference to the user. This only computes the address of a
        // field.
        let counter = unsafe { &raw mut (*user).locked_vm };
        // SAFETY: The field is valid as long as the credentials, which `self` references. The kernel
        // accesses it as an atomic of 64 bits.
        unsafe { AtomicI64::from_ptr(counter.cast()) }
    }
}

impl Drop for LockedMemory {
    fn drop(&mut self) {
        self.counter().fetch_sub(self.pages, Ordering::Relaxed);
    }
}
