// SPDX-License-Identifier: GPL-2.0

//! The descriptors that a guest gets besides the standard streams: directories, listening sockets,
//! and descriptors of the caller.
//!
//! They are numbered from 3: first the directories, as C libraries look for preopened directories
//! from 3 on, then the sockets, then the caller's descriptors, each group in the order of the
//! command line.

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
    collections::BTreeMap,
    ffi::{
        OsStr,
        OsString, //
    },
    net::{
        Ipv6Addr,
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
    path::{
        Path,
        PathBuf, //
    },
};

/// First number after the standard streams.
const FIRST: u32 = 3;

/// A directory to preopen: `--dir`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Path on the host.
    pub host: PathBuf,
    /// Path under which the guest finds it.
    pub guest: OsString,
    /// Set if the guest must not change the directory or its contents.
    pub is_read_only: bool,
}

impl Directory {
    /// Parses `HOST[::GUEST][:ro|:rw]`.
    ///
    /// # Errors
    ///
    /// A message if HOST or GUEST is empty, or if there is an unknown suffix or more than one.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let (names, is_read_only) = match split_access(bytes) {
            Some((names, suffix)) => (names, suffix == READ_ONLY),
            None => (bytes, false),
        };
        if split_access(names).is_some() {
            return Err("more than one suffix :ro or :rw".to_owned());
        }
        let separator = names.windows(2).position(|two| two == b"::");
        let (host, guest) = match separator {
            Some(at) => (&names[..at], &names[at + 2..]),
            None => (names, names),
        };
        if host.is_empty() || guest.is_empty() {
            return Err("expected HOST[::GUEST][:ro|:rw], where HOST and GUEST are not empty".to_owned());
        }
        if let (Some(_), Some(colon)) = (separator, guest.iter().position(|byte| *byte == b':')) {
            let suffix = String::from_utf8_lossy(&guest[colon..]);
            return Err(format!("unknown suffix '{}': expected :ro or :rw", suffix.escape_debug()));
        }
        let own = |name: &[u8]| OsString::from_vec(name.to_vec());
        Ok(Self { host: own(host).into(), guest: own(guest), is_read_only })
    }

    fn open(&self) -> Result<OwnedFd, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::open(&self.host, flags, Mode::empty()).map_err(|errno| {
            // A file that is not a directory exists: that is not "not found".
            let is_there = errno == Errno::NOTDIR && self.host.exists();
            let exit = if is_there { Exit::Failed } else { Exit::of_open(errno) };
            let one_colon = errno == Errno::NOENT && self.host.as_os_str().as_bytes().contains(&b':');
            let hint = if one_colon { " (two colons separate HOST::GUEST)" } else { "" };
            Failure::new(exit, self.host.to_string_lossy(), words(errno.into()) + hint)
        })
    }
}

const READ_ONLY: &[u8] = b":ro";
const READ_WRITE: &[u8] = b":rw";

/// Splits `text` before its suffix `:ro` or `:rw`; `None` if it has none.
fn split_access(text: &[u8]) -> Option<(&[u8], &'static [u8])> {
    [READ_ONLY, READ_WRITE].into_iter().find_map(|suffix| Some((text.strip_suffix(suffix)?, suffix)))
}

/// Checks that no two directories have the same guest path. Trailing slashes make no difference.
fn check_names(directories: &[Directory]) -> Result<(), Failure> {
    let mut names: BTreeMap<&[u8], &Path> = BTreeMap::new();
    for directory in directories {
        let name = directory.guest.as_bytes();
        let end = name.iter().rposition(|byte| *byte != b'/').map_or(name.len().min(1), |last| last + 1);
        if let Some(other) = names.insert(&name[..end], &directory.host) {
            let (other, host) = (other.to_string_lossy(), directory.host.to_string_lossy());
            let reason = format!("two directories have this name for the guest: {other} and {host}");
            return Err(Failure::new(Exit::Failed, directory.guest.to_string_lossy(), reason));
        }
    }
    Ok(())
}

/// Parses an IP address and a port. Names are not resolved: the command is a static program, and
/// the C library's resolver needs dynamic loading.
///
/// # Errors
///
/// A message with an example.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let expected = "expected an address and a port, such as 127.0.0.1:8080 or [::1]:8080";
        match text.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_err() => {
                format!("invalid port '{}' after '{}:': expected 0 to 65535", port.escape_debug(), host.escape_debug())
            }
            Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => {
                format!("{expected}: did you mean [{host}]:{port}?")
            }
            Some((host, _)) if !host.is_empty() => {
                format!("{expected}; the name '{}' is not resolved", host.escape_debug())
            }
            _ => expected.to_owned(),
        }
    })
}

/// Parses the number of a descriptor.
///
/// # Errors
///
/// A message if `text` is not a number from 0 to 2^31 - 1.
pub fn parse_fd(text: &str) -> Result<RawFd, String> {
    let number = text.parse().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| format!("expected the number of an open descriptor, from 0 to {}", RawFd::MAX))
}

/// The open descriptors for a guest.
#[derive(Debug, Default)]
pub struct GuestFds {
    owned: Vec<OwnedFd>,
    fds: Vec<GuestFd>,
}

impl GuestFds {
    /// Opens the directories and sockets, and copies the descriptors `fds` of this process.
    ///
    /// # Errors
    ///
    /// [`Exit::NotFound`] if a directory does not exist; [`Exit::Failed`] if two directories have
    /// one guest path, or if a directory, socket or descriptor cannot be opened.
    pub fn open(directories: &[Directory], listen: &[SocketAddr], fds: &[RawFd]) -> Result<Self, Failure> {
        check_names(directories)?;
        let mut guest_fds = Self::default();
        for directory in directories {
            let (own, inheriting) = if directory.is_read_only {
                (rights::DIRECTORY_READ_ONLY, rights::INHERITING_READ_ONLY)
            } else {
                (rights::DIRECTORY, rights::INHERITING)
            };
            guest_fds.own(directory.open()?, own, inheriting, directory.guest.as_bytes())?;
        }
        for address in listen {
            let socket = TcpListener::bind(address)
                .map_err(|error| Failure::new(Exit::Failed, address.to_string(), words(error)))?;
            guest_fds.own(socket.into(), rights::LISTENING, rights::SOCKET, b"")?;
        }
        for fd in fds {
            guest_fds.lend(*fd)?;
        }
        Ok(guest_fds)
    }

    /// Returns the descriptors for the guest. They are valid while this object lives.
    #[must_use]
    pub fn as_slice(&self) -> &[GuestFd] {
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

    /// Adds a copy of the caller's descriptor `number`, which this process owns.
    fn lend(&mut self, number: RawFd) -> Result<(), Failure> {
        let failure = |errno: Errno| Failure::new(Exit::Failed, format!("descriptor {number}"), words(errno.into()));
        // The guest has the standard streams already, and a descriptor that this process opened is
        // not the caller's.
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
                    "a directory, which must be passed with --dir",
                ));
            }
            FileType::Socket => rights::SOCKET | rights::SOCK_ACCEPT,
            _ if is_seekable(copy.as_fd()) => rights::FILE | rights::SEEKABLE,
            _ => rights::FILE,
        };
        self.own(copy, rights, rights::SOCKET, b"")
    }
}

/// Duplicates the descriptor `number`: the same open file description, which opening it in procfs
/// would not give.
fn copy(number: RawFd) -> Result<OwnedFd, Errno> {
    let this_process = process::pidfd_open(process::getpid(), PidfdFlags::empty())?;
    process::pidfd_getfd(this_process, number, PidfdGetfdFlags::empty())
}

/// Returns true if the descriptor has a file position.
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
    fn directories_are_parsed() {
        let parse = |text: &str| Directory::parse(OsStr::new(text));
        assert_eq!(parse("a"), Ok(directory("a", "a", false)));
        assert_eq!(parse("a::/b"), Ok(directory("a", "/b", false)));
        assert_eq!(parse("a:ro"), Ok(directory("a", "a", true)));
        assert_eq!(parse("a::b:ro"), Ok(directory("a", "b", true)));
        assert_eq!(parse("a:b"), Ok(directory("a:b", "a:b", false)));
        assert_eq!(parse("a:rw"), Ok(directory("a", "a", false)));
        assert_eq!(parse("a::/b:rw"), Ok(directory("a", "/b", false)));
        assert_eq!(parse("."), Ok(directory(".", ".", false)));
        for text in ["", "::b", "a::", ":ro", "::", "a::b::c"] {
            assert!(parse(text).is_err(), "{text}");
        }
        let twice = "more than one suffix :ro or :rw";
        for text in ["a::/b:ro:ro", "a:ro:ro", "a:ro:rw", "a::/b:rw:ro", "a::/b:rw:rw"] {
            assert_eq!(parse(text), Err(twice.to_owned()), "{text}");
        }
        assert_eq!(parse("a::/b:rx"), Err("unknown suffix ':rx': expected :ro or :rw".to_owned()));
        assert_eq!(parse("a::/b:ro:x"), Err("unknown suffix ':ro:x': expected :ro or :rw".to_owned()));
    }

    #[test]
    fn duplicate_guest_paths_are_refused() {
        let two = |one: &str, other: &str| check_names(&[directory("x", one, false), directory("y", other, true)]);
        for (one, other) in [("/a", "/a"), ("/a", "/a//"), ("/", "//"), ("/", "/")] {
            let failure = two(one, other).expect_err(one);
            assert_eq!(failure.exit, Exit::Failed);
            assert_eq!(failure.to_string(), format!("{other}: two directories have this name for the guest: x and y"));
        }
        for (one, other) in [("/a", "/b"), ("/a", "/a/b"), ("/", "/a"), ("a", "/a")] {
            assert_eq!(two(one, other), Ok(()), "{one} {other}");
        }
    }

    #[test]
    fn addresses_are_not_resolved() {
        assert_eq!(parse_address("127.0.0.1:80").map(|address| address.to_string()), Ok("127.0.0.1:80".to_owned()));
        assert_eq!(parse_address("[::1]:0").map(|address| address.to_string()), Ok("[::1]:0".to_owned()));
        let expected = "expected an address and a port, such as 127.0.0.1:8080 or [::1]:8080";
        let cases = [
            ("localhost:80", format!("{expected}; the name 'localhost' is not resolved")),
            ("8080", expected.to_owned()),
            ("", expected.to_owned()),
            (":80", expected.to_owned()),
            ("::1:80", format!("{expected}: did you mean [::1]:80?")),
            ("127.0.0.1:", "invalid port '' after '127.0.0.1:': expected 0 to 65535".to_owned()),
            ("127.0.0.1:http", "invalid port 'http' after '127.0.0.1:': expected 0 to 65535".to_owned()),
            ("127.0.0.1:65536", "invalid port '65536' after '127.0.0.1:': expected 0 to 65535".to_owned()),
        ];
        for (text, reason) in cases {
            assert_eq!(parse_address(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn descriptors_are_numbers() {
        assert_eq!(parse_fd("7"), Ok(7));
        for text in ["", "-1", "three", "2147483648"] {
            let expected = "expected the number of an open descriptor, from 0 to 2147483647";
            assert_eq!(parse_fd(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn numbers_follow_the_standard_streams() {
        let guest_fds = GuestFds::open(
            &[directory("/", "/", true), directory(".", "here", false)],
            &["127.0.0.1:0".parse().expect("an address")],
            &[2],
        )
        .expect("opens");
        let numbers: Vec<_> = guest_fds.as_slice().iter().map(|fd| (fd.guest_fd, fd.name.as_slice())).collect();
        assert_eq!(numbers, [(3, b"/".as_slice()), (4, b"here"), (5, b""), (6, b"")]);
        let [root, here, socket, _] = guest_fds.as_slice() else { panic!("four") };
        assert_eq!(root.rights_inheriting & rights::FD_WRITE, 0);
        assert_ne!(here.rights_inheriting & rights::FD_WRITE, 0);
        assert_eq!(socket.rights & rights::FD_READ, 0);
        assert_ne!(socket.rights & rights::SOCK_ACCEPT, 0);
    }

    #[test]
    fn missing_files_are_reported() {
        let missing = directory("/does/not/exist", "/", false);
        let failure = GuestFds::open(&[missing], &[], &[]).expect_err("not there");
        assert_eq!((failure.exit, failure.subject.as_str()), (Exit::NotFound, "/does/not/exist"));
        let failure = directory("/does/not:/exist", "/", false).open().expect_err("not there");
        let words = "/does/not:/exist: No such file or directory (two colons separate HOST::GUEST)";
        assert_eq!(failure.to_string(), words);
        let failure = directory("/dev/null", "/", false).open().expect_err("no directory");
        assert_eq!((failure.exit, failure.to_string().as_str()), (Exit::Failed, "/dev/null: Not a directory"));
        let failure = directory("/dev/null/x", "/", false).open().expect_err("not there");
        assert_eq!((failure.exit, failure.to_string().as_str()), (Exit::NotFound, "/dev/null/x: Not a directory"));
        let failure = GuestFds::open(&[], &[], &[987]).expect_err("closed");
        assert_eq!(failure.to_string(), "descriptor 987: Bad file descriptor");
    }
}
