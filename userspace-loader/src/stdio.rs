// SPDX-License-Identifier: GPL-2.0

//! The standard streams, as the caller left them and as the guest gets them.

use crate::device::GuestFd;
use rustix::{
    fs::{
        self,
        Mode,
        OFlags,
        SeekFrom, //
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
use std::os::fd::{
    AsRawFd as _,
    BorrowedFd,
    IntoRawFd as _, //
};

/// Preview 1 `rights`, from the
/// [definition](https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md#rights).
pub mod rights {
    #![expect(missing_docs, reason = "the specification's own names")]

    pub const FD_DATASYNC: u64 = 1 << 0;
    pub const FD_READ: u64 = 1 << 1;
    pub const FD_SEEK: u64 = 1 << 2;
    pub const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
    pub const FD_SYNC: u64 = 1 << 4;
    pub const FD_TELL: u64 = 1 << 5;
    pub const FD_WRITE: u64 = 1 << 6;
    pub const FD_ADVISE: u64 = 1 << 7;
    pub const FD_FILESTAT_GET: u64 = 1 << 21;
    pub const POLL_FD_READWRITE: u64 = 1 << 27;
}

/// What a guest may do with any standard stream.
const COMMON: u64 = rights::FD_FDSTAT_SET_FLAGS | rights::FD_FILESTAT_GET | rights::POLL_FD_READWRITE;

/// What more it may do with the input.
const INPUT: u64 = rights::FD_READ;

/// What more it may do with the outputs.
const OUTPUT: u64 = rights::FD_WRITE | rights::FD_SYNC | rights::FD_DATASYNC;

/// What more it may do where there is a position. A C library takes a character device without these for a terminal.
const SEEKABLE: u64 = rights::FD_SEEK | rights::FD_TELL | rights::FD_ADVISE;

/// The standard streams and their rights.
fn streams() -> [(BorrowedFd<'static>, u64); 3] {
    [(stdin(), COMMON | INPUT), (stdout(), COMMON | OUTPUT), (stderr(), COMMON | OUTPUT)]
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

    /// Those that are open, for the guest.
    #[must_use]
    pub fn guest_fds(self) -> Vec<GuestFd> {
        let mut fds = Vec::new();
        for ((guest_fd, open), (fd, mut rights)) in (0..).zip(self.open).zip(streams()) {
            if !open {
                continue;
            }
            if fs::seek(fd, SeekFrom::Current(0)).is_ok() {
                rights |= SEEKABLE;
            }
            fds.push(GuestFd { fd: fd.as_raw_fd(), guest_fd, rights, rights_inheriting: 0 });
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
