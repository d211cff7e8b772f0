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
    prelude::*,
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

/// The number of the user whom what is done with `credentials` is counted for: the real user, as for the number of processes. A
/// user namespace is no other user: in one, it is who made the outermost.
pub(crate) fn accountable(credentials: &Credential) -> u32 {
    let cred = credentials.as_ptr();
    // SAFETY: The credentials are referenced, and their user does not change.
    let mut user = unsafe { (*cred).uid };
    // SAFETY: The credentials are referenced, and their namespace does not change.
    let mut namespace = unsafe { (*cred).user_ns };
    loop {
        // SAFETY: Credentials hold a reference to their namespace, which holds one to its parent. That does not change.
        let parent = unsafe { (*namespace).parent };
        if parent.is_null() {
            return user.val;
        }
        // SAFETY: The namespace is referenced, and its owner does not change.
        user = unsafe { (*namespace).owner };
        namespace = parent;
    }
}

/// Whether the current task itself has CAP_SYS_ADMIN in the first user namespace, whichever credentials it acts with. Audit
/// hears nothing of it: a limit asks, at any time.
pub(crate) fn is_caller_root() -> bool {
    let task = Task::current_raw();
    // SAFETY: The current task is there, and only it changes its own credentials.
    let real = unsafe { (*task).real_cred };
    // SAFETY: They are valid for as long as the task has them, and it does not change them meanwhile.
    let _assumed = Assumed::new(unsafe { Credential::from_ptr(real) });
    let first = &raw mut bindings::init_user_ns;
    // SAFETY: It takes a namespace, which this one is for ever.
    unsafe { bindings::ns_capable_noaudit(first, bindings::CAP_SYS_ADMIN as c_int) }
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
