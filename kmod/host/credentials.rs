// SPDX-License-Identifier: GPL-2.0

//! Whose rights a guest's file operations are made with.
//!
//! C header: [`include/linux/cred.h`](srctree/include/linux/cred.h)

use core::sync::atomic::{
    AtomicPtr,
    Ordering, //
};
use kernel::{
    bindings,
    cred::Credential,
    sync::aref::ARef,
    task::Task, //
};

/// Where the current task keeps the credentials that it acts with.
fn place() -> &'static AtomicPtr<bindings::cred> {
    let task = Task::current_raw();
    // SAFETY: The current task is there. Its credentials are its own to change; others read them with RCU.
    let place = unsafe { (&raw mut (*task).cred).cast() };
    // SAFETY: It is a pointer, aligned, and there for as long as the task runs, which is longer than it is used.
    unsafe { AtomicPtr::from_ptr(place) }
}

/// Those of the current task.
pub(crate) fn current() -> ARef<Credential> {
    let cred = place().load(Ordering::Relaxed);
    // SAFETY: The current task's credentials are valid, and it does not change them meanwhile.
    ARef::from(unsafe { Credential::from_ptr(cred) })
}

/// The user that the current task accesses files as: `current_fsuid()`.
pub(super) fn fsuid() -> bindings::kuid_t {
    let cred = place().load(Ordering::Relaxed);
    // SAFETY: The current task's credentials are valid, and only the task itself replaces them.
    unsafe { (*cred).fsuid }
}

/// The current task acts with other credentials for as long as this lives: `override_creds`.
pub(crate) struct Assumed<'a> {
    own: *mut bindings::cred,
    _assumed: &'a Credential,
}

impl<'a> Assumed<'a> {
    /// Acts with `credentials`.
    pub(crate) fn new(credentials: &'a Credential) -> Self {
        let own = place().swap(credentials.as_ptr().cast_mut(), Ordering::AcqRel);
        Self { own, _assumed: credentials }
    }
}

impl Drop for Assumed<'_> {
    fn drop(&mut self) {
        place().store(self.own, Ordering::Release);
    }
}
