// SPDX-License-Identifier: GPL-2.0

//! Credentials: access to those of the current task, and temporary replacement of them for the file
//! operations of a guest.
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

/// Returns the field `cred` of the current task: its subjective credentials.
fn place() -> &'static AtomicPtr<bindings::cred> {
    let task = Task::current_raw();
    // SAFETY: `Task::current_raw` points to the current task, which is valid while it runs. This
    // only computes the address of a field.
    let place = unsafe { (&raw mut (*task).cred).cast() };
    // SAFETY: The field is an aligned pointer in the current task, which outlives every use of the
    // reference in this file. Only the task itself writes the field; other tasks read it under RCU.
    unsafe { AtomicPtr::from_ptr(place) }
}

/// Returns a reference to the credentials that the current task acts with.
pub(crate) fn current() -> ARef<Credential> {
    let cred = place().load(Ordering::Relaxed);
    // SAFETY: `cred` points to the credentials of the current task. The task holds a reference to
    // them until it replaces them, which it does not do before `ARef::from` takes another one.
    ARef::from(unsafe { Credential::from_ptr(cred) })
}

/// Returns the user as whom the current task accesses files: `current_fsuid()` of
/// `include/linux/cred.h`.
pub(super) fn fsuid() -> bindings::kuid_t {
    let cred = place().load(Ordering::Relaxed);
    // SAFETY: `cred` points to the credentials of the current task, which are valid until the task
    // itself replaces them.
    unsafe { (*cred).fsuid }
}

/// Returns the number, in the initial user namespace, of the user who is accountable for the work
/// done with `credentials`. This is the real user, as for `RLIMIT_NPROC`; inside a user namespace
/// it is the owner of the outermost namespace.
pub(crate) fn accountable(credentials: &Credential) -> u32 {
    let cred = credentials.as_ptr();
    // SAFETY: `cred` is referenced through `credentials`; `uid` does not change after the
    // credentials are committed.
    let mut user = unsafe { (*cred).uid };
    // SAFETY: `cred` is referenced through `credentials`; `user_ns` does not change after the
    // credentials are committed.
    let mut namespace = unsafe { (*cred).user_ns };
    loop {
        // SAFETY: `namespace` is valid: the credentials hold a reference to their namespace, and
        // each namespace holds one to its parent. `parent` never changes.
        let parent = unsafe { (*namespace).parent };
        if parent.is_null() {
            return user.val;
        }
        // SAFETY: `namespace` is valid: the credentials hold a reference to their namespace, and
        // each namespace holds one to its parent. `owner` never changes.
        user = unsafe { (*namespace).owner };
        namespace = parent;
    }
}

/// Returns true if the objective credentials of the current task have CAP_SYS_ADMIN in the initial
/// user namespace, whatever credentials the task acts with. The check is not audited, because the
/// limits make it often.
pub(crate) fn is_caller_root() -> bool {
    let task = Task::current_raw();
    // SAFETY: `Task::current_raw` points to the current task, which is valid while it runs. Only
    // the task itself changes `real_cred`.
    let real = unsafe { (*task).real_cred };
    // SAFETY: `real` points to the objective credentials of the current task, which the task
    // references until it changes them. It does not change them in this function.
    let _assumed = Assumed::new(unsafe { Credential::from_ptr(real) });
    let first = &raw mut bindings::init_user_ns;
    // SAFETY: `ns_capable_noaudit` requires a valid user namespace. `init_user_ns` is static.
    unsafe { bindings::ns_capable_noaudit(first, bindings::CAP_SYS_ADMIN as c_int) }
}

/// Guard that makes the current task act with other credentials until it is dropped, as
/// `override_creds` of `include/linux/cred.h` does.
pub(crate) struct Assumed<'a> {
    own: *mut bindings::cred,
    _assumed: &'a Credential,
}

impl<'a> Assumed<'a> {
    /// Makes the current task act with `credentials`.
    pub(crate) fn new(credentials: &'a Credential) -> Self {
        let own = place().swap(credentials.as_ptr().cast_mut(), Ordering::AcqRel);
        Self {
            own,
            _assumed: credentials,
        }
    }
}

impl Drop for Assumed<'_> {
    fn drop(&mut self) {
        place().store(self.own, Ordering::Release);
    }
}
