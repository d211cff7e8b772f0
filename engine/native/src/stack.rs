// SPDX-License-Identifier: GPL-2.0

//! Engine stack with guard pages, as in the kernel module.

/// Size of the stack in bytes: `stack::SIZE` of the kernel module.
const SIZE: usize = 64 * 1024;
const PAGE: usize = 4096;

/// Engine stack.
///
/// # Invariants
///
/// `map` is the start of a mapping that lives as long as the process: a guard page, `SIZE` bytes of
/// stack, and another guard page. All but the guard pages is readable and writable.
pub(crate) struct Stack {
    map: *mut u8,
}

impl Stack {
    /// Maps a stack of zero bytes. Returns `None` if no memory is available.
    pub(crate) fn new() -> Option<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: The mapping is new and anonymous, at an address that the kernel chooses.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), SIZE + 2 * PAGE, libc::PROT_NONE, flags, -1, 0) };
        if map == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: The pages lie inside of the mapping that was just created, and nothing uses them
        // yet.
        let status = unsafe { libc::mprotect(map.wrapping_byte_add(PAGE), SIZE, libc::PROT_READ | libc::PROT_WRITE) };
        // INVARIANT: The stack was just mapped and made accessible, and is never unmapped.
        (status == 0).then_some(Self { map: map.cast() })
    }

    /// Returns the address of the highest word, aligned to 16 bytes.
    pub(crate) fn top(&mut self) -> *mut usize {
        self.map.wrapping_add(PAGE + SIZE - 16).cast()
    }

    /// Returns the depth up to which the stack was ever used, in bytes.
    pub(crate) fn peak(&self) -> usize {
        let bottom = self.map.wrapping_add(PAGE);
        // SAFETY: The `SIZE` bytes are readable and initialised by the invariant. No code runs on
        // the stack now, so nothing writes to it.
        let bytes = unsafe { std::slice::from_raw_parts(bottom, SIZE) };
        let used = bytes.iter().position(|byte| *byte != 0);
        SIZE - used.unwrap_or(SIZE)
    }
}
