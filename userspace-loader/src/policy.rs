// SPDX-License-Identifier: GPL-2.0

//! The kernel module's verification policy: `struct kwasmi_policy` and its parts.

use crate::{
    signing::version::Version,
    uapi, //
};
use serde::{
    Serialize,
    Serializer, //
};

/// Treatment of modules without a valid signature: `KWASMI_VERIFY_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode(pub u32);

impl Mode {
    /// Returns the value of the kernel module's parameter `verify=`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self.0 {
            uapi::KWASMI_VERIFY_OFF => "off",
            uapi::KWASMI_VERIFY_WARN => "warn",
            uapi::KWASMI_VERIFY_ENFORCE => "enforce",
            _ => "unknown",
        }
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// Verification policy in force: `struct kwasmi_policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Treatment of modules without a valid signature.
    pub verify: Mode,
    /// Set if the kernel is locked down, which enforces signatures.
    pub locked_down: bool,
    /// Set if keys that the kernel itself trusts are accepted, too.
    pub kernel_keys: bool,
    /// Serial number of the keyring `.kwasmi`.
    pub keyring: i32,
    /// Number of denied modules.
    pub denied: u32,
    /// Number of names with a minimum version.
    pub min_versions: u32,
}

/// Minimum version of all modules with one name: `struct kwasmi_min_version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MinVersion {
    /// Name.
    pub name: String,
    /// Minimum version.
    pub version: Version,
}

/// Result of the signature check of a module: `KWASMI_VERDICT_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict(pub u32);

impl Verdict {
    /// Returns the word for the verdict, which is also that of the kernel's audit records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self.0 {
            uapi::KWASMI_VERDICT_UNSIGNED => "unsigned",
            uapi::KWASMI_VERDICT_SIGNED => "signed",
            uapi::KWASMI_VERDICT_KERNEL_KEY => "kernel-key",
            uapi::KWASMI_VERDICT_REJECTED => "rejected",
            _ => "unknown",
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}
