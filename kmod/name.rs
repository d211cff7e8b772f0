// SPDX-License-Identifier: GPL-2.0

//! Names of modules and services.

use crate::signing::manifest::{
    self,
    NAME_MAX, //
};
use kernel::{
    ffi::c_char,
    prelude::*, //
};

/// Size of a name in the ioctl interface, in bytes: the longest name, a NUL and padding.
const CHARS: usize = 72;

const _: () = assert!(NAME_MAX < CHARS);

/// Name, padded with zeros.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Name([u8; NAME_MAX]);

impl Name {
    /// Converts a valid name (`manifest::is_name`). Bytes beyond [`NAME_MAX`] are left out.
    pub(crate) fn new(name: &str) -> Self {
        let mut all = [0; NAME_MAX];
        for (place, byte) in all.iter_mut().zip(name.bytes()) {
            *place = byte;
        }
        Self(all)
    }

    /// Converts the name in an ioctl's structure.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `chars` is not a valid name (`manifest::is_name`) padded with zeros.
    pub(crate) fn from_chars(chars: &[c_char; CHARS]) -> Result<Self> {
        let bytes = chars.map(|char| char as u8);
        let len = bytes.iter().position(|byte| *byte == 0).ok_or(EINVAL)?;
        let (name, rest) = bytes.split_at_checked(len).ok_or(EINVAL)?;
        let name = core::str::from_utf8(name).map_err(|_| EINVAL)?;
        if !manifest::is_name(name) || rest.iter().any(|byte| *byte != 0) {
            return Err(EINVAL);
        }
        Ok(Self::new(name))
    }

    /// Returns the name as in an ioctl's structure: padded with zeros.
    pub(crate) fn to_chars(self) -> [c_char; CHARS] {
        let mut chars = [0; CHARS];
        for (place, byte) in chars.iter_mut().zip(self.0) {
            *place = byte as c_char;
        }
        chars
    }

    /// Returns the characters of the name.
    pub(crate) fn bytes(&self) -> &[u8] {
        let len = self.0.iter().position(|byte| *byte == 0);
        self.0.get(..len.unwrap_or(NAME_MAX)).unwrap_or(&[])
    }
}
