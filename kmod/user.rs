// SPDX-License-Identifier: GPL-2.0

//! Counts per user: how many instances a user has started that are still there, and how many tasks start or run these.
//!
//! An instance is counted for the user who started it, whoever holds its descriptor, runs it or changes user later. Callers
//! with CAP_SYS_ADMIN are counted, too, but no count stops them.

use crate::{
    counters::{
        self,
        Counter, //
    },
    host::credentials,
    limits,
    log::LogBuffer,
    table::Table,
    uapi::{
        KWASMI_LIMIT_TOTAL_INSTANCES,
        KWASMI_LIMIT_USER_INSTANCES,
        KWASMI_LIMIT_USER_RUNNING, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A user who has instances.
///
/// # Invariants
///
/// `instances` is changed with [`USERS`] locked only. The table has the user while it is not 0.
struct User {
    /// The user's number in the first user namespace.
    id: u32,
    instances: Counter,
    running: Counter,
}

kernel::sync::global_lock! {
    // SAFETY: `Users::begin` initialises it before the device is registered, and nothing else leads here.
    unsafe(uninit) static USERS: Mutex<Table<u32, Arc<User>>> = Table::new();
}

/// All users, until this is dropped. There is one.
pub(crate) struct Users {
    _private: (),
}

impl Users {
    /// Nobody has anything.
    ///
    /// # Safety
    ///
    /// Called once, before anything else here.
    pub(crate) unsafe fn begin() -> Self {
        // SAFETY: `init` must be called once, before the lock is used; that is what this function requires, too.
        unsafe { USERS.init() };
        Self { _private: () }
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        // No instance is left, so the table has no entry, but it may have memory.
        *USERS.lock() = Table::new();
    }
}

/// One instance, counted for its user and among all instances, for as long as this lives.
pub(crate) struct Counted {
    user: OfUser,
    _all: OfAll,
}

impl Counted {
    /// Counts an instance that the current task starts.
    ///
    /// # Errors
    ///
    /// `EDQUOT`, with the limit in `log`; `ENOMEM`.
    pub(crate) fn new(log: &mut LogBuffer) -> Result<Self> {
        Ok(Self { user: OfUser::new(log)?, _all: OfAll::new(log)? })
    }

    /// Counts the current task as one that starts or runs the instance.
    ///
    /// # Errors
    ///
    /// `EDQUOT`, with the limit in `log`.
    pub(crate) fn enter(&self, log: &mut LogBuffer) -> Result<Entered<'_>> {
        let running = &self.user.0.running;
        let most = limits::ceiling(KWASMI_LIMIT_USER_RUNNING);
        if !running.add_below(1, most) {
            if !credentials::is_caller_root() {
                log.reached(KWASMI_LIMIT_USER_RUNNING, most);
                return Err(EDQUOT);
            }
            running.add(1);
        }
        Ok(Entered { running })
    }
}

/// One task that starts or runs an instance, counted for the instance's user for as long as this lives.
pub(crate) struct Entered<'a> {
    running: &'a Counter,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.running.sub(1);
    }
}

/// One of a user's instances.
struct OfUser(Arc<User>);

impl OfUser {
    fn new(log: &mut LogBuffer) -> Result<Self> {
        let id = credentials::accountable(&credentials::current());
        let most = limits::ceiling(KWASMI_LIMIT_USER_INSTANCES);
        let mut users = USERS.lock();
        let user = match users.get(&id) {
            Some(user) => user.clone(),
            None => {
                let user = Arc::new(User { id, instances: Counter::new(), running: Counter::new() }, GFP_KERNEL)?;
                users.set(id, user.clone(), usize::MAX)?;
                user
            }
        };
        if !user.instances.add_below(1, most) {
            if !credentials::is_caller_root() {
                // INVARIANT: A user who was just added has none.
                if user.instances.get() == 0 {
                    users.remove(&id);
                }
                log.reached(KWASMI_LIMIT_USER_INSTANCES, most);
                return Err(EDQUOT);
            }
            user.instances.add(1);
        }
        // INVARIANT: The user has one, and is in the table, which is locked.
        Ok(Self(user))
    }
}

impl Drop for OfUser {
    fn drop(&mut self) {
        let mut users = USERS.lock();
        self.0.instances.sub(1);
        // INVARIANT: With the last instance the user leaves the table, which is locked.
        if self.0.instances.get() == 0 {
            users.remove(&self.0.id);
        }
    }
}

/// One of all instances.
struct OfAll(());

impl OfAll {
    fn new(log: &mut LogBuffer) -> Result<Self> {
        let total = limits::ceiling(KWASMI_LIMIT_TOTAL_INSTANCES);
        if counters::INSTANCES.add_of_total(1, total) {
            return Ok(Self(()));
        }
        log.reached(KWASMI_LIMIT_TOTAL_INSTANCES, counters::most(total));
        Err(EDQUOT)
    }
}

impl Drop for OfAll {
    fn drop(&mut self) {
        counters::INSTANCES.sub(1);
    }
}
