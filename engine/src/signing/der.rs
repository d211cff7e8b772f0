// SPDX-License-Identifier: GPL-2.0

//! Reader of DER ([X.690](https://www.itu.int/rec/T-REC-X.690)), limited to the types of a
//! signature.
//!
//! It is written by hand, because the kernel module compiles this file and links no crates.

use super::Malformed;

/// DER tags.
pub(super) mod tag {
    pub(in super::super) const INTEGER: u8 = 0x02;
    pub(in super::super) const OCTET_STRING: u8 = 0x04;
    pub(in super::super) const NULL: u8 = 0x05;
    pub(in super::super) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(in super::super) const SEQUENCE: u8 = 0x30;
    pub(in super::super) const SET: u8 = 0x31;
    /// `[0]`, primitive.
    pub(in super::super) const CONTEXT_0: u8 = 0x80;
    /// `[0]`, constructed.
    pub(in super::super) const CONTEXT_0_CONSTRUCTED: u8 = 0xa0;
    /// `[1]`, constructed.
    pub(in super::super) const CONTEXT_1_CONSTRUCTED: u8 = 0xa1;
}

/// Reader of consecutive values.
#[derive(Clone, Copy, Debug)]
pub(super) struct DerReader<'a> {
    bytes: &'a [u8],
    /// Offset of `bytes` in the whole input.
    base: usize,
}

impl<'a> DerReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, base: 0 }
    }

    /// Returns the error `what` at the offset of the next value.
    pub(super) fn wrong(&self, what: &'static str) -> Malformed {
        Malformed { what, offset: self.base }
    }

    /// Returns the bytes that are left.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns true if the next value has this tag.
    pub(super) fn is_next(&self, tag: u8) -> bool {
        self.bytes.first() == Some(&tag)
    }

    /// Reads the next value, which must have this tag, and returns a reader of its contents.
    ///
    /// # Errors
    ///
    /// [`Malformed`] with `what` if the tag differs, or with a message about its length if it is
    /// not DER.
    pub(super) fn value(&mut self, tag: u8, what: &'static str) -> Result<Self, Malformed> {
        let begin = *self;
        let short = || begin.wrong("ends too early");
        let (found, rest) = self.bytes.split_first().ok_or_else(|| begin.wrong(what))?;
        if *found != tag {
            return Err(begin.wrong(what));
        }
        let (first, rest) = rest.split_first().ok_or_else(short)?;
        let (len, rest) = match *first {
            len @ 0..=0x7f => (usize::from(len), rest),
            0x80 => return Err(begin.wrong("an indefinite length")),
            // Two length bytes suffice, because a signature has at most 8 KiB.
            0x81 | 0x82 => {
                let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f)).ok_or_else(short)?;
                let value = len.iter().fold(0, |value, byte| value << 8 | usize::from(*byte));
                let least = if *first == 0x81 { 0x80 } else { 0x100 };
                if value < least {
                    return Err(begin.wrong("a length that is not in its shortest form"));
                }
                (value, rest)
            }
            _ => return Err(begin.wrong("a length that is too large")),
        };
        let header = self.bytes.len().saturating_sub(rest.len());
        let (contents, rest) = rest.split_at_checked(len).ok_or_else(short)?;
        let value = Self { bytes: contents, base: self.base.saturating_add(header) };
        *self = Self { bytes: rest, base: value.base.saturating_add(len) };
        Ok(value)
    }

    /// Checks that no bytes are left.
    ///
    /// # Errors
    ///
    /// [`Malformed`] with `what` if bytes are left.
    pub(super) fn end(&self, what: &'static str) -> Result<(), Malformed> {
        if self.bytes.is_empty() { Ok(()) } else { Err(self.wrong(what)) }
    }
}
