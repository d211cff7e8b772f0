// SPDX-License-Identifier: GPL-2.0

//! Buffers that the kernel takes as something arrives, of whichever connection: io_uring_register_buf_ring(3).

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

/// The group that the buffers are.
pub(super) const GROUP: u16 = 0;

/// Where the kernel wants the ring to begin.
const PAGE: usize = 4096;

/// The buffers.
///
/// # Invariants
///
/// `entries` points to `count` of them, a power of two, which live as long as the program, and `memory` to as many times
/// [`BUFFER`] bytes, which do as well. The kernel writes into a buffer only if it was provided and was not taken since.
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    count: u16,
    tail: u16,
}

impl Buffers {
    /// At least `count`, for `ring`. Their memory is not given back.
    pub(super) fn new(ring: &IoUring, count: usize) -> io::Result<Self> {
        let count = u16::try_from(count.next_power_of_two()).map_err(io::Error::other)?;
        let len = usize::from(count) * size_of::<BufRingEntry>();
        let space: &'static mut [u8] = vec![0; len + PAGE].leak();
        let space = space.get_mut(space.as_ptr().align_offset(PAGE)..).ok_or(ErrorKind::OutOfMemory)?;
        let memory: &'static mut [u8] = vec![0; usize::from(count) * BUFFER].leak();
        // INVARIANT: The space is large enough from its first page on, for less than a page is before that.
        let mut buffers =
            Self { entries: NonNull::from(space).cast(), memory: NonNull::from(memory).cast(), count, tail: 0 };
        let address = buffers.entries.as_ptr() as u64;
        // SAFETY: By the type's invariants the entries are there as long as the program.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, count, GROUP, 0) }?;
        for id in 0..count {
            buffers.provide(id);
        }
        Ok(buffers)
    }

    fn buffer(&self, id: u16) -> NonNull<u8> {
        // SAFETY: By the type's invariants it is within the memory: the remainder is less than `count`.
        unsafe { self.memory.add(usize::from(id % self.count) * BUFFER) }
    }

    /// What the kernel has written into buffer `id`.
    ///
    /// # Safety
    ///
    /// The kernel has taken the buffer, and it was not provided since.
    pub(super) unsafe fn taken(&self, id: u16, len: usize) -> &[u8] {
        // SAFETY: It is within the memory, which was zero at first. By the type's invariants and the caller nobody writes to
        // it before it is provided again, which borrows all of them mutably.
        unsafe { NonNull::slice_from_raw_parts(self.buffer(id), len.min(BUFFER)).as_ref() }
    }

    /// Lets the kernel take buffer `id` again.
    pub(super) fn provide(&mut self, id: u16) {
        let address = self.buffer(id).as_ptr() as u64;
        // SAFETY: By the type's invariants it is one of the entries: the remainder is less than `count`.
        let mut entry = unsafe { self.entries.add(usize::from(self.tail % self.count)) };
        // SAFETY: All entries are there, zero at first, and the kernel reads no entry that is not before the tail.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(address);
        entry.set_len(BUFFER as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: It points to the first entry, which is there.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: The tail is in the first entry, in a field that nothing else sets; the kernel reads it only.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
