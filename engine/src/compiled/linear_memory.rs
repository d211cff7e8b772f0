// SPDX-License-Identifier: GPL-2.0

//! Linear memories of compiled instances.

use super::stop::InstanceStop;
use alloc::vec::Vec;
use core::ops::DerefMut;

/// A linear memory.
pub trait LinearMemory: DerefMut<Target = [u8]> + Sized {
    /// Makes memory `index` of an instance with `size` zero bytes.
    ///
    /// # Errors
    ///
    /// [`InstanceStop::OutOfMemory`] if no memory is available.
    fn new(index: usize, size: usize) -> Result<Self, InstanceStop>;

    /// Makes the memory `size` bytes large, not less than it has. New bytes are zero.
    ///
    /// # Errors
    ///
    /// [`InstanceStop::OutOfMemory`]: the memory is as before.
    fn grow(&mut self, size: usize) -> Result<(), InstanceStop>;
}

impl LinearMemory for Vec<u8> {
    fn new(_index: usize, size: usize) -> Result<Self, InstanceStop> {
        let mut memory = Self::new();
        memory.grow(size)?;
        Ok(memory)
    }

    fn grow(&mut self, size: usize) -> Result<(), InstanceStop> {
        self.try_reserve_exact(size.saturating_sub(self.len())).map_err(|_| InstanceStop::OutOfMemory)?;
        self.resize(size, 0);
        Ok(())
    }
}

#[cfg(feature = "object")]
pub(crate) use self::host::HostMemory;

#[cfg(feature = "object")]
mod host {
    use super::{
        InstanceStop,
        LinearMemory, //
    };
    use crate::{
        ffi,
        heap,
        heap::Account,
        vmctx, //
    };
    use core::{
        ops::{
            Deref,
            DerefMut, //
        },
        ptr::NonNull,
        slice, //
    };

    const _: () = assert!(vmctx::SPECULATION_PAD == ffi::SPECULATION_PAD as u64);

    /// A linear memory that the host owns.
    ///
    /// # Invariants
    ///
    /// `start` points to `size` initialised bytes, which this value alone accesses. The host keeps
    /// them until the guest has ended, and after that nothing accesses them. Without bytes, `start`
    /// is dangling.
    #[derive(Debug)]
    pub(crate) struct HostMemory {
        index: u16,
        start: NonNull<u8>,
        size: usize,
    }

    // SAFETY: `HostMemory` alone accesses its bytes, which any task may do.
    unsafe impl Send for HostMemory {}
    // SAFETY: A shared reference only reads the bytes.
    unsafe impl Sync for HostMemory {}

    impl LinearMemory for HostMemory {
        fn new(index: usize, size: usize) -> Result<Self, InstanceStop> {
            let index = u16::try_from(index).map_err(|_| InstanceStop::OutOfMemory)?;
            // INVARIANT: There are no bytes.
            let mut memory = Self { index, start: NonNull::dangling(), size: 0 };
            memory.grow(size)?;
            Ok(memory)
        }

        fn grow(&mut self, size: usize) -> Result<(), InstanceStop> {
            if size <= self.size {
                return Ok(());
            }
            let start = heap::grow_memory(self.index, self.size, size).map_err(|_| InstanceStop::OutOfMemory)?;
            // INVARIANT: The host has put `size` bytes there: those of the memory, and zeros.
            self.start = start;
            self.size = size;
            Ok(())
        }
    }

    impl Deref for HostMemory {
        type Target = [u8];

        fn deref(&self) -> &[u8] {
            // SAFETY: By the type invariant there are `size` initialised bytes, which change only
            // by a mutable reference to `self`.
            unsafe { slice::from_raw_parts(self.start.as_ptr(), self.size) }
        }
    }

    impl DerefMut for HostMemory {
        fn deref_mut(&mut self) -> &mut [u8] {
            // SAFETY: By the type invariant there are `size` initialised bytes, which this value
            // alone accesses.
            unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.size) }
        }
    }

    impl Drop for HostMemory {
        fn drop(&mut self) {
            if let Some(account) = Account::current() {
                account.uncharge_host_memory(self.size);
            }
        }
    }
}
