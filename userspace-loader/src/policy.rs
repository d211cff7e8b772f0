// SPDX-License-Identifier: GPL-2.0

//! What it takes for a module to be loaded.

use crate::{
    signing::version::Version,
    uapi, //
};
use serde::{
    Serialize,
    Serializer, //
};

/// What becomes of a module whose signature does not hold: `KWASMI_VERIFY_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode(pub u32);

impl Mode {
    /// A word for it: that of the kernel module's parameter.
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

/// What a kwasmi accepts: `struct kwasmi_policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// What becomes of a module whose signature does not hold.
    pub verify: Mode,
    /// Whether that is because the kernel is locked down.
    pub locked_down: bool,
    /// Whether keys that the kernel itself trusts count, too.
    pub kernel_keys: bool,
    /// The serial number of the keyring.
    pub keyring: i32,
    /// How many modules are denied.
    pub denied: u32,
    /// How many names have a least version.
    pub least_versions: u32,
}

/// The least version of the modules of a name: `struct kwasmi_least`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Least {
    /// The name.
    pub name: String,
    /// The version.
    pub version: Version,
}

/// What became of a module's signature: `KWASMI_VERDICT_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict(pub u32);

impl Verdict {
    /// A word for it: that of the kernel's audit records.
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
