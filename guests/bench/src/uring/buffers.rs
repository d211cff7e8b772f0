// SPDX-License-Identifier: GPL-2.0

//! Ring of buffers that the kernel selects from when data arrives on any connection:
//! io_uring_register_buf_ring(3).

#![allow(unsafe_code, reason = "memory that is shared with the kernel")]

use crate::serve::BUFFER;
use io_uring::{
    IoUring,
    types::BufRingEntry, //
};
use std::{
    io::{
        self,
        ErrorKind, //
    },
    ptr::NonNull,
    sync::atomic::{
        AtomicU16,
        Ordering, //
    },
};

/// Id of the buffer group.
pub(super) const GROUP: u16 = 0;

/// Alignment of the ring, in bytes.
const PAGE: usize = 4096;

/// Ring of provided buffers.
///
/// # Invariants
///
/// `entries` points to `count` entries, and `memory` to `count` times [`BUFFER`] bytes. `count` is
/// a power of two. Both live as long as the program. The kernel writes only into buffers that are
/// provided, until it takes them.
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    count: u16,
    tail: u16,
}

impl Buffers {
    /// Makes at least `count` buffers for `ring`. Their memory is never freed.
    pub(super) fn new(ring: &IoUring, count: usize) -> io::Result<Self> {
        let count = u16::try_from(count.next_power_of_two()).map_err(io::Error::other)?;
        let len = usize::from(count) * size_of::<BufRingEntry>();
        let space: &'static mut [u8] = vec![0; len + PAGE].leak();
        let space = space.get_mut(space.as_ptr().align_offset(PAGE)..).ok_or(ErrorKind::OutOfMemory)?;
        let memory: &'static mut [u8] = vec![0; usize::from(count) * BUFFER].leak();
        // INVARIANT: The space has room for the entries after its first page boundary, which is
        // less than a page from its start.
        let mut buffers =
            Self { entries: NonNull::from(space).cast(), memory: NonNull::from(memory).cast(), count, tail: 0 };
        let address = buffers.entries.as_ptr() as u64;
        // SAFETY: `address` points to `count` entries, which live as long as the program by the
        // type's invariants.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, count, GROUP, 0) }?;
        for id in 0..count {
            buffers.provide(id);
        }
        Ok(buffers)
    }

    fn buffer(&self, id: u16) -> NonNull<u8> {
        // SAFETY: The offset is within the memory, because the remainder is less than `count`.
        unsafe { self.memory.add(usize::from(id % self.count) * BUFFER) }
    }

    /// Returns the bytes that the kernel has written into buffer `id`.
    ///
    /// # Safety
    ///
    /// The kernel must have taken the buffer, and it must not have been provided since.
    pub(super) unsafe fn taken(&self, id: u16, len: usize) -> &[u8] {
        // SAFETY: The buffer is within initialized memory. By the safety requirement the kernel
        // does not write to it until it is provided again, which needs a mutable borrow of `self`.
        unsafe { NonNull::slice_from_raw_parts(self.buffer(id), len.min(BUFFER)).as_ref() }
    }

    /// Provides buffer `id` to the kernel again.
    pub(super) fn provide(&mut self, id: u16) {
        let address = self.buffer(id).as_ptr() as u64;
        // SAFETY: The offset is within the entries, because the remainder is less than `count`.
        let mut entry = unsafe { self.entries.add(usize::from(self.tail % self.count)) };
        // SAFETY: The entry is valid and initialized, and the kernel does not read entries at or
        // after the tail.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(address);
        entry.set_len(BUFFER as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `entries` points to the first entry, which is valid.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: The tail is a valid, aligned field of the first entry, which only this function
        // writes and the kernel only reads.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
