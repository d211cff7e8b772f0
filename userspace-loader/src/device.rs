// SPDX-License-Identifier: GPL-2.0

//! Traits for the kernel module's interface, so that their users can be tested without a kernel.

use crate::{
    invoke::Invocation,
    limits::{
        LimitInfo,
        Reached,
        RequestedLimits, //
    },
    policy::{
        MinVersion,
        Policy,
        Verdict, //
    },
    run_result::RunResult,
    signing::{
        hash::Sha256,
        version::Version, //
    },
};
use clap::ValueEnum;
use rustix::io::Errno;
use serde::Serialize;
use std::{
    fmt,
    io,
    os::fd::{
        BorrowedFd,
        RawFd, //
    }, //
};

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Error number.
    pub errno: Errno,
    /// Text of the kernel's log buffer; empty if there was none.
    pub text: String,
    /// Limit that was reached, if any.
    pub reached: Option<Reached>,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, text: String::new(), reached: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.reached, self.text.is_empty()) {
            (Some(reached), true) => reached.fmt(f),
            (Some(reached), false) => write!(f, "{reached} ({})", self.text),
            (None, true) => f.write_str(&words(self.errno.into())),
            (None, false) => f.write_str(&self.text),
        }
    }
}

impl std::error::Error for Refusal {}

/// Returns the text of a system error without its number.
#[must_use]
pub fn words(error: io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// Version and counters of a kernel module: `struct kwasmi_info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Info {
    /// Version of the ioctl interface.
    pub abi: u32,
    /// Version of the kernel module.
    pub version: String,
    /// Bit set of `KWASMI_FEATURE_*`.
    pub features: u64,
    /// Number of modules whose compiled code failed the safety check.
    pub unsafe_modules: u32,
    /// Number of open module fds.
    pub modules: u64,
    /// Number of open instance fds.
    pub instances: u64,
    /// Memory that engines hold, linear memories included, in bytes.
    pub heap_bytes: u64,
    /// Number of blocks of that memory.
    pub heap_blocks: u64,
    /// Memory that was taken back from engines that failed or did not free it, in bytes.
    pub reclaimed_bytes: u64,
    /// Size of the reserve that serves small allocations when memory runs out, in bytes.
    pub reserve_bytes: u64,
    /// Used part of the reserve, in bytes.
    pub reserve_used_bytes: u64,
    /// Largest used part of the reserve since the kernel module was loaded, in bytes.
    pub reserve_peak_bytes: u64,
    /// Size of an engine stack, in bytes.
    pub engine_stack_bytes: u64,
    /// Deepest use of an engine stack since the kernel module was loaded, in bytes.
    pub engine_stack_peak_bytes: u64,
    /// Number of compiled programs in memory.
    pub compiled: u64,
    /// Bytes of their machine code.
    pub machine_code_bytes: u64,
}

/// Identity of a loaded module: `struct kwasmi_module`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// SHA-256 of the module without its signature.
    pub sha256: Sha256,
    /// Result of the signature check.
    pub verdict: Verdict,
    /// Description of the signer's key; empty without a valid signature by an accepted key.
    pub signer: String,
    /// Name and version, if the module has a manifest.
    pub manifest: Option<(String, Version)>,
    /// Set if the kernel module had already translated the same bytes within the same limits.
    pub shared: bool,
    /// Set if the kernel module compiled it to machine code.
    pub compiled: bool,
    /// Reason why the module was not compiled; empty if it was.
    pub engine_reason: String,
}

/// Engine for a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The compiler if the kernel module may use it and it supports the module.
    #[default]
    Auto,
    /// As [`Engine::Auto`], but the interpreter for a large module: it is loaded for one run.
    #[value(skip)]
    AutoOnce,
    /// The compiler; if it cannot compile the module, loading fails.
    Compiler,
    /// The interpreter.
    Interpreter,
}

/// A descriptor for a guest: `struct kwasmi_fd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestFd {
    /// Number in this process.
    pub fd: RawFd,
    /// Number in the guest.
    pub guest_fd: u32,
    /// Preview 1 rights.
    pub rights: u64,
    /// Preview 1 rights of descriptors that the guest opens through it.
    pub rights_inheriting: u64,
    /// Guest path of a preopened directory; empty for other descriptors.
    pub name: Vec<u8>,
}

/// Settings of an instance: `struct kwasmi_start`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Arguments, each followed by a NUL; the first is the program's name.
    pub args: Vec<u8>,
    /// Environment: `NAME=VALUE` strings, each followed by a NUL.
    pub env: Vec<u8>,
    /// Descriptors.
    pub fds: Vec<GuestFd>,
    /// Requested limits; the kernel module's defaults apply to the others.
    pub limits: RequestedLimits,
    /// Set if a write to a pipe or stream socket without a reader ends the guest; see
    /// [`Ending::BrokenPipe`](crate::run_result::Ending).
    pub sigpipe: bool,
    /// Exported function to call in place of the entry of a program.
    pub invoke: Option<Invocation>,
    /// Set for a reactor, whose functions other processes call.
    pub reactor: bool,
}

/// A kernel module's device.
pub trait Device {
    /// Type of loaded modules.
    type Module: Module;

    /// Returns version and counters.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_INFO`.
    fn info(&self) -> Result<Info, Refusal>;

    /// Returns all limits, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_LIST_LIMITS`.
    fn limits(&self) -> Result<Vec<LimitInfo>, Refusal>;

    /// Validates and translates `wasm`, within `limits`, for `engine`.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_LOAD`.
    fn load(&self, wasm: &[u8], limits: &RequestedLimits, engine: Engine) -> Result<Self::Module, Refusal>;

    /// Returns the verification policy.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_POLICY`.
    fn policy(&self) -> Result<Policy, Refusal>;

    /// Denies the module with this hash.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_DENY`.
    fn deny(&self, hash: &Sha256) -> Result<(), Refusal>;

    /// Returns the denied hashes, in ascending order.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_LIST_DENIED`.
    fn denied(&self) -> Result<Vec<Sha256>, Refusal>;

    /// Sets the minimum version of all modules with one name.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_SET_MIN_VERSION`.
    fn set_min_version(&self, minimum: &MinVersion) -> Result<(), Refusal>;

    /// Returns the minimum versions, in ascending order of the names.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_LIST_MIN_VERSIONS`.
    fn min_versions(&self) -> Result<Vec<MinVersion>, Refusal>;
}

/// A validated and translated module. Dropping it closes its descriptor.
pub trait Module {
    /// Type of instances.
    type Instance: Instance;

    /// Makes an instance, ready to run.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_START`.
    fn start(&self, start: &Start) -> Result<Self::Instance, Refusal>;

    /// Returns the identity of the module.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_MODULE`.
    fn identity(&self) -> Result<Identity, Refusal>;
}

/// An instance of a module. Dropping it closes its descriptor.
pub trait Instance {
    /// Runs the guest until it ends.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_RUN`. After `EINTR`, a further call continues the guest.
    fn run(&self) -> Result<RunResult, Refusal>;

    /// Returns the results of the invoked function; none if it has not returned.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_RESULTS`.
    fn results(&self) -> Result<Vec<u64>, Refusal>;

    /// Returns the descriptor for `KWASMI_IOC_KILL`, if there is one.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_the_kernels_text_or_the_error() {
        let mut refusal = Refusal::from(Errno::NOMEM);
        assert_eq!(refusal.to_string(), "Cannot allocate memory");
        refusal.text = "stack: 1 GiB is above the ceiling".to_owned();
        assert_eq!(refusal.to_string(), "stack: 1 GiB is above the ceiling");
        let limit = crate::limits::Limit(crate::uapi::KWASMI_LIMIT_STACK);
        refusal.reached = Some(Reached { limit, value: 1 << 20 });
        assert_eq!(refusal.to_string(), "limit reached: stack 1M (stack: 1 GiB is above the ceiling)");
    }
}
