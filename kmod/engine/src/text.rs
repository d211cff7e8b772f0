// SPDX-License-Identifier: GPL-2.0

//! Text into buffers of fixed size.

use core::fmt;

/// Writes text into a buffer, cuts off what does not fit, and counts all of it.
pub struct Cut<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> Cut<'a> {
    /// Text that begins at the start of `buffer`.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// The length of the whole text in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of the buffer in use.
    #[must_use]
    pub fn written(&self) -> usize {
        self.len.min(self.buffer.len())
    }
}

impl fmt::Write for Cut<'_> {
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
    fn what_does_not_fit_is_counted_and_cut_off() {
        let mut buffer = [0; 5];
        let mut text = Cut::new(&mut buffer);
        assert!(text.is_empty());
        for part in ["abc", "def", "g"] {
            text.write_str(part).expect("never fails");
        }
        assert_eq!((text.len(), text.written()), (7, 5));
        assert_eq!(&buffer, b"abcde");
    }

    #[test]
    fn an_empty_buffer_takes_nothing() {
        let mut text = Cut::new(&mut []);
        write!(text, "abc").expect("never fails");
        assert_eq!((text.len(), text.written()), (3, 0));
    }
}
