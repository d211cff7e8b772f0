// SPDX-License-Identifier: GPL-2.0

//! Count of path lookups, and attempts that concurrent changes defeat.

use super::super::signal;
use core::cell::Cell;
use kernel::{
    prelude::*,
    time::{
        hrtimer::HrTimerExpires,
        Instant,
        Monotonic, //
    }, //
};

/// Upper bound of the attempts of a walk or a change that concurrent renames or leases defeat.
pub(super) const TRIES: usize = 1000;

/// Time between two attempts, in nanoseconds.
const PAUSE: u64 = 100_000;

/// Counter of the path lookups of one engine entry.
///
/// If audit rules are loaded, the kernel keeps the names of each lookup until the system call ends,
/// and each further lookup searches them. The kernel releases a file whose opening fails late when
/// the task returns to userspace. So a guest that makes many lookups must leave its ioctl
/// regularly.
pub(in super::super) struct Lookups(Cell<u32>);

impl Lookups {
    /// Upper bound of the lookups of one engine entry.
    const MAX: u32 = 256;

    /// Creates a counter with value 0.
    pub(in super::super) fn new() -> Self {
        Self(Cell::new(0))
    }

    /// Resets the counter for a new engine entry.
    pub(in super::super) fn reset(&self) {
        self.0.set(0);
    }

    /// Counts one lookup.
    pub(super) fn add(&self) {
        self.0.set(self.0.get().saturating_add(1));
    }

    /// Returns true if this engine entry may make no more lookups.
    pub(in super::super) fn is_spent(&self) -> bool {
        self.0.get() >= Self::MAX
    }

    /// Checks that the next lookup may be made before the task returns to userspace. The first
    /// lookup of an engine entry always passes, so that each entry makes progress.
    ///
    /// # Errors
    ///
    /// `ERESTARTNOINTR` if the task must return to userspace first.
    pub(in super::super) fn check(&self) -> Result {
        if self.is_spent() || self.0.get() > 0 && signal::is_return_work_pending() {
            Err(ERESTARTNOINTR)
        } else {
            Ok(())
        }
    }

    /// Calls `go` until it does not fail with `EAGAIN`, at most [`TRIES`] times. A lookup fails
    /// with `EAGAIN` after a concurrent rename, and a change of a file does while a lease on the
    /// file is being broken.
    ///
    /// # Errors
    ///
    /// Errors of `go`; `EINTR` if a signal is pending; errors of [`Lookups::check`].
    pub(super) fn retry<T>(&self, mut go: impl FnMut() -> Result<T>) -> Result<T> {
        for _ in 1..TRIES {
            match go() {
                Err(error) if error == EAGAIN => {
                    let until = Instant::<Monotonic>::now().as_nanos() as u64 + PAUSE;
                    signal::sleep_until(until)?;
                    self.check()?;
                }
                result => return result,
            }
        }
        go()
    }
}
