// SPDX-License-Identifier: GPL-2.0

//! What the kernel side offers, as traits, so that everything above them is tested without a kernel.

use crate::{
    end::Ended,
    limits::{
        Asked,
        Known,
        Reached, //
    },
    policy::{
        Least,
        Policy,
        Verdict, //
    },
    signing::{
        hash::Sha256,
        version::Version, //
    },
};
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

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error number.
    pub errno: Errno,
    /// The text of the kernel's log buffer; empty if there was none.
    pub text: String,
    /// The limit that was reached.
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

/// The words of a system error, without its number.
#[must_use]
pub fn words(error: io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// What a kwasmi is, and what it holds now: `struct kwasmi_info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Info {
    /// Version of the ioctl interface.
    pub abi: u32,
    /// Version of the kernel module.
    pub version: String,
    /// `KWASMI_FEATURE_*`.
    pub features: u64,
    /// Modules that are loaded.
    pub modules: u64,
    /// Instances that there are.
    pub instances: u64,
    /// Memory that engines hold, in bytes.
    pub heap_bytes: u64,
    /// In how many blocks.
    pub heap_blocks: u64,
    /// Memory that was taken back from engines that failed, in bytes.
    pub reclaimed_bytes: u64,
    /// Size of the reserve for when memory runs out, in bytes.
    pub reserve_bytes: u64,
    /// What of it is in use, in bytes.
    pub reserve_used_bytes: u64,
    /// The most of it that was ever in use, in bytes.
    pub reserve_peak_bytes: u64,
    /// Size of an engine stack, in bytes.
    pub engine_stack_bytes: u64,
    /// The deepest use of one, in bytes.
    pub engine_stack_peak_bytes: u64,
}

/// What a module is: `struct kwasmi_module`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// What it is known by.
    pub sha256: Sha256,
    /// What became of its signature.
    pub verdict: Verdict,
    /// Who signed it, as the kernel shows the key; empty if nobody did who counts.
    pub signer: String,
    /// Name and version, if it has a manifest.
    pub manifest: Option<(String, Version)>,
    /// Whether it did not have to be translated, since somebody had one of the same bytes.
    pub shared: bool,
}

/// A descriptor that a guest is handed: `struct kwasmi_fd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestFd {
    /// The caller's number for it.
    pub fd: RawFd,
    /// The guest's.
    pub guest_fd: u32,
    /// Preview 1 rights.
    pub rights: u64,
    /// Preview 1 rights of descriptors made from it.
    pub rights_inheriting: u64,
    /// The path under which the guest finds it, a preopened directory; empty if it is none.
    pub name: Vec<u8>,
}

/// What an instance begins with: `struct kwasmi_start`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Arguments, each with a NUL after it; the first is the program's name.
    pub args: Vec<u8>,
    /// Environment: `NAME=VALUE`, each with a NUL after it.
    pub env: Vec<u8>,
    /// Descriptors.
    pub fds: Vec<GuestFd>,
    /// Limits; the kernel's defaults for those that are not there.
    pub limits: Asked,
    /// A write to a pipe or stream socket that nobody reads ends the guest, see [`End::BrokenPipe`](crate::end::End).
    pub sigpipe: bool,
}

/// A kwasmi.
pub trait Device {
    /// What it makes of Wasm.
    type Module: Module;

    /// Tells what it is and what it holds.
    ///
    /// # Errors
    ///
    /// Those of `KWASMI_IOC_INFO`.
    fn info(&self) -> Result<Info, Refusal>;

    /// Tells what limits it has, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// Those of `KWASMI_IOC_LIMITS`.
    fn limits(&self) -> Result<Vec<Known>, Refusal>;

    /// Validates and translates `wasm`, within `limits`.
    ///
    /// # Errors
    ///
    /// Those of `KWASMI_IOC_LOAD`.
    fn load(&self, wasm: &[u8], limits: &Asked) -> Result<Self::Module, Refusal>;

    /// Tells what it takes for a module to be loaded.
    ///
    /// # Errors
    ///
    /// Those of `KWASMI_IOC_POLICY`.
    fn policy(&self) -> Result<Policy, Refusal>;

    /// Denies the module with this hash.
    ///
    /// # Errors
    ///
    /// Those of `KWASMI_IOC_DENY`.
    fn deny(&self, hash: &Sha256) -> Result<(), Refusal>;

    /// Tells which are denied, in ascending order.
    ///
    /// # Errors
    ///
    /// Those of `KWASMI_IOC_DENIED`.
    fn denied(&self) -> Result<Vec<Sha256>, Refusal>;

    /// Sets the least version of the modules of a name.
    ///
    /// # Errors
    ///
    /// Those of `KWASMI_IOC_LEAST`.
    fn set_least(&self, least: &Least) -> Result<(), Refusal>;

    /// Tells the least versions, in ascending order of the names.
    ///
    /// # Errors
    ///
    /// Those of `KWASMI_IOC_LEASTS`.
    fn leasts(&self) -> Result<Vec<Least>, Refusal>;
}

/// A validated and translated module. It goes when it is dropped.
pub trait Module {
    /// What it is made into.
    type Instance: Instance;

    /// Makes an instance, ready to run.
    ///
    /// # Errors
    ///
    /// Those of `KWASMI_IOC_START`.
    fn start(&self, start: &Start) -> Result<Self::Instance, Refusal>;

    /// Tells what it is.
    ///
    /// # Errors
    ///
    /// Those of `KWASMI_IOC_MODULE`.
    fn identity(&self) -> Result<Identity, Refusal>;
}

/// A program. It goes when it is dropped.
pub trait Instance {
    /// Runs the guest until it ends.
    ///
    /// # Errors
    ///
    /// Those of `KWASMI_IOC_RUN`, `EINTR` among them: then it goes on when it is called again.
    fn run(&self) -> Result<Ended, Refusal>;

    /// The descriptor by which a signal ends it, if it has one.
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
