// SPDX-License-Identifier: GPL-2.0

//! The system interface of a guest, decoded from linear memory, over [`Host`]:
//! `wasi_snapshot_preview1`, its predecessor `wasi_unstable`, `kwasmi_batch_1` for many operations
//! in one call, `kwasmi_bytes_1` for searches in memory, and `kwasmi_call_1` for the data of calls.
//!
//! Guest pointers are checked before use, and guest memory is read once. A call that the host
//! interrupts has done nothing. It is repeated later with the same arguments, so the guest does not
//! notice.

pub mod abi;
mod batch;
mod bytes;
mod call;
mod calls;
pub mod fds;
mod files;
mod functions;
mod link;
mod memory;
mod paths;
mod poll;
mod sockets;
pub mod strings;
mod table;
mod transfer;
mod unstable;

#[cfg(feature = "object")]
pub(crate) use calls::PARAMS_MAX;
pub(crate) use functions::FunctionId;
#[cfg(feature = "object")]
pub(crate) use functions::WasiFunction;
pub use functions::{
    FUNCTIONS,
    HostFunction,
    ValueType, //
};
pub(crate) use link::link;

use self::{
    calls::Calls,
    fds::{
        Descriptor,
        Descriptors, //
    },
    strings::Strings, //
};
use crate::{
    ffi::Limit,
    guest_counters::Counters,
    host::{
        End,
        Fail,
        Host,
        Pause, //
    },
};
use core::fmt;
use wasmi::errors::HostError;

/// State of a guest in this interface.
#[derive(Debug)]
pub struct WasiCtx<H> {
    /// Host of the guest.
    pub host: H,
    /// Arguments.
    pub args: Strings,
    /// Environment.
    pub env: Strings,
    /// Descriptors.
    pub fds: Descriptors,
    /// Start of the `poll_oneoff` or `wait` that was interrupted, in nanoseconds of the monotonic
    /// clock. When the call is repeated, its time-outs count from here.
    polling_since: Option<u64>,
    /// Work since the last checkpoint, see [`WasiCtx::is_checkpoint_due`].
    work: u64,
    /// Fuel that host calls have cost since [`WasiCtx::take_fuel`].
    fuel: u64,
    /// Fuel that the guest had at the last [`WasiCtx::refuel`].
    fuel_left: u64,
    batch: batch::Batch,
    pub(crate) calls: Calls,
}

/// Work of a host call: as much as moving this number of bytes.
const CALL_WORK: u64 = 16 * 1024;

/// Fuel of a host call, and of each operation of a batch.
const CALL_FUEL: u64 = 16;

/// Bytes that one unit of fuel moves or searches: the rate of wasmi's bulk operations.
const BYTES_PER_FUEL: u64 = 64;

/// Work between two checkpoints. Host calls cost the kernel more than they cost fuel.
const WORK_PER_CHECKPOINT: u64 = 64 * CALL_WORK;

impl<H: Host> WasiCtx<H> {
    /// Creates the state of a guest over `host`.
    pub fn new(host: H, args: Strings, env: Strings, fds: Descriptors) -> Self {
        Self::with_counters(host, (args, env), fds, Counters::new())
    }

    /// Creates the state of a guest over `host`, whose calls are counted in `counters`. `args` and
    /// `env` are its arguments and environment.
    pub(crate) fn with_counters(
        host: H,
        (args, env): (Strings, Strings),
        fds: Descriptors,
        counters: Counters,
    ) -> Self {
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
            calls: Calls::new(counters),
        }
    }

    /// Returns the descriptor `fd` of a file with bytes, if it has all of `rights`.
    ///
    /// # Errors
    ///
    /// [`Errno::BadF`](abi::Errno::BadF) if `fd` is not open, `of_directory` if it is a directory,
    /// otherwise [`Errno::NotCapable`](abi::Errno::NotCapable) if it lacks a right.
    #[inline(always)]
    fn file(&mut self, fd: u32, rights: abi::Rights, of_directory: abi::Errno) -> Result<Descriptor, Failure> {
        match self.fds.get_with(fd, rights) {
            Ok(descriptor) => Ok(descriptor),
            Err(errno) => Err(self.refused(fd, errno, of_directory)),
        }
    }

    /// Returns the failure of a call for which [`Descriptors::get_with`] refused `fd` with `errno`.
    #[cold]
    fn refused(&mut self, fd: u32, errno: abi::Errno, of_directory: abi::Errno) -> Failure {
        match self.file_type(fd) {
            Ok(abi::FileType::Directory) => of_directory.into(),
            Err(stop @ Failure::Stop(_)) => stop,
            _ => errno.into(),
        }
    }

    /// Returns the type of `fd`, regardless of its rights.
    fn file_type(&mut self, fd: u32) -> Result<abi::FileType, Failure> {
        let descriptor = self.fds.get(fd)?;
        Ok(files::file_type(&self.host.stat(descriptor.handle)?))
    }

    /// Makes a checkpoint in the middle of a call. A pause is left to the end of the call, which
    /// would otherwise start again after each signal.
    ///
    /// # Errors
    ///
    /// [`Stop`] if the guest is to end.
    fn checkpoint(&mut self) -> Done {
        self.check_fuel()?;
        match self.host.checkpoint() {
            Pause::End(_) => Err(Failure::Stop(Stop::Interrupted)),
            Pause::Continue | Pause::Interrupt => Ok(()),
        }
    }
}

impl<H> WasiCtx<H> {
    /// Counts a host call. Returns true if a checkpoint is due.
    pub(crate) fn is_checkpoint_due(&mut self) -> bool {
        // One call moves far less than the counter holds, so this does not overflow.
        self.work = self.work.wrapping_add(CALL_WORK);
        self.fuel = self.fuel.wrapping_add(CALL_FUEL);
        if self.work < WORK_PER_CHECKPOINT {
            return false;
        }
        self.work = 0;
        true
    }

    /// Counts the work and the fuel of moving bytes.
    fn count_moved(&mut self, bytes: usize) {
        self.work = self.work.wrapping_add(bytes as u64);
        self.charge(bytes);
    }

    /// Counts the fuel of moving or searching bytes.
    fn charge(&mut self, bytes: usize) {
        self.fuel = self.fuel.wrapping_add(bytes as u64 / BYTES_PER_FUEL);
    }

    /// Returns the fuel that host calls have cost since [`WasiCtx::take_fuel`].
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

    /// Fails if host calls have cost more fuel than the guest had.
    ///
    /// # Errors
    ///
    /// [`Stop::End`] with [`Limit::Fuel`].
    pub(crate) fn check_fuel(&self) -> Result<(), Stop> {
        if self.fuel > self.fuel_left { Err(Stop::End(End::limited(Limit::Fuel))) } else { Ok(()) }
    }
}

/// Reason why a function does not return to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The call is to be repeated, see [`Fail::Interrupted`].
    Interrupted,
    /// The guest ends.
    End(End),
    /// The guest exits with this status, by `proc_exit`.
    Exit(u32),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped")
    }
}

impl core::error::Error for Stop {}

impl HostError for Stop {}

/// Failure of a function.
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

/// Result of a function, which writes its values to guest memory.
type Done = Result<(), Failure>;
