// SPDX-License-Identifier: GPL-2.0

//! The standard streams of the command, and their descriptors for the guest.

use crate::{
    device::GuestFd,
    guest_fds::is_seekable,
    rights,
    source::is_standard, //
};
use rustix::{
    fs::{
        self,
        FileType,
        Mode,
        OFlags, //
    },
    io::{
        self,
        Errno, //
    },
    stdio::{
        stderr,
        stdin,
        stdout, //
    }, //
};
use std::{
    os::fd::{
        AsRawFd as _,
        BorrowedFd,
        IntoRawFd as _, //
    },
    path::Path, //
};

/// Rights of standard input.
const INPUT: u64 = rights::COMMON | rights::FD_READ;

/// Rights of standard output and standard error.
const OUTPUT: u64 = rights::COMMON | rights::FD_WRITE | rights::FD_SYNC | rights::FD_DATASYNC;

/// Returns the standard streams and their rights.
fn streams() -> [(BorrowedFd<'static>, u64); 3] {
    [(stdin(), INPUT), (stdout(), OUTPUT), (stderr(), OUTPUT)]
}

/// Closes standard output for its readers: replaces it by `/dev/null`.
///
/// # Errors
///
/// The errors of open(2) and dup2(2).
pub fn close_output() -> Result<(), Errno> {
    let nothing = fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdout(nothing)
}

/// Replaces all standard streams by `/dev/null`.
///
/// # Errors
///
/// The errors of open(2) and dup2(2).
pub fn close_all() -> Result<(), Errno> {
    let nothing = fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(&nothing)
}

/// Returns `fd` as the guest's output with the number `guest_fd`.
#[must_use]
pub fn output(fd: BorrowedFd<'_>, guest_fd: u32) -> GuestFd {
    guest_stream(fd, guest_fd, OUTPUT)
}

/// Returns `fd` as the guest's standard input.
#[must_use]
pub fn input(fd: BorrowedFd<'_>) -> GuestFd {
    guest_stream(fd, 0, INPUT)
}

/// Returns `fd` as a descriptor for the guest.
fn guest_stream(fd: BorrowedFd<'_>, guest_fd: u32, mut rights: u64) -> GuestFd {
    if is_seekable(fd) {
        rights |= rights::SEEKABLE;
    }
    GuestFd { fd: fd.as_raw_fd(), guest_fd, rights, rights_inheriting: 0, name: vec![] }
}

/// Record of the standard streams that the caller left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stdio {
    open: [bool; 3],
}

impl Stdio {
    /// Records which streams are open, and opens `/dev/null` in the place of the closed ones, so
    /// that no other file gets their numbers. Must be called before the process opens any file.
    ///
    /// # Errors
    ///
    /// The errors of open(2).
    pub fn take() -> Result<Self, Errno> {
        let mut open = [true; 3];
        for (open, (fd, _)) in open.iter_mut().zip(streams()) {
            if io::fcntl_getfd(fd) == Err(Errno::BADF) {
                *open = false;
                // open(2) returns the lowest free number, which is that of this stream.
                let _kept = fs::open("/dev/null", OFlags::RDWR, Mode::empty())?.into_raw_fd();
            }
        }
        Ok(Self { open })
    }

    /// Replaces standard input by the file at `path`; `-` keeps the caller's standard input.
    ///
    /// # Errors
    ///
    /// The errors of open(2); `EISDIR` if `path` is a directory.
    pub fn read_from(&mut self, path: &Path) -> Result<(), Errno> {
        if is_standard(path) {
            return Ok(());
        }
        let file = fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        if FileType::from_raw_mode(fs::fstat(&file)?.st_mode) == FileType::Directory {
            return Err(Errno::ISDIR);
        }
        rustix::stdio::dup2_stdin(file)?;
        self.open[0] = true;
        Ok(())
    }

    /// Returns the open streams as descriptors for the guest.
    #[must_use]
    pub fn guest_fds(self) -> Vec<GuestFd> {
        let mut fds = Vec::new();
        for ((guest_fd, open), (fd, rights)) in (0..).zip(self.open).zip(streams()) {
            if open {
                fds.push(guest_stream(fd, guest_fd, rights));
            }
        }
        fds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_stream_is_not_passed_to_the_guest() {
        let stdio = Stdio { open: [false, true, true] };
        let fds: Vec<_> = stdio.guest_fds().iter().map(|fd| (fd.fd, fd.guest_fd)).collect();
        assert_eq!(fds, [(1, 1), (2, 2)]);
    }

    #[test]
    fn input_is_read_and_outputs_are_written() {
        let stdio = Stdio { open: [true; 3] };
        for fd in stdio.guest_fds() {
            assert_eq!(fd.rights & rights::FD_READ != 0, fd.guest_fd == 0);
            assert_eq!(fd.rights & rights::FD_WRITE != 0, fd.guest_fd != 0);
            assert_ne!(fd.rights & rights::POLL_FD_READWRITE, 0);
            assert_eq!(fd.rights_inheriting, 0);
        }
    }
}
