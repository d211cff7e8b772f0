// SPDX-License-Identifier: GPL-2.0

//! What the engine asks of the world around it.

use crate::{
    ffi::{
        Ending,
        FileStat,
        Limit,
        PollEntry,
        SIGPIPE,
        Times, //
    },
    wasi::abi::{
        Advice,
        ClockId,
        Errno,
        FdFlags,
        Whence, //
    },
};
use core::ffi::CStr;

/// Why a host function has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fail {
    /// It failed; the guest is told.
    Errno(Errno),
    /// Nothing was done, because the guest is to pause or end; [`Host::checkpoint`] tells which. The guest does not
    /// notice: the call is made again when it goes on.
    Interrupted,
}

impl From<Errno> for Fail {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// How a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// In one word.
    pub ending: Ending,
    /// See [`Ending`].
    pub code: u32,
}

impl End {
    /// It was killed.
    pub const KILLED: Self = Self { ending: Ending::Killed, code: 0 };
    /// It wrote to a pipe that nobody reads, and is to end then.
    pub const BROKEN_PIPE: Self = Self { ending: Ending::Killed, code: SIGPIPE };
    /// There was no memory for it.
    pub const OUT_OF_MEMORY: Self = Self { ending: Ending::OutOfMemory, code: 0 };

    /// With an exit status.
    #[must_use]
    pub const fn exited(status: u32) -> Self {
        Self { ending: Ending::Exited, code: status }
    }

    /// At a limit.
    #[must_use]
    pub const fn limited(limit: Limit) -> Self {
        Self { ending: Ending::Limited, code: limit as u32 }
    }
}

/// Whether a guest may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It may.
    Continue,
    /// Not now, but it can be run on later.
    Interrupt,
    /// It is over.
    End(End),
}

/// A part of a linear memory, inside its bounds when it is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Where it starts, in bytes.
    pub start: usize,
    /// Its length in bytes.
    pub len: usize,
}

/// The host's number for something that a guest has a descriptor for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(pub u32);

/// Where in a file to read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// At the file's position, which moves on.
    Position,
    /// The same, but where that would have to wait it fails with [`Errno::Again`].
    PositionNow,
    /// At this offset in bytes.
    Offset(u64),
}

/// A name below a directory: not empty, relative, at most [`PATH_MAX`](crate::ffi::PATH_MAX) bytes. Whoever resolves it does
/// not leave the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The directory.
    pub dir: Handle,
    /// The path.
    pub path: &'a CStr,
    /// Whether a symbolic link at its end is followed.
    pub follow: bool,
}

/// A file or directory that [`Host::open`] has opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// It.
    pub handle: Handle,
    /// It is a directory.
    pub is_directory: bool,
}

/// What [`Host::receive`] has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes.
    pub bytes: usize,
    /// The message was longer.
    pub is_truncated: bool,
}

/// What the engine asks of the world around it. Every method may sleep, unless it says otherwise. A host that has no files
/// or no sockets leaves out their methods: they say so.
pub trait Host {
    /// Between two slices: may the guest go on? Lets others run meanwhile.
    fn checkpoint(&mut self) -> Pause;

    /// What a guest that was refused memory ends with.
    fn refused_memory(&self) -> End {
        End::OUT_OF_MEMORY
    }

    /// Reads into `spans` of `memory`, one after another; returns the number of bytes, 0 at the end of the file.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn read(&mut self, handle: Handle, memory: &mut [u8], spans: &[Span], at: At) -> Result<usize, Fail>;

    /// Writes `spans` of `memory`, one after another; returns the number of bytes.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn write(&mut self, handle: Handle, memory: &[u8], spans: &[Span], at: At) -> Result<usize, Fail>;

    /// Moves at most `len` bytes from one file to another, at the positions of both, without a buffer in between. Waits until some
    /// can be written, also where [`Host::write`] would not; returns their number, 0 at the end of what it reads, and `None`,
    /// with nothing done, where it takes a buffer.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn splice(&mut self, _from: Handle, _to: Handle, _len: usize) -> Result<Option<usize>, Fail> {
        Ok(None)
    }

    /// Moves the position; returns the new one in bytes from the start.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn seek(&mut self, handle: Handle, offset: i64, whence: Whence) -> Result<u64, Fail>;

    /// Gives the handle up, whatever is returned.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn close(&mut self, handle: Handle) -> Result<(), Fail>;

    /// Describes what is behind the handle.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn stat(&mut self, handle: Handle) -> Result<FileStat, Fail>;

    /// Sets the flags.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn set_flags(&mut self, handle: Handle, flags: FdFlags) -> Result<(), Fail>;

    /// The time, in nanoseconds.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn clock_time(&mut self, clock: ClockId) -> Result<u64, Fail>;

    /// The resolution of a clock, in nanoseconds.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn clock_resolution(&mut self, clock: ClockId) -> Result<u64, Fail>;

    /// Sleeps until the clock shows `deadline` nanoseconds.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn sleep_until(&mut self, clock: ClockId, deadline: u64) -> Result<(), Fail>;

    /// Fills `bytes` with random ones, fit for keys.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn random(&mut self, bytes: &mut [u8]) -> Result<(), Fail>;

    /// Lets others run.
    fn yield_now(&mut self);

    /// Opens what `place` names, as `how` says ([`open`](crate::ffi::open)); the new handle has `flags`.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn open(&mut self, _place: Place<'_>, _how: u64, _flags: FdFlags) -> Result<Opened, Fail> {
        Err(Errno::NotSup.into())
    }

    /// Describes what `place` names.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn stat_at(&mut self, _place: Place<'_>) -> Result<FileStat, Fail> {
        Err(Errno::NotSup.into())
    }

    /// Sets times.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn set_times(&mut self, _handle: Handle, _times: Times) -> Result<(), Fail> {
        Err(Errno::NotSup.into())
    }

    /// Sets the times of what `place` names.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn set_times_at(&mut self, _place: Place<'_>, _times: Times) -> Result<(), Fail> {
        Err(Errno::NotSup.into())
    }

    /// Makes a directory.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn create_directory(&mut self, _place: Place<'_>) -> Result<(), Fail> {
        Err(Errno::NotSup.into())
    }

    /// Removes a directory.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn remove_directory(&mut self, _place: Place<'_>) -> Result<(), Fail> {
        Err(Errno::NotSup.into())
    }

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn unlink(&mut self, _place: Place<'_>) -> Result<(), Fail> {
        Err(Errno::NotSup.into())
    }

    /// Makes `place` a symbolic link to `target`, which is as a path is, but may be absolute.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn symlink(&mut self, _target: &CStr, _place: Place<'_>) -> Result<(), Fail> {
        Err(Errno::NotSup.into())
    }

    /// Makes `new` another name for what `old` names.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn link(&mut self, _old: Place<'_>, _new: Place<'_>) -> Result<(), Fail> {
        Err(Errno::NotSup.into())
    }

    /// Gives what `old` names the name `new`.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn rename(&mut self, _old: Place<'_>, _new: Place<'_>) -> Result<(), Fail> {
        Err(Errno::NotSup.into())
    }

    /// Puts the text of a symbolic link into `text`, as much as fits; returns the bytes that it has.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn read_link(&mut self, _place: Place<'_>, _text: &mut [u8]) -> Result<usize, Fail> {
        Err(Errno::NotSup.into())
    }

    /// Puts the entries of a directory from `cookie` on (0: the first) into `entries`, as preview 1 lays out `dirent`s, each with
    /// its name after it; the last one may be cut off. Returns the bytes: fewer than there is room for, at the end.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn read_directory(&mut self, _handle: Handle, _entries: &mut [u8], _cookie: u64) -> Result<usize, Fail> {
        Err(Errno::NotSup.into())
    }

    /// Tells how a part of a file will be used.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn advise(&mut self, _handle: Handle, _offset: u64, _len: u64, _advice: Advice) -> Result<(), Fail> {
        Err(Errno::NotSup.into())
    }

    /// Makes sure that a file has room for `len` bytes at `offset`.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn allocate(&mut self, _handle: Handle, _offset: u64, _len: u64) -> Result<(), Fail> {
        Err(Errno::NotSup.into())
    }

    /// Sets the size of a file in bytes.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn set_size(&mut self, _handle: Handle, _size: u64) -> Result<(), Fail> {
        Err(Errno::NotSup.into())
    }

    /// Puts a file on its device; only its data and what is needed to find it, if `data_only`.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn sync(&mut self, _handle: Handle, _data_only: bool) -> Result<(), Fail> {
        Err(Errno::NotSup.into())
    }

    /// Waits until one of `entries` is ready, or the monotonic clock shows `deadline` nanoseconds (`None`: for ever). Returns how
    /// many are.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn poll(&mut self, _entries: &mut [PollEntry], _deadline: Option<u64>) -> Result<usize, Fail> {
        Err(Errno::NotSup.into())
    }

    /// Takes a connection from a listening socket; the new handle has `flags`. Waits for one, or fails with [`Errno::Again`].
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn accept(&mut self, _handle: Handle, _flags: FdFlags, _waits: bool) -> Result<Handle, Fail> {
        Err(Errno::NotSup.into())
    }

    /// Receives into `spans` of `memory`, with preview 1 `riflags`.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn receive(&mut self, _handle: Handle, _memory: &mut [u8], _spans: &[Span], _flags: u16) -> Result<Received, Fail> {
        Err(Errno::NotSup.into())
    }

    /// Sends `spans` of `memory`; returns the number of bytes.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn send(&mut self, _handle: Handle, _memory: &[u8], _spans: &[Span]) -> Result<usize, Fail> {
        Err(Errno::NotSup.into())
    }

    /// Shuts a socket down, in the directions of the preview 1 `sdflags`.
    ///
    /// # Errors
    ///
    /// [`Fail`].
    fn shutdown(&mut self, _handle: Handle, _how: u8) -> Result<(), Fail> {
        Err(Errno::NotSup.into())
    }
}
