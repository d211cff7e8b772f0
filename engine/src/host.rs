// SPDX-License-Identifier: GPL-2.0

//! The host as the engine sees it: the trait [`Host`], its failures and answers.

use crate::{
    ffi::{Ending, Limit},
    wasi::abi::Errno,
};

pub use crate::{
    ffi::{
        Handle,
        Opened,
        Received, //
    },
    host_operations::{
        CallError,
        Operations,
        RelativePath, //
    },
};

/// Failure of a host operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fail {
    /// The operation failed. The guest gets the error.
    Errno(Errno),
    /// The operation did nothing because the guest is to pause or end; [`Host::checkpoint`] tells
    /// which. The call is repeated when the guest continues, so the guest does not notice.
    Interrupted,
}

impl From<Errno> for Fail {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<CallError> for Fail {
    fn from(error: CallError) -> Self {
        Self::Errno(match error {
            CallError::NotSupported => Errno::NotSup,
            CallError::Malformed => Errno::Overflow,
        })
    }
}

/// End of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Kind of the end.
    pub ending: Ending,
    /// Detail that [`Ending`] describes.
    pub code: u32,
}

impl End {
    /// No memory was available for the guest.
    pub const OUT_OF_MEMORY: Self = Self { ending: Ending::OutOfMemory, code: 0 };

    /// Returns the end of a guest that exits with `status`.
    #[must_use]
    pub const fn exited(status: u32) -> Self {
        Self { ending: Ending::Exited, code: status }
    }

    /// Returns the end of a guest that reaches `limit`.
    #[must_use]
    pub const fn limited(limit: Limit) -> Self {
        Self { ending: Ending::Limited, code: limit as u32 }
    }
}

/// Decision at a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The guest continues.
    Continue,
    /// The guest pauses. It can be run again later.
    Interrupt,
    /// The guest ends.
    End(End),
}

/// Position of a transfer in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The file's own position, which advances.
    Position,
    /// The file's own position, which advances. The transfer fails with [`Errno::Again`] instead of
    /// waiting.
    PositionNow,
    /// Offset in bytes. The file's own position stays.
    Offset(u64),
}

/// Part of a linear memory, inside its bounds when it is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Length in bytes.
    pub len: usize,
}

/// The engine's interface to its host: [`Operations`], and those of
/// [`RawOperations`](crate::host_operations::RawOperations) in a form without addresses. A host in
/// a test is safe code, and notices a span that is outside of the memory.
///
/// Every method may sleep.
pub trait Host: Operations<Error = Fail> {
    /// Decides between two slices whether the guest may continue. Lets other tasks run.
    fn checkpoint(&mut self) -> Pause;

    /// Returns the end of a guest whose memory request was refused.
    fn refused_memory(&self) -> End {
        End::OUT_OF_MEMORY
    }

    /// Reads into `spans` of `memory`, in order; returns the number of bytes, 0 at the end of the
    /// file.
    ///
    /// # Errors
    ///
    /// [`Fail`]: an error of the file, or an interruption.
    fn read(&mut self, handle: Handle, memory: &mut [u8], spans: &[Span], at: At) -> Result<usize, Fail>;

    /// Writes `spans` of `memory`, in order; returns the number of bytes.
    ///
    /// # Errors
    ///
    /// [`Fail`]: an error of the file, or an interruption.
    fn write(&mut self, handle: Handle, memory: &[u8], spans: &[Span], at: At) -> Result<usize, Fail>;

    /// Moves at most `len` bytes from one file to another, at the positions of both, without a
    /// buffer in between. Waits until it can write, even where [`Host::write`] would not wait.
    /// Returns the number of bytes, 0 at the end of `from`; `None`, before it moves anything, if
    /// these files need a buffer in between.
    ///
    /// # Errors
    ///
    /// [`Fail`]: an error of a file, or an interruption.
    fn splice(&mut self, _from: Handle, _to: Handle, _len: usize) -> Result<Option<usize>, Fail> {
        Ok(None)
    }

    /// Receives from a socket into `spans` of `memory`, with preview 1 `riflags`.
    ///
    /// # Errors
    ///
    /// [`Fail`]: an error of the socket, or an interruption; [`Errno::NotSup`] if the host has no
    /// sockets.
    fn receive(&mut self, _handle: Handle, _memory: &mut [u8], _spans: &[Span], _flags: u16) -> Result<Received, Fail> {
        Err(Errno::NotSup.into())
    }

    /// Sends `spans` of `memory` on a socket; returns the number of bytes.
    ///
    /// # Errors
    ///
    /// [`Fail`]: an error of the socket, or an interruption; [`Errno::NotSup`] if the host has no
    /// sockets.
    fn send(&mut self, _handle: Handle, _memory: &[u8], _spans: &[Span]) -> Result<usize, Fail> {
        Err(Errno::NotSup.into())
    }
}
