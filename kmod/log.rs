// SPDX-License-Identifier: GPL-2.0

//! Log buffer of a call: the text that explains a failure, and the limit that was reached.

use crate::{
    ffi::Log,
    text::TruncatingWriter, //
};
use kernel::{
    fmt,
    prelude::*,
    uaccess::UserSlice, //
};

/// Upper bound of the text of a call, in bytes.
const SIZE_MAX: usize = 16 * 1024;

/// Returns the longest prefix of `bytes` that is valid UTF-8. Used to remove a character that was
/// cut off at the end.
pub(crate) fn text(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => bytes
            .get(..error.valid_up_to())
            .and_then(|valid| core::str::from_utf8(valid).ok())
            .unwrap_or_default(),
    }
}

/// Text for the caller. Text beyond the buffer is cut off, but counted.
pub(crate) struct LogBuffer {
    user: UserPtr,
    text: KVVec<u8>,
    len: usize,
    limit: (u32, u64),
}

impl LogBuffer {
    /// Creates a buffer for the caller's `size` bytes at the address `addr`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if no memory is available.
    pub(crate) fn new(addr: u64, size: u32) -> Result<Self> {
        let mut text = KVVec::new();
        text.resize((size as usize).min(SIZE_MAX), 0, GFP_KERNEL_ACCOUNT)?;
        Ok(Self {
            user: UserPtr::from_addr(usize::try_from(addr)?),
            text,
            len: 0,
            limit: (0, 0),
        })
    }

    /// Returns a buffer without room, for a call that returns no text.
    pub(crate) fn empty() -> Self {
        Self {
            user: UserPtr::from_addr(0),
            text: KVVec::new(),
            len: 0,
            limit: (0, 0),
        }
    }

    /// Discards the text.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Stores the limit that was reached: its number and its value.
    pub(crate) fn reached(&mut self, limit: u32, value: u64) {
        self.limit = (limit, value);
    }

    /// Returns number and value of the limit that was reached; number 0 if none was.
    pub(crate) fn limit(&self) -> (u32, u64) {
        self.limit
    }

    /// Lets `f` write the text through the engine's [`Log`].
    pub(crate) fn lend<T>(&mut self, f: impl FnOnce(&mut Log) -> T) -> T {
        let mut log = Log {
            text: self.text.as_mut_ptr(),
            size: self.text.len(),
            len: 0,
        };
        let result = f(&mut log);
        self.len = log.len;
        result
    }

    /// Copies the text to the caller. Returns the length of the whole text in bytes.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the caller's buffer is not writable.
    pub(crate) fn give(&self) -> Result<u32> {
        let written = self
            .text
            .get(..self.len.min(self.text.len()))
            .unwrap_or(&[]);
        if !written.is_empty() {
            UserSlice::new(self.user, written.len())
                .writer()
                .write_slice(written)?;
        }
        Ok(u32::try_from(self.len).unwrap_or(u32::MAX))
    }
}

impl fmt::Write for LogBuffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut writer = TruncatingWriter::new(self.text.get_mut(self.len..).unwrap_or_default());
        writer.write_str(text)?;
        self.len = self.len.saturating_add(writer.len());
        Ok(())
    }
}

/// Formatter that writes each byte as two hexadecimal digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
