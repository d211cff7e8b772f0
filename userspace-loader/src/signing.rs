// SPDX-License-Identifier: GPL-2.0

//! Signed modules (`docs/signing.md`): making and checking them without a kernel.
//!
//! The kernel module has its own implementation of the checks. It shares with this one only the
//! tables of functions ([`host_functions`](crate::host_functions)), limits
//! ([`limits`](crate::limits)) and capabilities.

pub mod asn1;
pub mod capability;
pub mod cbor;
pub mod certificate;
pub mod cms;
pub mod digest;
pub mod envelope;
pub mod hash;
pub mod key;
pub mod manifest;
pub mod requirements;
pub mod toml_manifest;
pub mod verdict;
pub mod version;
