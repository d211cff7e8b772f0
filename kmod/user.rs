// SPDX-License-Identifier: GPL-2.0

//! Counters per user: existing instances that a user started, and tasks that start or run them.
//!
//! An instance is counted for the user who started it, even if its fd is passed on, another user
//! runs it, or the process changes its user. Callers with CAP_SYS_ADMIN are counted, but not
//! refused.

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

/// User who has instances.
///
/// # Invariants
///
/// `instances` changes only with [`USERS`] locked. The table holds the user while `instances` is
/// not 0.
struct User {
    /// Number of the user in the initial user namespace.
    id: u32,
    instances: Counter,
    running: Counter,
}

kernel::sync::global_lock! {
    // SAFETY: `Users::begin` initialises the lock before the device is registered; only ioctls of
    // the device and of its objects use it.
    unsafe(uninit) static USERS: Mutex<Table<u32, Arc<User>>> = Table::new();
}

/// Guard of the table of users. There is one, for the lifetime of the module.
pub(crate) struct Users {
    _private: (),
}

impl Users {
    /// Initialises the empty table.
    ///
    /// # Safety
    ///
    /// Must be called once, before any [`Counted`] is created.
    pub(crate) unsafe fn begin() -> Self {
        // SAFETY: `init` must be called once, before the lock is used. `begin` is called once,
        // before any `Counted` is created, by this function's safety requirement.
        unsafe { USERS.init() };
        Self { _private: () }
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        // No instance exists, so the table is empty. This frees its memory.
        *USERS.lock() = Table::new();
    }
}

/// Guard that counts one instance for its user and among all instances.
pub(crate) struct Counted {
    user: OfUser,
    _all: OfAll,
}

impl Counted {
    /// Counts an instance that the current task starts.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if `KWASMI_LIMIT_USER_INSTANCES` or `KWASMI_LIMIT_TOTAL_INSTANCES` is reached, with
    /// the limit in `log`; `ENOMEM`.
    pub(crate) fn new(log: &mut LogBuffer) -> Result<Self> {
        Ok(Self {
            user: OfUser::new(log)?,
            _all: OfAll::new(log)?,
        })
    }

    /// Counts the current task as one that starts or runs the instance.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if `KWASMI_LIMIT_USER_RUNNING` is reached, with the limit in `log`.
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

/// Guard that counts one task that starts or runs an instance, for the user of the instance.
pub(crate) struct Entered<'a> {
    running: &'a Counter,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.running.sub(1);
    }
}

/// Guard that counts one instance for its user.
struct OfUser(Arc<User>);

impl OfUser {
    fn new(log: &mut LogBuffer) -> Result<Self> {
        let id = credentials::accountable(&credentials::current());
        let most = limits::ceiling(KWASMI_LIMIT_USER_INSTANCES);
        let mut users = USERS.lock();
        let user = match users.get(&id) {
            Some(user) => user.clone(),
            None => {
                let user = Arc::new(
                    User {
                        id,
                        instances: Counter::new(),
                        running: Counter::new(),
                    },
                    GFP_KERNEL,
                )?;
                users.set(id, user.clone(), usize::MAX)?;
                user
            }
        };
        if !user.instances.add_below(1, most) {
            if !credentials::is_caller_root() {
                // INVARIANT: The table need not hold a user without instances, and it is locked.
                if user.instances.get() == 0 {
                    users.remove(&id);
                }
                log.reached(KWASMI_LIMIT_USER_INSTANCES, most);
                return Err(EDQUOT);
            }
            user.instances.add(1);
        }
        // INVARIANT: The user has an instance and is in the table, which is locked.
        Ok(Self(user))
    }
}

impl Drop for OfUser {
    fn drop(&mut self) {
        let mut users = USERS.lock();
        self.0.instances.sub(1);
        // INVARIANT: A user without instances is removed from the table, which is locked.
        if self.0.instances.get() == 0 {
            users.remove(&self.0.id);
        }
    }
}

/// Guard that counts one instance among all instances.
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
