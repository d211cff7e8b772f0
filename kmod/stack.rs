// SPDX-License-Identifier: GPL-2.0

//! Engine stacks.

use crate::counters;
use kernel::{
    alloc::{
        allocator::Vmalloc,
        flags, //
    },
    prelude::*, //
};

/// The size of an engine stack, in bytes. Twice of what was ever seen in use, and more: see the test of the peak.
pub(crate) const SIZE: usize = 64 * 1024;

/// A stack for the engine: vmalloc memory, so that unmapped pages are above and below it.
///
/// # Invariants
///
/// `memory` has room for [`SIZE`] bytes, all initialised.
pub(crate) struct Stack {
    memory: Vec<u8, Vmalloc>,
}

impl Stack {
    /// A stack of zeros.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        let flags = GFP_KERNEL_ACCOUNT | flags::__GFP_ZERO | flags::__GFP_NOWARN;
        let memory = Vec::with_capacity(SIZE, flags)?;
        // INVARIANT: The capacity was asked for, and the memory is zeroed.
        Ok(Self { memory })
    }

    /// Its highest word, aligned to 16 bytes.
    pub(crate) fn top(&mut self) -> *mut usize {
        self.memory.as_mut_ptr().wrapping_add(SIZE - 16).cast()
    }

    /// How much of it was ever in use, in bytes: what is not zero any more, and what is above.
    pub(crate) fn peak(&self) -> usize {
        let mut unused = 0;
        while unused < SIZE {
            // SAFETY: By the invariant these bytes are there and initialised; nobody runs on the stack now.
            let word = unsafe { self.memory.as_ptr().add(unused).cast::<u64>().read() };
            if word != 0 {
                break;
            }
            unused += size_of::<u64>();
        }
        SIZE - unused
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        counters::STACK_PEAK.raise(self.peak());
    }
}
