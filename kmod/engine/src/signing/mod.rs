// SPDX-License-Identifier: GPL-2.0

//! Signed modules, as `docs/signing.md` has them: what is read of a file before anything of it is trusted.
//!
//! The kernel module compiles these very files, too. They allocate nothing, and read bytes as they are.

#![forbid(unsafe_code)]

pub mod cms;
pub mod envelope;
pub mod manifest;

mod cbor;
mod der;

use core::fmt;

/// What is wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// In words.
    pub what: &'static str,
    /// Where, in bytes from the beginning of what was read.
    pub offset: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.what, self.offset)
    }
}
