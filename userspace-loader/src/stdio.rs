// SPDX-License-Identifier: GPL-2.0

//! The standard streams, as the caller left them and as the guest gets them.

use crate::{
    device::GuestFd,
    handed::is_seekable,
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

/// What a guest may do with the input.
const INPUT: u64 = rights::COMMON | rights::FD_READ;

/// What it may do with the outputs.
const OUTPUT: u64 = rights::COMMON | rights::FD_WRITE | rights::FD_SYNC | rights::FD_DATASYNC;

/// The standard streams and their rights.
fn streams() -> [(BorrowedFd<'static>, u64); 3] {
    [(stdin(), INPUT), (stdout(), OUTPUT), (stderr(), OUTPUT)]
}

/// Closes the standard output, for whoever reads it: `/dev/null` comes in its place.
///
/// # Errors
///
/// Those of open(2) and dup2(2).
pub fn close_output() -> Result<(), Errno> {
    let nothing = fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdout(nothing)
}

/// Which of the standard streams the caller left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stdio {
    open: [bool; 3],
}

impl Stdio {
    /// Looks at them. Then it opens `/dev/null` in the place of those that are closed, so that no file that this process
    /// opens gets their numbers: it is to be called before any other is.
    ///
    /// # Errors
    ///
    /// Those of open(2).
    pub fn take() -> Result<Self, Errno> {
        let mut open = [true; 3];
        for (open, (fd, _)) in open.iter_mut().zip(streams()) {
            if io::fcntl_getfd(fd) == Err(Errno::BADF) {
                *open = false;
                // The lowest number that is free, which is this one.
                let _kept = fs::open("/dev/null", OFlags::RDWR, Mode::empty())?.into_raw_fd();
            }
        }
        Ok(Self { open })
    }

    /// Puts the file at `path` in the place of the input; `-` is the input that is there.
    ///
    /// # Errors
    ///
    /// Those of open(2); `EISDIR` for a directory.
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

    /// Those that are open, for the guest.
    #[must_use]
    pub fn guest_fds(self) -> Vec<GuestFd> {
        let mut fds = Vec::new();
        for ((guest_fd, open), (fd, mut rights)) in (0..).zip(self.open).zip(streams()) {
            if !open {
                continue;
            }
            if is_seekable(fd) {
                rights |= rights::SEEKABLE;
            }
            fds.push(GuestFd { fd: fd.as_raw_fd(), guest_fd, rights, rights_inheriting: 0, name: vec![] });
        }
        fds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_stream_is_not_handed_over() {
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
