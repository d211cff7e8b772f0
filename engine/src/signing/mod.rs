// SPDX-License-Identifier: GPL-2.0

//! Parsing of signed modules before anything in them is trusted, see `docs/signing.md`.
//!
//! The kernel module compiles these files as well. They allocate nothing and treat their input as
//! plain bytes. The readers are written by hand, because the kernel module links no crates.

#![forbid(unsafe_code)]

pub mod cms;
pub mod envelope;
pub mod manifest;

pub(crate) mod capabilities;
mod cbor;
mod der;

use core::fmt;

/// Error of a parser: a message and an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Message.
    pub what: &'static str,
    /// Offset in the parsed bytes.
    pub offset: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.what, self.offset)
    }
}
