// SPDX-License-Identifier: GPL-2.0

//! The global allocator of the engine.
//!
//! Every block belongs to the account of whoever allocated it: it is counted there, kept below the account's budget,
//! and on the account's list, so that all of an account can be taken back at once when the engine fails in the middle
//! of something.
//!
//! `alloc`'s types panic when memory runs out, wherever they do not offer a `try_` method. So a small allocation
//! that the host refuses, or that the budget does not allow, is served from a reserve; the account is marked as
//! exhausted, and its guest is ended at the next slice. A large one fails: what asks for much, asks politely. So that one
//! account does not take the reserve from the others, as translating a large module would, each has its share, and lands
//! when that is used up.
//!
//! What is small comes from [`slab`]s. A block begins after a word that tells which kind it is: the address of its slab, or
//! [`OWN`] at the end of a [`Header`] of its own.
//!
//! Lock order: an account's list, then nothing; the reserve, then nothing. Nobody sleeps with either.

mod slab;

use self::slab::{
    Class,
    Slab,
    Slabs, //
};
use crate::{
    ffi::{
        AccountStats,
        Checkpoint,
        EDQUOT,
        HOST_INTERRUPTED,
        HostOp,
        Limit,
        Status, //
    },
    host::End,
    host_call::{
        call_host,
        context,
        heed,
        poll, //
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
        AtomicU8,
        AtomicU32,
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

/// The most bytes that the reserve serves an account with: enough for a slice.
const RESERVE_SHARE: usize = 64 * 1024;

/// Small allocations between two looks at whether the work is to go on: translating a module allocates all the time. Those
/// that go to the host are looked at there.
const ALLOCATIONS_PER_POLL: u32 = 64;

/// A waiter lets the scheduler run others: whoever holds the lock may have been preempted.
struct Yield;

impl RelaxStrategy for Yield {
    fn relax() {
        call_host(HostOp::Yield, [0; 4]);
    }
}

type Mutex<T> = SpinMutex<T, Yield>;

/// What stands before a block that is in no slab.
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
    /// [`OWN`].
    kind: usize,
}

/// The word in front of a block that has a [`Header`]: not the address of a slab, which is even.
const OWN: usize = 1;

const HEADER: usize = size_of::<Header>();
const IN_RESERVE: usize = 1;

/// The blocks of an account.
struct Blocks {
    /// Those in no slab.
    first: *mut Header,
    slabs: Slabs,
}

// SAFETY: It owns its headers and slabs, and is only used with its lock held.
unsafe impl Send for Blocks {}

/// What an account has lacked when memory was refused.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Nothing yet.
    Nothing = 0,
    /// The host's memory.
    Memory = 1,
    /// The budget of a module's account.
    Code = 2,
    /// The budget of an instance's account.
    Heap = 3,
    /// What all accounts may have together.
    Total = 4,
}

impl Lack {
    fn from_raw(value: u8) -> Self {
        [Self::Memory, Self::Code, Self::Heap, Self::Total]
            .into_iter()
            .find(|lack| *lack as u8 == value)
            .unwrap_or(Self::Nothing)
    }

    /// The limit that it is.
    pub(crate) fn limit(self) -> Option<Limit> {
        match self {
            Self::Nothing | Self::Memory => None,
            Self::Code => Some(Limit::Code),
            Self::Heap => Some(Limit::Heap),
            Self::Total => Some(Limit::TotalHeap),
        }
    }

    /// What an operation comes to that failed for it.
    pub(crate) fn status(self) -> (Status, Option<Limit>) {
        match self.limit() {
            Some(limit) => (Status::Limited, Some(limit)),
            None => (Status::NoMemory, None),
        }
    }

    /// What a guest comes to.
    pub(crate) fn end(self) -> End {
        self.limit().map_or(End::OUT_OF_MEMORY, End::limited)
    }
}

/// Who allocations are charged to.
pub(crate) struct Account {
    budget: usize,
    /// What it is when the budget is used up.
    budget_lack: Lack,
    used: AtomicUsize,
    peak: AtomicUsize,
    blocks: AtomicUsize,
    /// Set when the reserve had to serve it.
    exhausted: AtomicBool,
    /// The bytes that the reserve has served it with so far.
    from_reserve: AtomicUsize,
    /// The first [`Lack`].
    lack: AtomicU8,
    /// Small allocations so far.
    allocations: AtomicU32,
    list: Mutex<Blocks>,
}

impl Account {
    /// The account of the present stay in the engine.
    pub(crate) fn current() -> Option<&'static Account> {
        // SAFETY: The engine runs, so there is a context, and it stays for as long as the engine runs.
        let account = unsafe { context().as_ref() }?.account;
        // SAFETY: A context's account is open; nobody keeps the reference beyond this stay.
        unsafe { account.cast::<Account>().as_ref() }
    }

    /// Opens an account that may hold `budget` bytes.
    ///
    /// # Errors
    ///
    /// What there was not.
    pub(crate) fn open(budget: usize, limit: u32) -> Result<NonNull<Account>, Lack> {
        let layout = Layout::new::<Account>();
        let account = host_alloc(layout)?.cast::<Account>();
        let budget_lack = if limit == Limit::Code as u32 { Lack::Code } else { Lack::Heap };
        // SAFETY: The allocation is fresh, large enough and aligned.
        unsafe {
            account.write(Account {
                budget,
                budget_lack,
                used: AtomicUsize::new(0),
                peak: AtomicUsize::new(0),
                blocks: AtomicUsize::new(0),
                exhausted: AtomicBool::new(false),
                from_reserve: AtomicUsize::new(0),
                lack: AtomicU8::new(Lack::Nothing as u8),
                allocations: AtomicU32::new(0),
                list: Mutex::new(Blocks { first: ptr::null_mut(), slabs: Slabs::new() }),
            });
        }
        Ok(account)
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
        // Kept for the next block of their size, which does not come.
        while let Some(slab) = this.pop_slab(true) {
            // SAFETY: Nothing of it is in use.
            unsafe { release_slab(slab) };
        }
        let stats = this.stats();
        while let Some(slab) = this.pop_slab(false) {
            if let Some(heir) = heir {
                heir.adopt_slab(slab);
            } else {
                // SAFETY: It was the account's, and nobody uses its blocks.
                unsafe { release_slab(slab) };
            }
        }
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

    /// What there was not when an allocation failed, or had to be served from the reserve, for the first time.
    pub(crate) fn lack(&self) -> Lack {
        Lack::from_raw(self.lack.load(Ordering::Relaxed))
    }

    fn note_lack(&self, lack: Lack) {
        let nothing = Lack::Nothing as u8;
        // The first one counts.
        let _ = self.lack.compare_exchange(nothing, lack as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Counts `size` more bytes, if the budget allows them.
    fn charge(&self, size: usize) -> bool {
        let before = self.used.fetch_add(size, Ordering::Relaxed);
        match before.checked_add(size) {
            Some(now) if now <= self.budget => true,
            _ => {
                self.used.fetch_sub(size, Ordering::Relaxed);
                false
            }
        }
    }

    /// Takes `size` bytes of its share of the reserve, and marks it as exhausted; whether there was as much.
    fn take_share(&self, size: usize) -> bool {
        self.exhausted.store(true, Ordering::Relaxed);
        let before = self.from_reserve.fetch_add(size, Ordering::Relaxed);
        before.checked_add(size).is_some_and(|now| now <= RESERVE_SHARE)
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

    /// Takes a slab off the account; only one of which nothing is in use, if `empty`.
    fn pop_slab(&self, empty: bool) -> Option<NonNull<Slab>> {
        let slab = self.list.lock().slabs.pop(empty)?;
        // SAFETY: It was on the list, and is on no other now.
        self.uncharge_slab(unsafe { slab.as_ref() }.size());
        Some(slab)
    }

    /// Notes that it has a slab less.
    fn uncharge_slab(&self, size: usize) {
        self.blocks.fetch_sub(1, Ordering::Relaxed);
        self.used.fetch_sub(size, Ordering::Relaxed);
    }

    fn adopt_slab(&self, slab: NonNull<Slab>) {
        // SAFETY: It was just taken off another account.
        let size = unsafe { slab.as_ref() }.size();
        let now = self.used.fetch_add(size, Ordering::Relaxed).saturating_add(size);
        self.peak.fetch_max(now, Ordering::Relaxed);
        self.blocks.fetch_add(1, Ordering::Relaxed);
        let account = ptr::from_ref(self).cast_mut();
        // SAFETY: It is on no list, and the account is the one whose slabs these are.
        unsafe { self.list.lock().slabs.adopt(slab, account) };
    }

    /// A small block.
    ///
    /// # Errors
    ///
    /// What there was not.
    fn allocate_small(&self, class: Class) -> Result<NonNull<u8>, Lack> {
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
        // It is over soon. That it be told once more takes long: the kernel tries hard each time.
        if self.is_exhausted() {
            return Err(self.lack());
        }
        let size = [size, slab::SLAB_MIN].into_iter().find(|size| self.charge(*size)).ok_or(self.budget_lack)?;
        let memory = Layout::from_size_align(size, align_of::<Slab>()).map_err(|_| Lack::Memory).and_then(host_alloc);
        let memory = memory.inspect_err(|_| {
            self.used.fetch_sub(size, Ordering::Relaxed);
        })?;
        self.peak.fetch_max(self.used.load(Ordering::Relaxed), Ordering::Relaxed);
        self.blocks.fetch_add(1, Ordering::Relaxed);
        let account = ptr::from_ref(self).cast_mut();
        let mut list = self.list.lock();
        // SAFETY: The memory is fresh, as large and as aligned as it has to be, and the account is this one.
        unsafe { list.slabs.add(memory, size, account, class) };
        list.slabs.take(class).ok_or(Lack::Memory)
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

/// Gives the memory of a slab back.
///
/// # Safety
///
/// It is on no list, and nobody uses its blocks again.
unsafe fn release_slab(slab: NonNull<Slab>) {
    // SAFETY: The caller guarantees that it is there.
    let size = unsafe { slab.as_ref() }.size();
    host_free(slab.cast(), size);
}

/// Gives a block of a slab back.
///
/// # Safety
///
/// `block` is one of `slab`, and nobody uses it again.
unsafe fn free_small(slab: NonNull<Slab>, block: *mut u8) {
    // SAFETY: The caller guarantees that it is there.
    let account = unsafe { Slab::account(slab) };
    // SAFETY: A slab's account is open.
    let Some(account) = (unsafe { account.as_ref() }) else {
        return;
    };
    // SAFETY: The caller guarantees it.
    let empty = unsafe { account.list.lock().slabs.give(slab, block) };
    if let Some(slab) = empty {
        // SAFETY: It was just taken off the account.
        account.uncharge_slab(unsafe { slab.as_ref() }.size());
        // SAFETY: Nothing of it is in use.
        unsafe { release_slab(slab) };
    }
}

fn host_alloc(layout: Layout) -> Result<NonNull<u8>, Lack> {
    let (status, value) = call_host(HostOp::Alloc, [layout.size() as u64, layout.align() as u64, 0, 0]);
    match status {
        0 => {
            let address = usize::try_from(value).map_err(|_| Lack::Memory)?;
            NonNull::new(ptr::with_exposed_provenance_mut(address)).ok_or(Lack::Memory)
        }
        HOST_INTERRUPTED => {
            heed(Checkpoint::from_raw(value));
            Err(Lack::Memory)
        }
        status if status == EDQUOT.wrapping_neg() => Err(Lack::Total),
        _ => Err(Lack::Memory),
    }
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
        // SAFETY: A word stands before every block that `alloc` gave out.
        let kind = unsafe { block.wrapping_sub(slab::TAG).cast::<usize>().read() };
        if kind != OWN {
            if let Some(slab) = NonNull::new(ptr::with_exposed_provenance_mut(kind)) {
                // SAFETY: The word is the address of the block's slab, and the caller gives the block up.
                unsafe { free_small(slab, block) };
            }
            return;
        }
        let Some(header) = NonNull::new(block.wrapping_sub(HEADER).cast::<Header>()) else {
            return;
        };
        // SAFETY: The word was the end of a header; these fields stay as they are.
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
    let account = Account::current();
    let small = account.zip(Class::of(layout.size())).filter(|_| layout.align() <= slab::TAG);
    let refused = match small.map(|(account, class)| account.allocate_small(class)) {
        Some(Ok(block)) => return Some(block),
        Some(Err(lack)) => Some(lack),
        None => None,
    };
    allocate_alone(layout, account, refused)
}

/// A block with a header of its own: a large one, or one of the reserve's, since there was no memory for a small one.
fn allocate_alone(layout: Layout, account: Option<&'static Account>, refused: Option<Lack>) -> Option<NonNull<u8>> {
    let align = layout.align().max(align_of::<Header>());
    let offset = HEADER.checked_next_multiple_of(align)?;
    // An even size leaves the lowest bit free.
    let size = offset.checked_add(layout.size())?.checked_next_multiple_of(2)?;
    let whole = Layout::from_size_align(size, align).ok()?;

    let charged = account.is_none_or(|account| account.charge(size));
    let served = match (account, refused) {
        (_, Some(lack)) => Err(lack),
        (Some(account), None) if !charged => Err(account.budget_lack),
        // As above.
        (Some(account), None) if account.is_exhausted() => Err(account.lack()),
        _ => host_alloc(whole),
    };
    let (start, tagged_size) = match served {
        Ok(start) => (Some(start), size),
        Err(lack) => {
            if let Some(account) = account {
                account.note_lack(lack);
            }
            if size > RESERVE_BLOCK_MAX {
                if let (true, Some(account)) = (charged, account) {
                    account.used.fetch_sub(size, Ordering::Relaxed);
                }
                return None;
            }
            if let (false, Some(account)) = (charged, account) {
                account.used.fetch_add(size, Ordering::Relaxed);
            }
            let has_share = account.is_none_or(|account| account.take_share(size));
            (has_share.then(|| reserve_alloc(whole)).flatten(), size | IN_RESERVE)
        }
    };
    let Some(start) = start else {
        if let Some(account) = account {
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
            account: account.map_or(ptr::null_mut(), |account| ptr::from_ref(account).cast_mut()),
            size: tagged_size,
            offset,
            align,
            kind: OWN,
        });
    }
    if let Some(account) = account {
        account.peak.fetch_max(account.used.load(Ordering::Relaxed), Ordering::Relaxed);
        account.push(header);
    }
    Some(block)
}
