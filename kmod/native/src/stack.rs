// SPDX-License-Identifier: GPL-2.0

//! An engine stack, as the kernel module has it, with pages around it that cannot be touched.

/// The module's `stack::SIZE`, in bytes.
const SIZE: usize = 64 * 1024;
const PAGE: usize = 4096;

/// # Invariants
///
/// `map` is a mapping of `SIZE` bytes and a page on either side.
pub(crate) struct Stack {
    map: *mut u8,
}

impl Stack {
    /// A stack of zeros; `None` if there is no memory.
    pub(crate) fn new() -> Option<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: A new mapping, at a place that the kernel chooses.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), SIZE + 2 * PAGE, libc::PROT_NONE, flags, -1, 0) };
        if map == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: The pages are inside of our own mapping.
        let status = unsafe { libc::mprotect(map.wrapping_byte_add(PAGE), SIZE, libc::PROT_READ | libc::PROT_WRITE) };
        // INVARIANT: It was just made. It stays as long as the process.
        (status == 0).then_some(Self { map: map.cast() })
    }

    /// Its highest word, aligned to 16 bytes.
    pub(crate) fn top(&mut self) -> *mut usize {
        self.map.wrapping_add(PAGE + SIZE - 16).cast()
    }

    /// How much of it was ever in use, in bytes.
    pub(crate) fn peak(&self) -> usize {
        let bottom = self.map.wrapping_add(PAGE);
        // SAFETY: By the invariant the bytes are there; nobody runs on the stack now.
        let bytes = unsafe { std::slice::from_raw_parts(bottom, SIZE) };
        let used = bytes.iter().position(|byte| *byte != 0);
        SIZE - used.unwrap_or(SIZE)
    }
}
