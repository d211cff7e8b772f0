// SPDX-License-Identifier: GPL-2.0

//! The global allocator of the engine.
//!
//! Every block belongs to the account of whoever allocated it: it is counted there, kept below the account's budget,
//! and on the account's list, so that all of an account can be taken back at once when the engine fails in the middle
//! of something.
//!
//! `alloc`'s types panic when memory runs out, wherever they do not offer a `try_` method. So a small allocation
//! that the host refuses, or that the budget does not allow, is served from a reserve; the account is marked as
//! exhausted, and its guest is ended at the next slice. A large one fails: what asks for much, asks politely.
//!
//! Lock order: an account's list, then nothing; the reserve, then nothing. Nobody sleeps with either.

use crate::{
    ffi::{
        AccountStats,
        HostOp, //
    },
    host_call::{
        call_host,
        context, //
    },
};
use core::{
    alloc::{
        GlobalAlloc,
        Layout, //
    },
    ptr::{
        self,
        NonNull, //
    },
    sync::atomic::{
        AtomicBool,
        AtomicUsize,
        Ordering, //
    },
};
use linked_list_allocator::Heap as Reserve;
use spin::{
    RelaxStrategy,
    mutex::SpinMutex, //
};

/// The largest block in bytes, bookkeeping included, that the reserve serves.
const RESERVE_BLOCK_MAX: usize = 16 * 1024;

/// A waiter lets the scheduler run others: whoever holds the lock may have been preempted.
struct Yield;

impl RelaxStrategy for Yield {
    fn relax() {
        call_host(HostOp::Yield, [0; 4]);
    }
}

type Mutex<T> = SpinMutex<T, Yield>;

/// What stands before every block.
///
/// # Invariants
///
/// `account` points to an open account, or is null for a block of no account, which is on no list.
#[repr(C)]
struct Header {
    previous: *mut Header,
    next: *mut Header,
    account: *mut Account,
    /// The size of the whole allocation in bytes; the lowest bit is set if it is the reserve's.
    size: usize,
    /// From the start of the allocation to the block.
    offset: usize,
    align: usize,
}

const HEADER: usize = size_of::<Header>();
const IN_RESERVE: usize = 1;

/// A list of blocks.
struct Blocks {
    first: *mut Header,
}

// SAFETY: The list owns its headers, and is only used with its lock held.
unsafe impl Send for Blocks {}

/// Who allocations are charged to.
pub(crate) struct Account {
    budget: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
    blocks: AtomicUsize,
    exhausted: AtomicBool,
    refused: AtomicBool,
    list: Mutex<Blocks>,
}

impl Account {
    /// Opens an account that may hold `budget` bytes. `None`: no memory.
    pub(crate) fn open(budget: usize) -> Option<NonNull<Account>> {
        let layout = Layout::new::<Account>();
        let account = host_alloc(layout)?.cast::<Account>();
        // SAFETY: The allocation is fresh, large enough and aligned.
        unsafe {
            account.write(Account {
                budget,
                used: AtomicUsize::new(0),
                peak: AtomicUsize::new(0),
                blocks: AtomicUsize::new(0),
                exhausted: AtomicBool::new(false),
                refused: AtomicBool::new(false),
                list: Mutex::new(Blocks { first: ptr::null_mut() }),
            });
        }
        Some(account)
    }

    /// Closes an account. What is still allocated goes to `heir`, or is freed where there is none.
    ///
    /// # Safety
    ///
    /// `account` came from [`Account::open`], is not closed yet and is nobody's current one. Without an `heir`, nobody
    /// uses any of its blocks again.
    pub(crate) unsafe fn close(account: NonNull<Account>, heir: Option<&Account>) -> AccountStats {
        // SAFETY: The caller guarantees that the account is open.
        let this = unsafe { account.as_ref() };
        let stats = this.stats();
        while let Some(header) = this.pop() {
            if let Some(heir) = heir {
                heir.adopt(header);
            } else {
                // SAFETY: The header was on the account's list, so it is that of a block, which nobody uses.
                unsafe { release(header) };
            }
        }
        host_free(account.cast(), size_of::<Account>());
        stats
    }

    /// The counters.
    pub(crate) fn stats(&self) -> AccountStats {
        AccountStats {
            used: self.used.load(Ordering::Relaxed),
            peak: self.peak.load(Ordering::Relaxed),
            blocks: self.blocks.load(Ordering::Relaxed),
        }
    }

    /// Whether an allocation had to be served from the reserve.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }

    /// Whether an allocation failed or had to be served from the reserve.
    pub(crate) fn has_lacked(&self) -> bool {
        self.is_exhausted() || self.refused.load(Ordering::Relaxed)
    }

    /// Counts `size` more bytes, if the budget allows them.
    fn charge(&self, size: usize) -> bool {
        let before = self.used.fetch_add(size, Ordering::Relaxed);
        match before.checked_add(size) {
            Some(now) if now <= self.budget => {
                self.peak.fetch_max(now, Ordering::Relaxed);
                true
            }
            _ => {
                self.used.fetch_sub(size, Ordering::Relaxed);
                false
            }
        }
    }

    fn push(&self, header: NonNull<Header>) {
        self.blocks.fetch_add(1, Ordering::Relaxed);
        let mut list = self.list.lock();
        let next = list.first;
        // SAFETY: The caller hands over a header that is on no list; the lock is held.
        unsafe { set_links(header.as_ptr(), ptr::null_mut(), next) };
        if !next.is_null() {
            // SAFETY: Headers on the list are valid, and the lock is held.
            unsafe { (*next).previous = header.as_ptr() };
        }
        list.first = header.as_ptr();
    }

    fn unlink(&self, header: NonNull<Header>) {
        self.blocks.fetch_sub(1, Ordering::Relaxed);
        let mut list = self.list.lock();
        // SAFETY: The header is on the list, and the lock is held.
        let (previous, next) = unsafe { links(header.as_ptr()) };
        if previous.is_null() {
            list.first = next;
        } else {
            // SAFETY: Headers on the list are valid, and the lock is held.
            unsafe { (*previous).next = next };
        }
        if !next.is_null() {
            // SAFETY: As above.
            unsafe { (*next).previous = previous };
        }
    }

    /// Takes a block off the account. Only for an account that is being closed, where nobody else does.
    fn pop(&self) -> Option<NonNull<Header>> {
        let first = NonNull::new(self.list.lock().first)?;
        self.unlink(first);
        // SAFETY: It was on the list, and is on no other now.
        let size = unsafe { first.as_ref() }.size;
        self.used.fetch_sub(size & !IN_RESERVE, Ordering::Relaxed);
        Some(first)
    }

    fn adopt(&self, mut header: NonNull<Header>) {
        // SAFETY: The header was just taken off another list.
        let moved = unsafe { header.as_mut() };
        moved.account = ptr::from_ref(self).cast_mut();
        let now = self.used.fetch_add(moved.size & !IN_RESERVE, Ordering::Relaxed);
        self.peak.fetch_max(now, Ordering::Relaxed);
        self.push(header);
    }
}

/// # Safety
///
/// `header` is valid, and the list it is on or comes to be on is locked.
unsafe fn set_links(header: *mut Header, previous: *mut Header, next: *mut Header) {
    // SAFETY: The caller guarantees it.
    unsafe { (*header).previous = previous };
    // SAFETY: As above.
    unsafe { (*header).next = next };
}

/// # Safety
///
/// `header` is valid, and the list it is on is locked.
unsafe fn links(header: *mut Header) -> (*mut Header, *mut Header) {
    // SAFETY: The caller guarantees it.
    let previous = unsafe { (*header).previous };
    // SAFETY: As above.
    let next = unsafe { (*header).next };
    (previous, next)
}

/// # Safety
///
/// `header` is valid, and whoever calls owns its block.
unsafe fn owner(header: *mut Header) -> (*mut Account, usize) {
    // SAFETY: The caller guarantees it.
    let account = unsafe { (*header).account };
    // SAFETY: As above.
    let size = unsafe { (*header).size };
    (account, size)
}

fn host_alloc(layout: Layout) -> Option<NonNull<u8>> {
    let (status, value) = call_host(HostOp::Alloc, [layout.size() as u64, layout.align() as u64, 0, 0]);
    if status != 0 {
        return None;
    }
    NonNull::new(ptr::with_exposed_provenance_mut(usize::try_from(value).ok()?))
}

fn host_free(block: NonNull<u8>, size: usize) {
    call_host(HostOp::Free, [block.as_ptr().expose_provenance() as u64, size as u64, 0, 0]);
}

/// The reserve and its counters.
struct ReserveState {
    heap: Reserve,
    peak: usize,
}

static RESERVE: Mutex<ReserveState> = Mutex::new(ReserveState { heap: Reserve::empty(), peak: 0 });

/// Hands `len` bytes at `memory` to the reserve.
///
/// # Safety
///
/// Called once; the memory is valid and nobody else's, for ever.
pub(crate) unsafe fn init_reserve(memory: *mut u8, len: usize) {
    // SAFETY: The caller guarantees it.
    unsafe { RESERVE.lock().heap.init(memory, len) };
}

/// Bytes of the reserve in use, and the most that ever were.
pub(crate) fn reserve_stats() -> (usize, usize) {
    let reserve = RESERVE.lock();
    (reserve.heap.used(), reserve.peak)
}

fn reserve_alloc(layout: Layout) -> Option<NonNull<u8>> {
    let mut reserve = RESERVE.lock();
    let block = reserve.heap.allocate_first_fit(layout).ok()?;
    reserve.peak = reserve.peak.max(reserve.heap.used());
    Some(block)
}

/// Gives the memory of a block back to where it came from.
///
/// # Safety
///
/// `header` is that of a block, on no list, and nobody uses the block again.
unsafe fn release(header: NonNull<Header>) {
    // SAFETY: The caller guarantees that it is a header.
    let (size, offset, align) = unsafe {
        let header = header.as_ref();
        (header.size, header.offset, header.align)
    };
    let block = header.as_ptr().cast::<u8>().wrapping_add(HEADER);
    let Some(start) = NonNull::new(block.wrapping_sub(offset)) else {
        return;
    };
    if size & IN_RESERVE == 0 {
        host_free(start, size);
        return;
    }
    if let Ok(layout) = Layout::from_size_align(size & !IN_RESERVE, align) {
        // SAFETY: `reserve_alloc` gave it out, with this layout.
        unsafe { RESERVE.lock().heap.deallocate(start, layout) };
    }
}

/// The engine's heap.
struct Heap;

// SAFETY: Blocks are as large and as aligned as asked for, and disjoint, since the host's and the reserve's are; it
// never unwinds.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocate(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        let Some(header) = NonNull::new(block.wrapping_sub(HEADER).cast::<Header>()) else {
            return;
        };
        // SAFETY: A header stands before every block that `alloc` gave out; these fields stay as they are.
        let (account, size) = unsafe { owner(header.as_ptr()) };
        // SAFETY: By the header's invariant the account is open.
        if let Some(account) = unsafe { account.as_ref() } {
            account.used.fetch_sub(size & !IN_RESERVE, Ordering::Relaxed);
            account.unlink(header);
        }
        // SAFETY: It is on no list any more, and the caller gives the block up.
        unsafe { release(header) };
    }
}

#[global_allocator]
static HEAP: Heap = Heap;

fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    let align = layout.align().max(align_of::<Header>());
    let offset = HEADER.checked_next_multiple_of(align)?;
    // An even size leaves the lowest bit free.
    let size = offset.checked_add(layout.size())?.checked_next_multiple_of(2)?;
    let whole = Layout::from_size_align(size, align).ok()?;

    // SAFETY: The engine runs, so there is a context, and it stays for as long as the engine runs.
    let account = unsafe { context().as_ref() }.map_or(ptr::null_mut(), |context| context.account);
    let account = account.cast::<Account>();
    // SAFETY: A context's account is open.
    let charged_to = unsafe { account.as_ref() };

    let charged = charged_to.is_none_or(|account| account.charge(size));
    let mut start = if charged { host_alloc(whole) } else { None };
    let mut tagged_size = size;
    if start.is_none() {
        if size > RESERVE_BLOCK_MAX {
            if let (true, Some(account)) = (charged, charged_to) {
                account.used.fetch_sub(size, Ordering::Relaxed);
            }
            if let Some(account) = charged_to {
                account.refused.store(true, Ordering::Relaxed);
            }
            return None;
        }
        if let Some(account) = charged_to {
            account.exhausted.store(true, Ordering::Relaxed);
            if !charged {
                let now = account.used.fetch_add(size, Ordering::Relaxed).wrapping_add(size);
                account.peak.fetch_max(now, Ordering::Relaxed);
            }
        }
        start = reserve_alloc(whole);
        tagged_size |= IN_RESERVE;
    }
    let Some(start) = start else {
        if let Some(account) = charged_to {
            account.used.fetch_sub(size, Ordering::Relaxed);
        }
        return None;
    };

    let block = NonNull::new(start.as_ptr().wrapping_add(offset))?;
    let header = NonNull::new(block.as_ptr().wrapping_sub(HEADER).cast::<Header>())?;
    // SAFETY: `offset` leaves room for a header in front of the block, and both are aligned for it.
    unsafe {
        header.write(Header {
            previous: ptr::null_mut(),
            next: ptr::null_mut(),
            account,
            size: tagged_size,
            offset,
            align,
        });
    }
    if let Some(account) = charged_to {
        account.push(header);
    }
    Some(block)
}
