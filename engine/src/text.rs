// SPDX-License-Identifier: GPL-2.0

//! Text formatted into buffers of fixed size.

use core::fmt;

/// Writer into a buffer that drops the text beyond its end and counts the whole length.
pub struct TruncatingWriter<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> TruncatingWriter<'a> {
    /// Returns a writer that starts at the beginning of `buffer`.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// Returns the length of the whole text in bytes, dropped text included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns true if nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of bytes of the buffer in use.
    #[must_use]
    pub fn written(&self) -> usize {
        self.len.min(self.buffer.len())
    }
}

impl fmt::Write for TruncatingWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(room) = self.buffer.get_mut(self.len..) {
            let fits = room.len().min(text.len());
            if let (Some(to), Some(from)) = (room.get_mut(..fits), text.as_bytes().get(..fits)) {
                to.copy_from_slice(from);
            }
        }
        self.len = self.len.saturating_add(text.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write as _;

    #[test]
    fn text_beyond_the_buffer_is_counted_and_dropped() {
        let mut buffer = [0; 5];
        let mut text = TruncatingWriter::new(&mut buffer);
        assert!(text.is_empty());
        for part in ["abc", "def", "g"] {
            text.write_str(part).expect("never fails");
        }
        assert_eq!((text.len(), text.written()), (7, 5));
        assert_eq!(&buffer, b"abcde");
    }

    #[test]
    fn an_empty_buffer_holds_no_text() {
        let mut text = TruncatingWriter::new(&mut []);
        write!(text, "abc").expect("never fails");
        assert_eq!((text.len(), text.written()), (3, 0));
    }
}
