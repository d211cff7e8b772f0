// SPDX-License-Identifier: GPL-2.0

//! Starts programs from several threads without leaking inheritable descriptors between them.

use std::{
    io,
    process::{
        Child,
        Command, //
    },
    sync::{
        Mutex,
        MutexGuard,
        PoisonError, //
    },
};

/// Lock that is held while a program is started, and while the process has inheritable descriptors
/// that are meant for one program only.
static STARTING: Mutex<()> = Mutex::new(());

/// Prevents other threads from starting programs, which would inherit open descriptors, until the
/// guard is dropped.
pub(crate) fn nobody_starts() -> MutexGuard<'static, ()> {
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a program while no other thread starts one.
///
/// # Errors
/// The errors of [`Command::spawn`].
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let _guard = nobody_starts();
    command.spawn()
}
