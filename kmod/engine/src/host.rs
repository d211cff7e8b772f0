// SPDX-License-Identifier: GPL-2.0

//! What the engine asks of the world around it.

use crate::{
    ffi::{
        Ending,
        FileStat,
        Limit, //
    },
    wasi::abi::{
        ClockId,
        Errno,
        FdFlags,
        Whence, //
    },
};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// At this offset in bytes.
    Offset(u64),
}

/// What the engine asks of the world around it. Every method may sleep, unless it says otherwise.
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
}
