// SPDX-License-Identifier: GPL-2.0

//! Reader of deterministically encoded CBOR, limited to the types of a manifest, see [RFC
//! 8949](https://www.rfc-editor.org/rfc/rfc8949#section-4.2.1).
//!
//! It is written by hand, because the kernel module compiles this file and links no crates.

use super::Malformed;

/// CBOR major types.
mod major {
    pub(super) const NUMBER: u8 = 0;
    pub(super) const TEXT: u8 = 3;
    pub(super) const ARRAY: u8 = 4;
    pub(super) const MAP: u8 = 5;
}

/// Reader of consecutive items.
#[derive(Clone, Copy, Debug)]
pub(super) struct CborReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> CborReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Returns the error `what` at the offset of the next item.
    pub(super) fn wrong(&self, what: &'static str) -> Malformed {
        Malformed { what, offset: self.at }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Returns the bytes between `begin` and the current position.
    pub(super) fn since(&self, begin: Self) -> &'a [u8] {
        self.bytes.get(begin.at..self.at).unwrap_or(&[])
    }

    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        self.head(major::NUMBER, "not a number")
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        let begin = *self;
        let len = self.head(major::TEXT, "not a text")?;
        let bytes = usize::try_from(len).ok().and_then(|len| self.take(len));
        let bytes = bytes.ok_or_else(|| begin.wrong("a truncated text"))?;
        core::str::from_utf8(bytes).map_err(|_| begin.wrong("not UTF-8 text"))
    }

    /// Reads the head of an array and returns the number of its items, which follow.
    pub(super) fn array(&mut self) -> Result<u64, Malformed> {
        self.head(major::ARRAY, "not an array")
    }

    /// Reads the head of a map and returns the number of its pairs, which follow.
    pub(super) fn map(&mut self) -> Result<u64, Malformed> {
        self.head(major::MAP, "not a map")
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let bytes = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    /// Reads the head of an item of type `major` and returns its argument. Fails with `what` if the
    /// item has another type.
    fn head(&mut self, major: u8, what: &'static str) -> Result<u64, Malformed> {
        let begin = *self;
        let first = match self.take(1) {
            Some([first]) => *first,
            _ => return Err(begin.wrong("ends too early")),
        };
        if first >> 5 != major {
            return Err(begin.wrong(what));
        }
        let (len, least) = match first & 0x1f {
            small @ 0..=23 => return Ok(small.into()),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            _ => return Err(begin.wrong("an indefinite or reserved length")),
        };
        let bytes = self.take(len).ok_or_else(|| begin.wrong("ends too early"))?;
        let value = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        if value < least {
            return Err(begin.wrong("a number that is not in its shortest form"));
        }
        Ok(value)
    }
}

/// Checks that texts are in ascending order of their encoded bytes, in which shorter texts come
/// first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ascending<'a> {
    last: Option<&'a str>,
}

impl<'a> Ascending<'a> {
    /// Returns true if `text` follows all previous texts in order.
    pub(super) fn admits(&mut self, text: &'a str) -> bool {
        let order = |text: &'a str| (text.len(), text.as_bytes());
        let is_later = self.last.is_none_or(|last| order(last) < order(text));
        self.last = Some(text);
        is_later
    }
}
