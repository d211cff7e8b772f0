// SPDX-License-Identifier: GPL-2.0

//! Descriptors that a supervisor inherits from the caller of `spawn`.

use std::{
    fs,
    io,
    os::fd::RawFd, //
};

/// Closes the descriptors of this process that are neither standard streams nor close-on-exec: the
/// process has inherited them. A pipe or a lock of the caller must not stay open as long as a
/// service runs.
///
/// # Errors
///
/// The errors of reading `/proc/self/fd`.
pub(crate) fn close() -> io::Result<()> {
    let names = fs::read_dir("/proc/self/fd")?.collect::<io::Result<Vec<_>>>()?;
    let numbers = names.iter().filter_map(|name| name.file_name().to_str()?.parse::<RawFd>().ok());
    for number in numbers.filter(|number| *number > 2) {
        // SAFETY: `F_GETFD` accesses no memory, and fails if the descriptor is closed.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: Nothing in this program owns `number`: all descriptors that the command opens,
            // except the standard streams, are close-on-exec.
            unsafe { libc::close(number) };
        }
    }
    Ok(())
}
