// SPDX-License-Identifier: GPL-2.0

//! Starting programs from several threads at once.

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

/// Held while a program is started, and while there are descriptors that only one program is to inherit.
static STARTING: Mutex<()> = Mutex::new(());

/// Keeps other threads from starting programs, which would inherit what is open.
pub(crate) fn nobody_starts() -> MutexGuard<'static, ()> {
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a program.
///
/// # Errors
/// As [`Command::spawn`].
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let _guard = nobody_starts();
    command.spawn()
}
