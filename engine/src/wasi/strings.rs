// SPDX-License-Identifier: GPL-2.0

//! Arguments and environment of a guest: a list of NUL-terminated strings.

use super::{
    abi::Errno,
    memory::{
        after,
        write, //
    },
};
use alloc::vec::Vec;

/// List of NUL-terminated strings, stored back to back.
#[derive(Debug, Default)]
pub struct Strings {
    bytes: Vec<u8>,
    count: u32,
}

impl Strings {
    /// Copies the strings in `bytes`.
    ///
    /// # Errors
    ///
    /// - [`Errno::Inval`] if the last string is not terminated.
    /// - [`Errno::TooBig`] if there are 4 GiB or more.
    /// - [`Errno::NoMem`] if no memory is available.
    pub fn new(bytes: &[u8]) -> Result<Self, Errno> {
        if bytes.last().is_some_and(|last| *last != 0) {
            return Err(Errno::Inval);
        }
        u32::try_from(bytes.len()).map_err(|_| Errno::TooBig)?;
        let count = bytes.iter().filter(|byte| **byte == 0).count();
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).map_err(|_| Errno::NoMem)?;
        copy.extend_from_slice(bytes);
        Ok(Self { bytes: copy, count: u32::try_from(count).map_err(|_| Errno::TooBig)? })
    }

    /// Implements `args_sizes_get` and `environ_sizes_get` of preview 1.
    pub(super) fn sizes(&self, memory: &mut [u8], count: u32, bytes: u32) -> Result<(), Errno> {
        let len = u32::try_from(self.bytes.len()).map_err(|_| Errno::Overflow)?;
        write(memory, count, &self.count.to_le_bytes())?;
        write(memory, bytes, &len.to_le_bytes())
    }

    /// Implements `args_get` and `environ_get` of preview 1.
    pub(super) fn get(&self, memory: &mut [u8], pointers: u32, buffer: u32) -> Result<(), Errno> {
        let mut pointer = pointers;
        let mut string = buffer;
        for bytes in self.bytes.split_inclusive(|byte| *byte == 0) {
            write(memory, pointer, &string.to_le_bytes())?;
            write(memory, string, bytes)?;
            pointer = after(pointer, 4)?;
            string = after(string, u32::try_from(bytes.len()).map_err(|_| Errno::Fault)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_laid_out_as_the_guest_expects() {
        let strings = Strings::new(b"ab\0\0c\0").expect("ends with NUL");
        let mut memory = [0xff; 32];
        strings.sizes(&mut memory, 0, 4).expect("inside");
        assert_eq!(memory[..8], [3, 0, 0, 0, 6, 0, 0, 0]);
        strings.get(&mut memory, 8, 20).expect("inside");
        assert_eq!(memory[8..26], *b"\x14\0\0\0\x17\0\0\0\x18\0\0\0ab\0\0c\0");
        assert_eq!(strings.get(&mut memory, 8, 28), Err(Errno::Fault));
        assert_eq!(strings.get(&mut memory, 28, 8), Err(Errno::Fault));
    }

    #[test]
    fn an_unterminated_string_is_refused() {
        assert_eq!(Strings::new(b"ab").err(), Some(Errno::Inval));
        assert!(Strings::new(b"").is_ok());
    }
}
