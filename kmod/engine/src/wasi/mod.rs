// SPDX-License-Identifier: GPL-2.0

//! The system interface of a guest, decoded from linear memory, over [`Host`]: `wasi_snapshot_preview1`, and `kwasmi_batch_1`
//! for many operations at a time, and `kwasmi_bytes_1` for many bytes.
//!
//! Guest pointers are checked before they are used, and what they point to is read once. A call that the host interrupts
//! has done nothing and is made again later with the same arguments, so that the guest does not notice.

pub mod abi;
mod batch;
mod bytes;
pub mod fds;
mod files;
mod functions;
mod memory;
mod paths;
mod poll;
mod sockets;
pub mod strings;
mod transfer;

pub(crate) use batch::MODULE as BATCH;
pub use functions::{
    FUNCTIONS,
    Signature, //
};
pub(crate) use functions::{
    Function,
    PREVIEW1,
    link, //
};

use self::{
    fds::{
        Descriptor,
        Descriptors, //
    },
    strings::Strings, //
};
use crate::{
    ffi::Limit,
    host::{
        End,
        Fail,
        Host,
        Pause, //
    },
};
use core::fmt;
use wasmi::errors::HostError;

/// What a guest has, as far as preview 1 knows.
#[derive(Debug)]
pub struct Context<H> {
    /// The world around it.
    pub host: H,
    /// Arguments.
    pub args: Strings,
    /// Environment.
    pub env: Strings,
    /// Descriptors.
    pub fds: Descriptors,
    /// When the `poll_oneoff` or `wait` began that was interrupted, in nanoseconds of the monotonic clock: its time-outs must not
    /// start anew.
    polling_since: Option<u64>,
    /// What was done since the host was last asked whether to go on, see [`Context::is_look_due`].
    work: u64,
    /// The fuel that host calls have cost since [`Context::take_fuel`].
    fuel: u64,
    /// The fuel that the guest had at the last [`Context::refuel`].
    fuel_left: u64,
    batch: batch::Batch,
}

/// A host call is as much work as the moving of so many bytes.
const CALL_WORK: u64 = 16 * 1024;

/// The fuel of a host call, and of each operation of a batch.
const CALL_FUEL: u64 = 16;

/// The bytes that are moved, or looked at, for one fuel: as many as wasmi's own bulk operations.
const BYTES_PER_FUEL: u64 = 64;

/// The work between two looks at whether the guest may go on: host calls cost the kernel more than they cost fuel.
const WORK_PER_LOOK: u64 = 64 * CALL_WORK;

impl<H: Host> Context<H> {
    /// A guest's view of `host`.
    pub fn new(host: H, args: Strings, env: Strings, fds: Descriptors) -> Self {
        Self {
            host,
            args,
            env,
            fds,
            polling_since: None,
            work: 0,
            fuel: 0,
            fuel_left: u64::MAX,
            batch: batch::Batch::default(),
        }
    }

    /// The descriptor `fd` of something that has bytes, if it has all of `rights`.
    ///
    /// # Errors
    ///
    /// [`Errno::BadF`](abi::Errno::BadF) if there is none, `of_directory` if it is a directory, else
    /// [`Errno::NotCapable`](abi::Errno::NotCapable) if it lacks a right.
    #[inline(always)]
    fn file(&mut self, fd: u32, rights: abi::Rights, of_directory: abi::Errno) -> Result<Descriptor, Failure> {
        match self.fds.get_with(fd, rights) {
            Ok(descriptor) => Ok(descriptor),
            Err(errno) => Err(self.refused(fd, errno, of_directory)),
        }
    }

    /// Why `fd`, of which [`Descriptors::get_with`] says `errno`, is none to use so.
    #[cold]
    fn refused(&mut self, fd: u32, errno: abi::Errno, of_directory: abi::Errno) -> Failure {
        match self.file_type(fd) {
            Ok(abi::FileType::Directory) => of_directory.into(),
            Err(stop @ Failure::Stop(_)) => stop,
            _ => errno.into(),
        }
    }

    /// What `fd` is, whatever its rights are.
    fn file_type(&mut self, fd: u32) -> Result<abi::FileType, Failure> {
        let descriptor = self.fds.get(fd)?;
        Ok(files::file_type(&self.host.stat(descriptor.handle)?))
    }

    /// In the middle of a call, looks whether the guest may go on. Signals that do not end it wait: the call would start anew
    /// after each.
    fn look(&mut self) -> Done {
        self.check_fuel()?;
        match self.host.checkpoint() {
            Pause::End(_) => Err(Failure::Stop(Stop::Interrupted)),
            Pause::Continue | Pause::Interrupt => Ok(()),
        }
    }
}

impl<H> Context<H> {
    /// Counts a host call; whether the host is to be asked whether the guest may go on.
    pub(crate) fn is_look_due(&mut self) -> bool {
        // One call moves far less than what would overflow.
        self.work = self.work.wrapping_add(CALL_WORK);
        self.fuel = self.fuel.wrapping_add(CALL_FUEL);
        if self.work < WORK_PER_LOOK {
            return false;
        }
        self.work = 0;
        true
    }

    /// Counts bytes that were moved.
    fn count_moved(&mut self, bytes: usize) {
        self.work = self.work.wrapping_add(bytes as u64);
        self.charge(bytes);
    }

    /// Counts the fuel for bytes only.
    fn charge(&mut self, bytes: usize) {
        self.fuel = self.fuel.wrapping_add(bytes as u64 / BYTES_PER_FUEL);
    }

    /// The fuel that host calls have cost since [`Context::take_fuel`].
    pub(crate) fn fuel(&self) -> u64 {
        self.fuel
    }

    /// Returns the fuel that host calls have cost, and sets the count to 0.
    pub(crate) fn take_fuel(&mut self) -> u64 {
        core::mem::take(&mut self.fuel)
    }

    /// Sets the fuel that host calls may take.
    pub(crate) fn refuel(&mut self, left: u64) {
        self.fuel_left = left;
    }

    /// Ends the guest if host calls have cost more fuel than there was.
    pub(crate) fn check_fuel(&self) -> Result<(), Stop> {
        if self.fuel > self.fuel_left { Err(Stop::End(End::limited(Limit::Fuel))) } else { Ok(()) }
    }
}

/// What a preview 1 function comes to in place of an `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It is to be called again, see [`Fail::Interrupted`].
    Interrupted,
    /// The guest is over.
    End(End),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped")
    }
}

impl core::error::Error for Stop {}

impl HostError for Stop {}

/// Why a function has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Errno(abi::Errno),
    Stop(Stop),
}

impl From<abi::Errno> for Failure {
    fn from(errno: abi::Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Fail> for Failure {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Errno(errno) => Self::Errno(errno),
            Fail::Interrupted => Self::Stop(Stop::Interrupted),
        }
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<End> for Failure {
    fn from(end: End) -> Self {
        Self::Stop(Stop::End(end))
    }
}

/// What a function without a result of its own comes to.
type Done = Result<(), Failure>;
