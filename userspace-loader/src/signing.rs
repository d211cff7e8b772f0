// SPDX-License-Identifier: GPL-2.0

//! Verified modules, as `docs/signing.md` has them: made and checked without a kernel.
//!
//! The kernel module checks by itself, with code of its own: nothing here is shared with it but the document.

pub mod asn1;
pub mod capability;
pub mod cbor;
pub mod certificate;
pub mod cms;
pub mod digest;
pub mod draft;
pub mod hash;
pub mod key;
pub mod manifest;
pub mod needs;
pub mod parts;
pub mod verdict;
pub mod version;
