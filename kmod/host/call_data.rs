// SPDX-License-Identifier: GPL-2.0

//! Input and output of a call of a reactor.

use super::ring_memory::Lent;
use crate::{
    allocation, //
    ioctl,
};
use kernel::{
    error::code::ENOBUFS,
    prelude::*, //
};

/// Input of a call, and output for its caller.
pub(crate) enum CallData {
    /// Of one call by `KWASMI_IOC_CALL`.
    Copied(CopiedData),
    /// Of the calls of a ring.
    Shared(Lent),
}

impl CallData {
    /// Copies the `len` bytes at the caller's address `input`, and allocates `output_size` bytes
    /// for the output.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the input is not readable; `ENOMEM`.
    pub(crate) fn from_user(input: u64, len: u32, output_size: u32) -> Result<Self> {
        Ok(Self::Copied(CopiedData {
            input: ioctl::bytes_from_user(input, len as usize)?,
            output: allocation::buffer(output_size as usize)?,
        }))
    }

    /// Copies the input from `offset` on into `bytes`, as far as both reach. Returns the length of
    /// the whole input.
    pub(super) fn read(&self, offset: usize, bytes: &mut [u8]) -> usize {
        match self {
            Self::Copied(data) => data.read(offset, bytes),
            Self::Shared(ring) => ring.read(offset, bytes),
        }
    }

    /// Appends `bytes` to the output.
    ///
    /// # Errors
    ///
    /// `ENOBUFS` if they do not fit.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result {
        match self {
            Self::Copied(data) => data.append(bytes),
            Self::Shared(ring) => ring.append(bytes),
        }
    }

    /// Returns the output that is to be copied to the caller.
    pub(crate) fn output(&self) -> &[u8] {
        match self {
            Self::Copied(data) => &data.output,
            Self::Shared(_) => &[],
        }
    }
}

/// Copy of a caller's input, and output for the caller.
pub(crate) struct CopiedData {
    input: KVVec<u8>,
    /// The capacity is the size of the caller's buffer.
    output: KVVec<u8>,
}

impl CopiedData {
    fn read(&self, offset: usize, bytes: &mut [u8]) -> usize {
        let rest = self.input.get(offset..).unwrap_or_default();
        let len = rest.len().min(bytes.len());
        if let (Some(to), Some(from)) = (bytes.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        self.input.len()
    }

    fn append(&mut self, bytes: &[u8]) -> Result {
        if bytes.len() > self.output.capacity() - self.output.len() {
            return Err(ENOBUFS);
        }
        Ok(self.output.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT)?)
    }
}
