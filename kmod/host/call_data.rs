// SPDX-License-Identifier: GPL-2.0

//! Input and output of a call of a reactor.

use crate::{
    allocation, //
    ioctl,
};
use kernel::{
    error::code::ENOBUFS,
    prelude::*, //
};

/// Copy of a caller's input, and output for the caller.
pub(crate) struct CallData {
    input: KVVec<u8>,
    /// The capacity is the size of the caller's buffer.
    output: KVVec<u8>,
}

impl CallData {
    /// Copies the `len` bytes at the caller's address `input`, and allocates `output_size` bytes
    /// for the output.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the input is not readable; `ENOMEM`.
    pub(crate) fn from_user(input: u64, len: u32, output_size: u32) -> Result<Self> {
        Ok(Self {
            input: ioctl::bytes_from_user(input, len as usize)?,
            output: allocation::buffer(output_size as usize)?,
        })
    }

    /// Copies the input from `offset` on into `bytes`, as far as both reach. Returns the length of
    /// the whole input.
    pub(super) fn read(&self, offset: usize, bytes: &mut [u8]) -> usize {
        let rest = self.input.get(offset..).unwrap_or_default();
        let len = rest.len().min(bytes.len());
        if let (Some(to), Some(from)) = (bytes.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        self.input.len()
    }

    /// Appends `bytes` to the output.
    ///
    /// # Errors
    ///
    /// `ENOBUFS` if they do not fit.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result {
        if bytes.len() > self.output.capacity() - self.output.len() {
            return Err(ENOBUFS);
        }
        Ok(self.output.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT)?)
    }

    /// Returns the output.
    pub(crate) fn output(&self) -> &[u8] {
        &self.output
    }
}
