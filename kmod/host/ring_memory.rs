// SPDX-License-Identifier: GPL-2.0

//! Memory of a call ring, which the kernel shares with processes.
//!
//! Processes may change every byte of it at any time. The kernel accesses header and entries as
//! atomics, and reads each field of a call once. It copies input and output as plain bytes. The
//! atomics are those of `core`: those of the `kernel` crate call a C function for each access.

use super::{
    locked_memory::LockedMemory,
    signal, //
};
use crate::{
    allocation,
    pages::{
        Mapping,
        Page, //
    },
    uapi::{
        kwasmi_ring_entry,
        kwasmi_ring_header,
        KWASMI_RING_ENTRIES_OFFSET,
        KWASMI_RING_VALUES, //
    },
};
use core::{
    ops::Range,
    ptr::NonNull,
    sync::atomic::{
        AtomicBool,
        AtomicI32,
        AtomicU32,
        AtomicU64,
        Ordering::{
            Acquire,
            Relaxed,
            Release, //
        }, //
    }, //
};
use kernel::{
    bindings,
    error::code::{
        EINTR,
        ENOBUFS, //
    },
    mm::virt::{
        flags,
        VmaNew, //
    },
    page::{
        BorrowedPage,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::Arc, //
};

/// Upper bound of the number of calls that one entry into the engine makes.
pub(crate) const BATCH_MAX: usize = 128;

/// Number of pages that are allocated between two checks for a fatal signal.
const PAGES_PER_CHECK: usize = 256;

/// Header of a ring: [`kwasmi_ring_header`].
#[repr(C)]
struct Header {
    head: AtomicU32,
    tail: AtomicU32,
}

const _: () = assert!(size_of::<Header>() == size_of::<kwasmi_ring_header>());

/// Entry of a ring: [`kwasmi_ring_entry`].
#[repr(C)]
pub(crate) struct RingEntry {
    pub(crate) function: AtomicU32,
    pub(crate) args_len: AtomicU32,
    pub(crate) input: AtomicU32,
    pub(crate) input_len: AtomicU32,
    pub(crate) output: AtomicU32,
    pub(crate) output_size: AtomicU32,
    pub(crate) output_len: AtomicU32,
    pub(crate) results_len: AtomicU32,
    pub(crate) error: AtomicI32,
    reserved: AtomicU32,
    user_data: AtomicU64,
    pub(crate) values: [AtomicU64; KWASMI_RING_VALUES as usize],
}

const _: () = assert!(size_of::<RingEntry>() == size_of::<kwasmi_ring_entry>());
const _: () = assert!(
    core::mem::offset_of!(RingEntry, values) == core::mem::offset_of!(kwasmi_ring_entry, values)
);
const _: () = assert!(PAGE_SIZE % size_of::<RingEntry>() == 0);

/// Input and output of a call: ranges of the data.
pub(crate) struct Exchange {
    input: AtomicU32,
    input_len: AtomicU32,
    output: AtomicU32,
    output_size: AtomicU32,
    pub(crate) output_len: AtomicU32,
}

/// Memory of a call ring.
///
/// # Invariants
///
/// `mapping` maps `pages` in order: at least the header, `entries` entries from
/// [`KWASMI_RING_ENTRIES_OFFSET`] on, and `data_size` bytes of data from `data_offset` on.
/// `entries` is a power of two.
pub(crate) struct RingMemory {
    /// Declared before the pages, so that it is dropped before them.
    mapping: Mapping,
    pages: KVVec<Page>,
    _locked: LockedMemory,
    entries: u32,
    data_offset: usize,
    data_size: u32,
    /// Input and output of the calls of the present batch.
    exchanges: [Exchange; BATCH_MAX],
    /// [`CallBatch::done`](crate::ffi::CallBatch::done) of the present batch.
    done: AtomicU32,
    /// Set while a [`Lent`] of the memory exists.
    is_lent: AtomicBool,
}

impl RingMemory {
    /// Allocates a ring with `entries` entries, a power of two, and `data_size` bytes of data.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also if the user would have more locked memory than `RLIMIT_MEMLOCK`; `EINTR` if a
    /// fatal signal is pending.
    pub(crate) fn new(entries: u32, data_size: u32) -> Result<Arc<Self>> {
        let end = KWASMI_RING_ENTRIES_OFFSET as usize + entries as usize * size_of::<RingEntry>();
        let data_offset = end.next_multiple_of(PAGE_SIZE);
        let count = (data_offset + data_size as usize).div_ceil(PAGE_SIZE);
        let locked = LockedMemory::new(count)?;
        let mut pages = allocation::buffer(count)?;
        let mut addresses = allocation::buffer(count)?;
        for index in 0..count {
            if index % PAGES_PER_CHECK == 0 && signal::is_fatal_signal_pending() {
                return Err(EINTR);
            }
            let page = Page::new()?;
            // The buffers have room for all pages.
            let _ = addresses.push_within_capacity(page.as_ptr());
            let _ = pages.push_within_capacity(page);
        }
        // SAFETY: `Mapping::new` requires that the pages stay allocated until the mapping is
        // dropped. `pages` keeps them, and is dropped after it.
        let mapping = unsafe { Mapping::new(&mut addresses) }?;
        // INVARIANT: The pages have just been mapped. Their number is the one that is needed.
        Ok(Arc::new(
            Self {
                mapping,
                pages,
                _locked: locked,
                entries,
                data_offset,
                data_size,
                exchanges: [const {
                    Exchange {
                        input: AtomicU32::new(0),
                        input_len: AtomicU32::new(0),
                        output: AtomicU32::new(0),
                        output_size: AtomicU32::new(0),
                        output_len: AtomicU32::new(0),
                    }
                }; BATCH_MAX],
                done: AtomicU32::new(0),
                is_lent: AtomicBool::new(false),
            },
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    /// Returns the size of the mapping in bytes.
    pub(crate) fn size(&self) -> usize {
        self.pages.len() * PAGE_SIZE
    }

    /// Returns the offset of the data in the mapping, in bytes.
    pub(crate) fn data_offset(&self) -> usize {
        self.data_offset
    }

    /// Maps the ring to `vma`.
    ///
    /// # Errors
    ///
    /// `EINVAL` as documented for `KWASMI_IOC_RING`; `ENOMEM`.
    pub(crate) fn map(&self, vma: &VmaNew) -> Result {
        // SAFETY: `VmaNew` guarantees a valid pointer, and that nothing changes the offset of the
        // area, which is being set up.
        let offset = unsafe { (*vma.as_ptr()).vm_pgoff };
        let is_whole = offset == 0 && vma.end() - vma.start() == self.size();
        if !is_whole || vma.flags() & flags::SHARED == 0 {
            return Err(EINVAL);
        }
        vma.set_dontexpand();
        let vma = vma.set_mixedmap();
        for (index, page) in self.pages.iter().enumerate() {
            // SAFETY: `BorrowedPage::from_raw` requires a page that stays allocated during the
            // borrow, which is that of `self.pages`.
            let page = unsafe { BorrowedPage::from_raw(page.as_ptr()) };
            vma.vm_insert_page(vma.start() + index * PAGE_SIZE, &page)?;
        }
        Ok(())
    }

    fn header(&self) -> &Header {
        let header = self.mapping.start().cast::<Header>();
        // SAFETY: By the type invariant the header is mapped as long as `self` is borrowed. It
        // consists of atomics, so other tasks and processes may change it, and all bits are valid.
        // The mapping begins with a page, so the pointer is aligned.
        unsafe { header.as_ref() }
    }

    /// Returns the number of calls that processes have added after call number `head`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the ring has fewer entries.
    pub(crate) fn pending(&self, head: u32) -> Result<u32> {
        let pending = self.header().tail.load(Acquire).wrapping_sub(head);
        if pending > self.entries {
            return Err(EINVAL);
        }
        Ok(pending)
    }

    /// Tells processes that the calls before number `head` are finished.
    pub(crate) fn publish(&self, head: u32) {
        self.header().head.store(head, Release);
    }

    /// Returns the entries of the calls from call `number` on, up to the last entry of the ring.
    pub(crate) fn entries(&self, number: u32) -> &[RingEntry] {
        let first = self.mapping.start().as_ptr();
        let first = first.wrapping_add(KWASMI_RING_ENTRIES_OFFSET as usize);
        let len = self.entries as usize;
        // SAFETY: By the type invariant the entries are mapped as long as `self` is borrowed. They
        // consist of atomics, so other tasks and processes may change them, and all bits are valid.
        // The first entry is at the beginning of a page, so the pointer is aligned.
        let entries = unsafe { core::slice::from_raw_parts(first.cast::<RingEntry>(), len) };
        entries
            .get(number as usize & (len - 1)..)
            .unwrap_or_default()
    }

    /// Returns places for input and output of the calls of the next batch.
    pub(crate) fn exchanges(&self) -> &[Exchange; BATCH_MAX] {
        &self.exchanges
    }

    /// Sets input and output of a call to those of `entry`. Returns false if one of them is not
    /// within the data.
    #[inline(always)]
    pub(crate) fn set_exchange(&self, exchange: &Exchange, entry: &RingEntry) -> bool {
        let (input_len, output_size) = (
            entry.input_len.load(Relaxed),
            entry.output_size.load(Relaxed),
        );
        exchange.input_len.store(input_len, Relaxed);
        exchange.output_size.store(output_size, Relaxed);
        exchange.output_len.store(0, Relaxed);
        if input_len == 0 && output_size == 0 {
            return true;
        }
        let (input, output) = (entry.input.load(Relaxed), entry.output.load(Relaxed));
        exchange.input.store(input, Relaxed);
        exchange.output.store(output, Relaxed);
        let is_inside = |start: u32, len: u32| {
            len == 0
                || start
                    .checked_add(len)
                    .is_some_and(|end| end <= self.data_size)
        };
        is_inside(input, input_len) && is_inside(output, output_size)
    }

    /// Returns the number of finished calls of the present batch.
    pub(crate) fn done(&self) -> &AtomicU32 {
        &self.done
    }

    /// Returns input and output of the call that runs.
    fn present(&self) -> Option<&Exchange> {
        self.exchanges.get(self.done.load(Relaxed) as usize)
    }

    /// Returns the address of `range` of the data; `None` if it is not within the data.
    fn data(&self, range: Range<usize>) -> Option<NonNull<u8>> {
        let is_inside = range.start <= range.end && range.end <= self.data_size as usize;
        let address = self.mapping.start().as_ptr();
        let address = address.wrapping_add(self.data_offset + range.start);
        NonNull::new(address).filter(|_| is_inside)
    }
}

/// Exclusive use of a ring's memory by one batch of calls. It is dropped when the last function of
/// the batch has returned, even if the caller has stopped waiting. Until then no batch can begin.
pub(crate) struct Lent(Arc<RingMemory>);

impl Lent {
    /// Lends `memory`.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it is lent already.
    pub(crate) fn new(memory: &Arc<RingMemory>) -> Result<Self> {
        if memory.is_lent.swap(true, Acquire) {
            return Err(EBUSY);
        }
        Ok(Self(memory.clone()))
    }

    /// Returns the memory.
    pub(crate) fn memory(&self) -> &Arc<RingMemory> {
        &self.0
    }

    /// Copies the input of the call that runs from `offset` on into `bytes`, as far as both reach.
    /// Returns the length of the whole input.
    pub(super) fn read(&self, offset: usize, bytes: &mut [u8]) -> usize {
        let Some(exchange) = self.0.present() else {
            return 0;
        };
        let start = exchange.input.load(Relaxed) as usize;
        let total = exchange.input_len.load(Relaxed) as usize;
        let len = total.saturating_sub(offset).min(bytes.len());
        let from = start.saturating_add(offset);
        if let Some(from) = self.0.data(from..from.saturating_add(len)) {
            // SAFETY: `memcpy` requires `len` readable and as many writable bytes that do not
            // overlap. `data` returned the address of as many mapped bytes, and `bytes` has at
            // least that many, in the guest's memory. Processes may change the mapped bytes
            // meanwhile; then the guest gets old or new ones.
            unsafe {
                bindings::memcpy(
                    bytes.as_mut_ptr().cast(),
                    from.as_ptr().cast_const().cast(),
                    len,
                )
            };
        }
        total
    }

    /// Appends `bytes` to the output of the call that runs.
    ///
    /// # Errors
    ///
    /// `ENOBUFS` if they do not fit.
    pub(super) fn append(&self, bytes: &[u8]) -> Result {
        if bytes.is_empty() {
            return Ok(());
        }
        let exchange = self.0.present().ok_or(ENOBUFS)?;
        let (start, used) = (
            exchange.output.load(Relaxed) as usize,
            exchange.output_len.load(Relaxed) as usize,
        );
        let size = exchange.output_size.load(Relaxed) as usize;
        if bytes.len() > size.saturating_sub(used) {
            return Err(ENOBUFS);
        }
        let to = start + used;
        let to = self.0.data(to..to + bytes.len()).ok_or(ENOBUFS)?;
        // SAFETY: `memcpy` requires as many readable and writable bytes as it copies, which do not
        // overlap. `data` returned the address of as many mapped bytes as `bytes` has, which are in
        // the guest's memory. Processes may change the mapped bytes meanwhile; nothing in the
        // kernel reads them.
        unsafe { bindings::memcpy(to.as_ptr().cast(), bytes.as_ptr().cast(), bytes.len()) };
        exchange
            .output_len
            .store((used + bytes.len()) as u32, Relaxed);
        Ok(())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.is_lent.store(false, Release);
    }
}
