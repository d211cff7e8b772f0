// SPDX-License-Identifier: GPL-2.0

//! What the command line hands a guest besides the standard streams: directories, listening sockets, descriptors of the
//! caller.
//!
//! Their numbers follow those of the standard streams: first the directories, as C libraries look for those from 3 on, then
//! the sockets, then the descriptors, each in the order of the command line.

use crate::{
    device::{
        GuestFd,
        words, //
    },
    exit::Exit,
    failure::Failure,
    rights, //
};
use rustix::{
    fs::{
        self,
        FileType,
        Mode,
        OFlags,
        SeekFrom, //
    },
    io::Errno,
    process::{
        self,
        PidfdFlags,
        PidfdGetfdFlags, //
    }, //
};
use std::{
    ffi::{
        OsStr,
        OsString, //
    },
    net::{
        SocketAddr,
        TcpListener, //
    },
    os::{
        fd::{
            AsFd,
            AsRawFd as _,
            BorrowedFd,
            OwnedFd,
            RawFd, //
        },
        unix::ffi::{
            OsStrExt as _,
            OsStringExt as _, //
        },
    },
    path::PathBuf,
};

/// The first number after the standard streams.
const FIRST: u32 = 3;

/// A directory to hand over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Where it is.
    pub host: PathBuf,
    /// Where the guest finds it.
    pub guest: OsString,
    /// Nothing in it may change.
    pub is_read_only: bool,
}

impl Directory {
    /// What `HOST[::GUEST][:ro]` says.
    ///
    /// # Errors
    ///
    /// Words, if one of the names is empty.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let (names, is_read_only) = match (bytes.strip_suffix(b":ro"), bytes.strip_suffix(b":rw")) {
            (Some(names), _) => (names, true),
            (_, Some(names)) => (names, false),
            _ => (bytes, false),
        };
        let separator = names.windows(2).position(|two| two == b"::");
        let (host, guest) = match separator {
            Some(at) => (&names[..at], &names[at + 2..]),
            None => (names, names),
        };
        if host.is_empty() || guest.is_empty() {
            return Err("not HOST[::GUEST][:ro]".to_owned());
        }
        let own = |name: &[u8]| OsString::from_vec(name.to_vec());
        Ok(Self { host: own(host).into(), guest: own(guest), is_read_only })
    }

    fn open(&self) -> Result<OwnedFd, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::open(&self.host, flags, Mode::empty())
            .map_err(|errno| Failure::new(Exit::of_open(errno), self.host.to_string_lossy(), words(errno.into())))
    }
}

/// What a guest is handed, open.
#[derive(Debug, Default)]
pub struct Handed {
    owned: Vec<OwnedFd>,
    fds: Vec<GuestFd>,
}

impl Handed {
    /// Opens all of it, with the caller's rights.
    ///
    /// # Errors
    ///
    /// [`Exit::NotFound`] if something is not there, else [`Exit::Failed`].
    pub fn open(directories: &[Directory], listen: &[SocketAddr], fds: &[RawFd]) -> Result<Self, Failure> {
        let mut handed = Self::default();
        for directory in directories {
            let (own, inheriting) = if directory.is_read_only {
                (rights::DIRECTORY_READ_ONLY, rights::INHERITING_READ_ONLY)
            } else {
                (rights::DIRECTORY, rights::INHERITING)
            };
            handed.own(directory.open()?, own, inheriting, directory.guest.as_bytes())?;
        }
        for address in listen {
            let socket = TcpListener::bind(address)
                .map_err(|error| Failure::new(Exit::Failed, address.to_string(), words(error)))?;
            handed.own(socket.into(), rights::LISTENING, rights::SOCKET, b"")?;
        }
        for fd in fds {
            handed.lend(*fd)?;
        }
        Ok(handed)
    }

    /// All of it, for the guest. They are valid for as long as this lives.
    #[must_use]
    pub fn guest_fds(&self) -> &[GuestFd] {
        &self.fds
    }

    fn add(&mut self, fd: RawFd, rights: u64, rights_inheriting: u64, name: &[u8]) -> Result<(), Failure> {
        let number = u32::try_from(self.fds.len()).ok().and_then(|count| count.checked_add(FIRST));
        let guest_fd = number.ok_or_else(|| Failure::new(Exit::Failed, "descriptors", "too many"))?;
        self.fds.push(GuestFd { fd, guest_fd, rights, rights_inheriting, name: name.to_vec() });
        Ok(())
    }

    fn own(&mut self, fd: OwnedFd, rights: u64, inheriting: u64, name: &[u8]) -> Result<(), Failure> {
        self.add(fd.as_raw_fd(), rights, inheriting, name)?;
        self.owned.push(fd);
        Ok(())
    }

    /// Hands over a descriptor that the caller left open. A copy of it, so that it is this process's own.
    fn lend(&mut self, number: RawFd) -> Result<(), Failure> {
        let failure = |errno: Errno| Failure::new(Exit::Failed, format!("descriptor {number}"), words(errno.into()));
        // Standard streams are the guest's already, and what this process opened is not the caller's.
        if number < 0 || self.owned.iter().any(|fd| fd.as_raw_fd() == number) {
            return Err(failure(Errno::BADF));
        }
        let copy = copy(number).map_err(failure)?;
        let kind = fs::fstat(&copy).map(|stat| FileType::from_raw_mode(stat.st_mode)).map_err(failure)?;
        let rights = match kind {
            FileType::Directory => {
                return Err(Failure::new(
                    Exit::Failed,
                    format!("descriptor {number}"),
                    "a directory is handed over with --dir",
                ));
            }
            FileType::Socket => rights::SOCKET | rights::SOCK_ACCEPT,
            _ if is_seekable(copy.as_fd()) => rights::FILE | rights::SEEKABLE,
            _ => rights::FILE,
        };
        self.own(copy, rights, rights::SOCKET, b"")
    }
}

/// A copy of the descriptor with this number: the same open file, not another one as by way of procfs.
fn copy(number: RawFd) -> Result<OwnedFd, Errno> {
    let this_process = process::pidfd_open(process::getpid(), PidfdFlags::empty())?;
    process::pidfd_getfd(this_process, number, PidfdGetfdFlags::empty())
}

/// Whether there is a position.
#[must_use]
pub fn is_seekable(fd: BorrowedFd<'_>) -> bool {
    fs::seek(fd, SeekFrom::Current(0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(host: &str, guest: &str, is_read_only: bool) -> Directory {
        Directory { host: host.into(), guest: guest.into(), is_read_only }
    }

    #[test]
    fn directories_are_read_as_they_are_written() {
        let parse = |text: &str| Directory::parse(OsStr::new(text));
        assert_eq!(parse("a"), Ok(directory("a", "a", false)));
        assert_eq!(parse("a::/b"), Ok(directory("a", "/b", false)));
        assert_eq!(parse("a:ro"), Ok(directory("a", "a", true)));
        assert_eq!(parse("a::b:ro"), Ok(directory("a", "b", true)));
        assert_eq!(parse("a:b"), Ok(directory("a:b", "a:b", false)));
        assert_eq!(parse("a:ro:rw"), Ok(directory("a:ro", "a:ro", false)));
        assert_eq!(parse("."), Ok(directory(".", ".", false)));
        for text in ["", "::b", "a::", ":ro", "::"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_follow_the_standard_streams() {
        let handed = Handed::open(
            &[directory("/", "/", true), directory(".", "here", false)],
            &["127.0.0.1:0".parse().expect("an address")],
            &[2],
        )
        .expect("opens");
        let numbers: Vec<_> = handed.guest_fds().iter().map(|fd| (fd.guest_fd, fd.name.as_slice())).collect();
        assert_eq!(numbers, [(3, b"/".as_slice()), (4, b"here"), (5, b""), (6, b"")]);
        let [root, here, socket, _] = handed.guest_fds() else { panic!("four") };
        assert_eq!(root.rights_inheriting & rights::FD_WRITE, 0);
        assert_ne!(here.rights_inheriting & rights::FD_WRITE, 0);
        assert_eq!(socket.rights & rights::FD_READ, 0);
        assert_ne!(socket.rights & rights::SOCK_ACCEPT, 0);
    }

    #[test]
    fn what_is_not_there_is_told() {
        let missing = directory("/does/not/exist", "/", false);
        let failure = Handed::open(&[missing], &[], &[]).expect_err("not there");
        assert_eq!((failure.exit, failure.subject.as_str()), (Exit::NotFound, "/does/not/exist"));
        let failure = Handed::open(&[], &[], &[987]).expect_err("closed");
        assert_eq!(failure.to_string(), "descriptor 987: Bad file descriptor");
    }
}
