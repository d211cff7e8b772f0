// SPDX-License-Identifier: GPL-2.0

//! The global allocator of the engine.
//!
//! Every block belongs to the account of the engine entry that allocated it. The account counts the
//! block against its budget and keeps it on a list, so that all blocks of an account can be freed
//! at once if the engine fails in the middle of an operation.
//!
//! The types of `alloc` panic when an allocation fails, unless they offer a `try_` method. A small
//! allocation that the host refuses, or that exceeds the budget, is therefore served from a
//! reserve. The account is marked as exhausted, and its guest ends at the next checkpoint. A large
//! allocation fails, because code that needs large blocks uses `try_` methods. Each account has a
//! fixed share of the reserve, so that one account cannot drain it, as translating a large module
//! would. The engine aborts when the share is used up.
//!
//! Small blocks come from [`slab`]s. The word in front of each block tells its kind: it is either
//! the address of the block's slab, or [`OWN`] as the last word of a [`Header`].
//!
//! Lock order: the lock of an account's list and the lock of the reserve are never held together.
//! No task sleeps while it holds one of them.

mod allocator;
mod reserve;
mod slab;

pub(crate) use self::reserve::{
    init_reserve,
    reserve_stats, //
};

use self::{
    reserve::RESERVE,
    slab::{
        Class,
        Slab,
        Slabs, //
    },
};
use crate::{
    border::{
        abort_if_ended,
        context,
        poll, //
    },
    ffi::{
        AccountCounters,
        AccountStats,
        Limit,
        Status, //
    },
    host::{
        End,
        Fail,
        Operations, //
    },
    host_operations::{
        Allocated,
        Block,
        RawOperations, //
    },
    kernel_host::KernelHost,
    wasi::abi::Errno,
};
use core::{
    alloc::Layout,
    ptr::{
        self,
        NonNull, //
    },
    sync::atomic::{
        AtomicBool,
        AtomicU8,
        AtomicU32,
        AtomicUsize,
        Ordering, //
    },
};
use spin::{
    RelaxStrategy,
    mutex::SpinMutex, //
};

/// Upper bound of the bytes that the reserve serves to one account. It is enough for one slice.
const RESERVE_SHARE: usize = 64 * 1024;

/// Number of small allocations between two checkpoints, because translating a module allocates for
/// a long time. The host makes checkpoints for allocations that reach it.
const ALLOCATIONS_PER_POLL: u32 = 64;

/// Relax strategy of the spin lock: calls the scheduler, because the lock's holder may be
/// preempted.
struct Yield;

impl RelaxStrategy for Yield {
    fn relax() {
        // Yielding does not fail.
        let _ = KernelHost::new().yield_now();
    }
}

type Mutex<T> = SpinMutex<T, Yield>;

/// Header in front of a block that is not in a slab.
///
/// # Invariants
///
/// `account` points to an open account, or is null. A block without an account is on no list.
#[repr(C)]
struct Header {
    previous: *mut Header,
    next: *mut Header,
    account: *mut Account,
    /// Size of the whole allocation in bytes. The lowest bit is set if it came from the reserve.
    size: usize,
    /// Distance from the start of the allocation to the block, in bytes.
    offset: usize,
    align: usize,
    /// Always [`OWN`].
    kind: usize,
}

/// Word in front of a block that has a [`Header`]. It is odd, and the address of a slab is even.
const OWN: usize = 1;

const HEADER: usize = size_of::<Header>();
const IN_RESERVE: usize = 1;

/// Blocks of an account.
struct Blocks {
    /// List of the blocks that are in no slab.
    first: *mut Header,
    slabs: Slabs,
}

// SAFETY: `Blocks` owns its headers and slabs, and only the holder of the account's lock accesses
// them.
unsafe impl Send for Blocks {}

/// Reason for which memory was refused: the resource that was missing.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AllocError {
    /// No allocation was refused.
    None = 0,
    /// Memory of the host.
    Memory = 1,
    /// Budget of a module's account.
    Code = 2,
    /// Budget of an instance's account.
    Heap = 3,
    /// Common budget of all accounts.
    Total = 4,
}

impl AllocError {
    fn from_raw(value: u8) -> Self {
        [Self::Memory, Self::Code, Self::Heap, Self::Total]
            .into_iter()
            .find(|error| *error as u8 == value)
            .unwrap_or(Self::None)
    }

    /// Returns the limit that was reached, if it was one.
    pub(crate) fn limit(self) -> Option<Limit> {
        match self {
            Self::None | Self::Memory => None,
            Self::Code => Some(Limit::Code),
            Self::Heap => Some(Limit::Heap),
            Self::Total => Some(Limit::TotalHeap),
        }
    }

    /// Returns the status and the limit of an operation that failed for this reason.
    pub(crate) fn status(self) -> (Status, Option<Limit>) {
        match self.limit() {
            Some(limit) => (Status::Limited, Some(limit)),
            None => (Status::NoMemory, None),
        }
    }

    /// Returns the end of a guest that was refused memory for this reason.
    pub(crate) fn end(self) -> End {
        self.limit().map_or(End::OUT_OF_MEMORY, End::limited)
    }
}

/// Account that allocations are charged to.
pub(crate) struct Account {
    budget: usize,
    /// Value of `alloc_error` once the budget is used up.
    budget_error: AllocError,
    counters: AccountCounters,
    /// Set once the reserve has served this account.
    exhausted: AtomicBool,
    /// Bytes that the reserve has served to this account, freed ones included.
    from_reserve: AtomicUsize,
    /// First [`AllocError`].
    alloc_error: AtomicU8,
    /// Number of small allocations so far.
    allocations: AtomicU32,
    list: Mutex<Blocks>,
}

impl Account {
    /// Returns the account of the current engine entry.
    pub(crate) fn current() -> Option<&'static Account> {
        // SAFETY: The host's context is valid while the engine runs, and this code is part of the
        // engine.
        let account = unsafe { context().as_ref() }?.account;
        // SAFETY: The account in the context is null or open for the whole engine entry, and no
        // reference outlives the entry.
        unsafe { account.cast::<Account>().as_ref() }
    }

    /// Opens an account that may hold `budget` bytes. `limit` is the [`Limit`] of the budget.
    ///
    /// # Errors
    ///
    /// The [`AllocError`] with which the host refused memory.
    pub(crate) fn open(budget: usize, limit: u32) -> Result<NonNull<Account>, AllocError> {
        let layout = Layout::new::<Account>();
        let account = host_alloc(layout)?.cast::<Account>();
        let budget_error = if limit == Limit::Code as u32 { AllocError::Code } else { AllocError::Heap };
        // SAFETY: `account` points to a fresh allocation with the size and alignment of an
        // `Account`.
        unsafe {
            account.write(Account {
                budget,
                budget_error,
                counters: AccountCounters::new(),
                exhausted: AtomicBool::new(false),
                from_reserve: AtomicUsize::new(0),
                alloc_error: AtomicU8::new(AllocError::None as u8),
                allocations: AtomicU32::new(0),
                list: Mutex::new(Blocks { first: ptr::null_mut(), slabs: Slabs::new() }),
            });
        }
        Ok(account)
    }

    /// Closes an account. Blocks that are still allocated go to `parent`, or are freed if there is
    /// none.
    ///
    /// # Safety
    ///
    /// - `account` came from [`Account::open`], is not closed, and is the account of no engine
    ///   entry.
    /// - Without a `parent`, no code uses a block of the account again.
    pub(crate) unsafe fn close(account: NonNull<Account>, parent: Option<&Account>) -> AccountStats {
        // SAFETY: `account` is open by this function's safety requirement.
        let this = unsafe { account.as_ref() };
        // These slabs are empty and were kept for later allocations.
        while let Some(slab) = this.pop_slab(true) {
            // SAFETY: The slab is on no list any more, and none of its blocks is in use.
            unsafe { release_slab(slab) };
        }
        let stats = this.stats();
        while let Some(slab) = this.pop_slab(false) {
            if let Some(parent) = parent {
                parent.adopt_slab(slab);
            } else {
                // SAFETY: The slab is on no list any more. Without a parent its blocks are not used
                // again, by this function's safety requirement.
                unsafe { release_slab(slab) };
            }
        }
        while let Some(header) = this.pop() {
            if let Some(parent) = parent {
                parent.adopt(header);
            } else {
                // SAFETY: The header was on the account's list, so it belongs to a block. Without
                // a parent the block is not used again, by this function's safety requirement.
                unsafe { release(header) };
            }
        }
        // SAFETY: `open` allocated the account with this size, and it is closed.
        host_free(unsafe { Block::new(account.cast(), size_of::<Account>()) });
        stats
    }

    /// Returns the counters. They are valid until the account is closed.
    pub(crate) fn counters(&self) -> &AccountCounters {
        &self.counters
    }

    /// Returns the values of the counters.
    fn stats(&self) -> AccountStats {
        AccountStats {
            used: self.counters.used.load(Ordering::Relaxed),
            peak: self.counters.peak.load(Ordering::Relaxed),
            blocks: self.counters.blocks.load(Ordering::Relaxed),
        }
    }

    /// Returns true if the reserve had to serve an allocation.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }

    /// Returns the resource that was missing when an allocation was first refused or served by the
    /// reserve.
    pub(crate) fn alloc_error(&self) -> AllocError {
        AllocError::from_raw(self.alloc_error.load(Ordering::Relaxed))
    }

    /// Keeps `error` as the reason for which memory was refused, if it is the first.
    pub(crate) fn note_alloc_error(&self, error: AllocError) {
        let none = AllocError::None as u8;
        let _ = self.alloc_error.compare_exchange(none, error as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Counts `size` more bytes and returns true, unless that would exceed the budget.
    fn charge(&self, size: usize) -> bool {
        let before = self.counters.used.fetch_add(size, Ordering::Relaxed);
        match before.checked_add(size) {
            Some(now) if now <= self.budget => true,
            _ => {
                self.counters.used.fetch_sub(size, Ordering::Relaxed);
                false
            }
        }
    }

    /// Returns the number of bytes that the budget still allows.
    pub(crate) fn remaining(&self) -> usize {
        self.budget.saturating_sub(self.counters.used.load(Ordering::Relaxed))
    }

    /// Counts `size` bytes that the host owns, such as machine code: at most [`Account::remaining`]
    /// before they were allocated.
    pub(crate) fn charge_host_memory(&self, size: usize) {
        let used = self.counters.used.fetch_add(size, Ordering::Relaxed).saturating_add(size);
        self.counters.peak.fetch_max(used, Ordering::Relaxed);
    }

    /// Ends counting `size` bytes that the host owns.
    pub(crate) fn uncharge_host_memory(&self, size: usize) {
        self.counters.used.fetch_sub(size, Ordering::Relaxed);
    }

    /// Marks the account as exhausted and takes `size` bytes of its share of the reserve. Returns
    /// false if the share is used up.
    fn take_share(&self, size: usize) -> bool {
        self.exhausted.store(true, Ordering::Relaxed);
        let before = self.from_reserve.fetch_add(size, Ordering::Relaxed);
        before.checked_add(size).is_some_and(|now| now <= RESERVE_SHARE)
    }

    fn push(&self, header: NonNull<Header>) {
        self.counters.blocks.fetch_add(1, Ordering::Relaxed);
        let mut list = self.list.lock();
        let next = list.first;
        // SAFETY: Callers pass the valid header of a block that is on no list; the list's lock is
        // held.
        unsafe { set_links(header.as_ptr(), ptr::null_mut(), next) };
        if !next.is_null() {
            // SAFETY: Headers on the list are valid, and the list's lock is held.
            unsafe { (*next).previous = header.as_ptr() };
        }
        list.first = header.as_ptr();
    }

    fn unlink(&self, header: NonNull<Header>) {
        self.counters.blocks.fetch_sub(1, Ordering::Relaxed);
        let mut list = self.list.lock();
        // SAFETY: Callers pass a header that is on this list; the list's lock is held.
        let (previous, next) = unsafe { links(header.as_ptr()) };
        if previous.is_null() {
            list.first = next;
        } else {
            // SAFETY: Headers on the list are valid, and the list's lock is held.
            unsafe { (*previous).next = next };
        }
        if !next.is_null() {
            // SAFETY: Headers on the list are valid, and the list's lock is held.
            unsafe { (*next).previous = previous };
        }
    }

    /// Takes a block off the account. Callers must be closing the account, so that no other task
    /// frees the block between the two critical sections.
    fn pop(&self) -> Option<NonNull<Header>> {
        let first = NonNull::new(self.list.lock().first)?;
        self.unlink(first);
        // SAFETY: The header was on the list, so it is valid. It is on no list now, so nothing else
        // accesses it.
        let size = unsafe { first.as_ref() }.size;
        self.counters.used.fetch_sub(size & !IN_RESERVE, Ordering::Relaxed);
        Some(first)
    }

    /// Takes a slab off the account. If `empty` is set, takes only a slab without blocks in use.
    fn pop_slab(&self, empty: bool) -> Option<NonNull<Slab>> {
        let slab = self.list.lock().slabs.pop(empty)?;
        // SAFETY: The slab was on the list, so it is valid. It is on no list now, so nothing else
        // accesses it.
        self.uncharge_slab(unsafe { slab.as_ref() }.size());
        Some(slab)
    }

    /// Subtracts a slab of `size` bytes from the counters.
    fn uncharge_slab(&self, size: usize) {
        self.counters.blocks.fetch_sub(1, Ordering::Relaxed);
        self.counters.used.fetch_sub(size, Ordering::Relaxed);
    }

    fn adopt_slab(&self, slab: NonNull<Slab>) {
        // SAFETY: The slab was just taken off another account, so it is valid and nothing else
        // accesses it.
        let size = unsafe { slab.as_ref() }.size();
        let now = self.counters.used.fetch_add(size, Ordering::Relaxed).saturating_add(size);
        self.counters.peak.fetch_max(now, Ordering::Relaxed);
        self.counters.blocks.fetch_add(1, Ordering::Relaxed);
        let account = ptr::from_ref(self).cast_mut();
        // SAFETY: The slab is on no list, and `account` is the account that owns these slabs.
        unsafe { self.list.lock().slabs.adopt(slab, account) };
    }

    /// Allocates a small block.
    ///
    /// # Errors
    ///
    /// The [`AllocError`] with which memory was refused.
    fn allocate_small(&self, class: Class) -> Result<NonNull<u8>, AllocError> {
        if self.allocations.fetch_add(1, Ordering::Relaxed).is_multiple_of(ALLOCATIONS_PER_POLL) {
            poll();
        }
        let size = {
            let mut list = self.list.lock();
            if let Some(block) = list.slabs.take(class) {
                return Ok(block);
            }
            list.slabs.next_size()
        };
        // The guest of an exhausted account ends soon. Another attempt would take long, because the
        // kernel tries hard to reclaim memory.
        if self.is_exhausted() {
            return Err(self.alloc_error());
        }
        let size = [size, slab::SLAB_MIN].into_iter().find(|size| self.charge(*size)).ok_or(self.budget_error)?;
        let memory =
            Layout::from_size_align(size, align_of::<Slab>()).map_err(|_| AllocError::Memory).and_then(host_alloc);
        let memory = memory.inspect_err(|_| {
            self.counters.used.fetch_sub(size, Ordering::Relaxed);
        })?;
        self.counters.peak.fetch_max(self.counters.used.load(Ordering::Relaxed), Ordering::Relaxed);
        self.counters.blocks.fetch_add(1, Ordering::Relaxed);
        let account = ptr::from_ref(self).cast_mut();
        let mut list = self.list.lock();
        // SAFETY: `memory` is a fresh allocation of `size` bytes, at least `SLAB_MIN`, aligned for
        // a slab, and `account` is the account that owns these slabs.
        unsafe { list.slabs.add(memory, size, account, class) };
        list.slabs.take(class).ok_or(AllocError::Memory)
    }

    fn adopt(&self, mut header: NonNull<Header>) {
        // SAFETY: The header was just taken off another list, so it is valid and nothing else
        // accesses it.
        let moved = unsafe { header.as_mut() };
        moved.account = ptr::from_ref(self).cast_mut();
        let now = self.counters.used.fetch_add(moved.size & !IN_RESERVE, Ordering::Relaxed);
        self.counters.peak.fetch_max(now, Ordering::Relaxed);
        self.push(header);
    }
}

/// Sets the neighbours of `header`.
///
/// # Safety
///
/// `header` is valid, and the lock of the list that it joins is held.
unsafe fn set_links(header: *mut Header, previous: *mut Header, next: *mut Header) {
    // SAFETY: `header` is valid and its list locked, by this function's safety requirement.
    unsafe { (*header).previous = previous };
    // SAFETY: `header` is valid and its list locked, by this function's safety requirement.
    unsafe { (*header).next = next };
}

/// Returns the neighbours of `header`.
///
/// # Safety
///
/// `header` is valid, and the lock of its list is held.
unsafe fn links(header: *mut Header) -> (*mut Header, *mut Header) {
    // SAFETY: `header` is valid and its list locked, by this function's safety requirement.
    let previous = unsafe { (*header).previous };
    // SAFETY: `header` is valid and its list locked, by this function's safety requirement.
    let next = unsafe { (*header).next };
    (previous, next)
}

/// Returns the account and the tagged size of a block.
///
/// # Safety
///
/// `header` is the valid header of a block that the calling code owns.
unsafe fn owner(header: *mut Header) -> (*mut Account, usize) {
    // SAFETY: `header` is valid by this function's safety requirement, and `account` does not
    // change while the block is in use.
    let account = unsafe { (*header).account };
    // SAFETY: `header` is valid by this function's safety requirement, and `size` never changes.
    let size = unsafe { (*header).size };
    (account, size)
}

/// Returns the memory of a slab to the host.
///
/// # Safety
///
/// `slab` is valid and on no list, and its blocks are not used again.
unsafe fn release_slab(slab: NonNull<Slab>) {
    // SAFETY: `slab` is valid by this function's safety requirement.
    let size = unsafe { slab.as_ref() }.size();
    // SAFETY: The slab was allocated with this size, and no block of it is in use, by the safety
    // requirement of this function.
    host_free(unsafe { Block::new(slab.cast(), size) });
}

fn host_alloc(layout: Layout) -> Result<NonNull<u8>, AllocError> {
    allocated(KernelHost::new().alloc(layout.size(), layout.align()))
}

/// Has the host grow linear memory `index` of a compiled guest from `before` to `size` bytes, and
/// returns its new address. The account of the current engine entry counts the bytes.
///
/// # Errors
///
/// The [`AllocError`], which the account notes.
pub(crate) fn grow_memory(index: u16, before: usize, size: usize) -> Result<NonNull<u8>, AllocError> {
    let account = Account::current();
    let more = size.saturating_sub(before);
    let start = match account {
        Some(account) if account.remaining() < more => Err(account.budget_error),
        _ => allocated(KernelHost::new().grow_memory(index, size)),
    };
    if let Some(account) = account {
        match start {
            Ok(_) => account.charge_host_memory(more),
            Err(error) => account.note_alloc_error(error),
        }
    }
    start
}

/// Returns the address of what the host has allocated. Aborts if the guest is to end.
///
/// # Errors
///
/// The [`AllocError`] with which the host refused memory.
fn allocated(allocated: Result<Allocated, Fail>) -> Result<NonNull<u8>, AllocError> {
    match allocated {
        Ok(Allocated::At(block)) => Ok(block),
        Ok(Allocated::Stop(checkpoint)) => {
            abort_if_ended(checkpoint);
            Err(AllocError::Memory)
        }
        Err(Fail::Errno(Errno::DQuot)) => Err(AllocError::Total),
        Err(_) => Err(AllocError::Memory),
    }
}

fn host_free(block: Block) {
    // Freeing does not fail.
    let _ = KernelHost::new().free(block);
}

/// Returns the memory of a block to the host or to the reserve.
///
/// # Safety
///
/// `header` is the header of a block, is on no list, and the block is not used again.
unsafe fn release(header: NonNull<Header>) {
    // SAFETY: `header` is valid by this function's safety requirement.
    let (size, offset, align) = unsafe {
        let header = header.as_ref();
        (header.size, header.offset, header.align)
    };
    let block = header.as_ptr().cast::<u8>().wrapping_add(HEADER);
    let Some(start) = NonNull::new(block.wrapping_sub(offset)) else {
        return;
    };
    if size & IN_RESERVE == 0 {
        // SAFETY: The allocation was made with this size, and it is not in use any more, by the
        // safety requirement of this function.
        host_free(unsafe { Block::new(start, size) });
        return;
    }
    if let Ok(layout) = Layout::from_size_align(size & !IN_RESERVE, align) {
        // SAFETY: The size is tagged, so `reserve_alloc` returned `start` for this layout.
        unsafe { RESERVE.lock().heap.deallocate(start, layout) };
    }
}
