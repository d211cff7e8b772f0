// SPDX-License-Identifier: GPL-2.0

//! Small blocks: many to a slab, which is one block of the host's. Asking the host for each costs far more than what it is
//! for, on kernels that look at every allocation most of all.
//!
//! A slab belongs to one account and holds blocks of one size. In front of each block stands the address of its slab.

use super::Account;
use core::ptr::{
    self,
    NonNull, //
};

/// The sizes of blocks, the word in front included, in bytes.
const SIZES: [usize; CLASSES] = [32, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512];

/// How many sizes there are.
const CLASSES: usize = 12;

/// The word in front of a block.
pub(super) const TAG: usize = size_of::<usize>();

/// The largest size that there is, the word in front included, in bytes.
const SIZE_MAX: usize = 512;

/// The smallest slab, in bytes.
pub(super) const SLAB_MIN: usize = 1024;

/// The class of each multiple of 16 bytes.
#[expect(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const BY_SIZE: [Class; SIZE_MAX / 16 + 1] = {
    let mut table = [Class(0); SIZE_MAX / 16 + 1];
    let mut index = 0;
    while index < table.len() {
        let mut class = 0;
        while SIZES[class] < index * 16 {
            class += 1;
        }
        table[index] = Class(class);
        index += 1;
    }
    table
};

/// A size of blocks: its place in [`SIZES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(usize);

impl Class {
    /// The class for blocks of `size` bytes, if they are small.
    pub(super) fn of(size: usize) -> Option<Self> {
        let size = size.checked_add(TAG)?;
        BY_SIZE.get(size.div_ceil(16)).copied()
    }

    /// The bytes of a block, the word in front included.
    fn bytes(self) -> usize {
        SIZES.get(self.0).copied().unwrap_or(SIZE_MAX)
    }
}

/// A free block: where the next one is.
struct Free {
    next: *mut Free,
}

/// What stands at the beginning of a slab.
///
/// # Invariants
///
/// It is followed by blocks up to `size` bytes from its beginning; those from `fresh` on were never in use, those in `free`
/// are not in use now. It is on the list of its account, and on that of its class if there is a block in it to be had.
#[repr(C, align(16))]
pub(super) struct Slab {
    account: *mut Account,
    class: Class,
    /// Of the whole slab, in bytes.
    size: usize,
    /// Blocks in use.
    live: usize,
    /// Where the part begins that was never in use.
    fresh: usize,
    free: *mut Free,
    all: Links,
    having: Links,
    is_listed: bool,
}

/// Neighbours on a list.
#[derive(Clone, Copy)]
struct Links {
    previous: *mut Slab,
    next: *mut Slab,
}

const NO_LINKS: Links = Links { previous: ptr::null_mut(), next: ptr::null_mut() };

/// Which of a slab's lists.
#[derive(Clone, Copy)]
enum List {
    All,
    Having,
}

impl Slab {
    fn links(&mut self, list: List) -> &mut Links {
        match list {
            List::All => &mut self.all,
            List::Having => &mut self.having,
        }
    }

    /// Where the account is that `slab` belongs to, whose lock need not be held.
    ///
    /// # Safety
    ///
    /// The slab is there.
    pub(super) unsafe fn account(slab: NonNull<Self>) -> *mut Account {
        // SAFETY: The caller guarantees it; nobody writes to this field while the slab has an account.
        unsafe { (&raw const (*slab.as_ptr()).account).read() }
    }

    /// Of the whole slab, in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether there is a block to be had.
    fn has_room(&self) -> bool {
        !self.free.is_null() || self.fresh.saturating_add(self.class.bytes()) <= self.size
    }

    /// Takes a block: where the word in front of it is. `base` is where the slab begins.
    fn take(&mut self, base: *mut u8) -> *mut u8 {
        let block = if let Some(free) = NonNull::new(self.free) {
            // SAFETY: By the invariant it is a block of this slab that is not in use.
            self.free = unsafe { free.as_ref() }.next;
            free.as_ptr().cast()
        } else {
            let block = base.wrapping_add(self.fresh);
            self.fresh = self.fresh.saturating_add(self.class.bytes());
            block
        };
        self.live = self.live.saturating_add(1);
        block
    }

    /// Gives back the block whose word in front is at `block`.
    ///
    /// # Safety
    ///
    /// It is one of this slab's, in use until now and by nobody any more.
    unsafe fn give(&mut self, block: *mut u8) {
        let free = block.cast::<Free>();
        // SAFETY: The caller gives it up; there is room for an address, and it is aligned.
        unsafe { free.write(Free { next: self.free }) };
        self.free = free;
        self.live = self.live.saturating_sub(1);
    }
}

/// The slabs of an account.
pub(super) struct Slabs {
    all: *mut Slab,
    /// By class, those that have a block to be had.
    having: [*mut Slab; CLASSES],
    count: usize,
}

// SAFETY: They own their slabs, and are only used with the account's lock held.
unsafe impl Send for Slabs {}

impl Slabs {
    /// None.
    pub(super) const fn new() -> Self {
        Self { all: ptr::null_mut(), having: [ptr::null_mut(); CLASSES], count: 0 }
    }

    /// How large the next slab is to be, in bytes: a small guest has small ones.
    pub(super) fn next_size(&self) -> usize {
        match self.count {
            0..8 => SLAB_MIN,
            8..32 => 4096,
            _ => 8192,
        }
    }

    /// The first of a list.
    fn first(&mut self, list: List, class: Class) -> Option<&mut *mut Slab> {
        match list {
            List::All => Some(&mut self.all),
            List::Having => self.having.get_mut(class.0),
        }
    }

    /// Puts a slab on a list.
    ///
    /// # Safety
    ///
    /// It is on no such list, and all slabs of this account are there.
    unsafe fn link(&mut self, mut slab: NonNull<Slab>, list: List) {
        // SAFETY: The caller guarantees that it is there; the account's lock is held.
        let this = unsafe { slab.as_mut() };
        let Some(first) = self.first(list, this.class) else {
            return;
        };
        *this.links(list) = Links { previous: ptr::null_mut(), next: *first };
        let next = core::mem::replace(first, slab.as_ptr());
        // SAFETY: As above; it is another slab.
        if let Some(next) = unsafe { next.as_mut() } {
            next.links(list).previous = slab.as_ptr();
        }
    }

    /// Takes a slab off a list.
    ///
    /// # Safety
    ///
    /// It is on this list of this account, and all slabs of the account are there.
    unsafe fn unlink(&mut self, mut slab: NonNull<Slab>, list: List) {
        // SAFETY: The caller guarantees that it is there; the account's lock is held.
        let this = unsafe { slab.as_mut() };
        let class = this.class;
        let Links { previous, next } = core::mem::replace(this.links(list), NO_LINKS);
        // SAFETY: As above; it is another slab.
        if let Some(previous) = unsafe { previous.as_mut() } {
            previous.links(list).next = next;
        } else if let Some(first) = self.first(list, class) {
            *first = next;
        }
        // SAFETY: As above; it is another slab.
        if let Some(next) = unsafe { next.as_mut() } {
            next.links(list).previous = previous;
        }
    }

    /// Makes a slab of `memory`.
    ///
    /// # Safety
    ///
    /// There are `size` bytes, aligned for a slab, at least [`SLAB_MIN`] and nobody else's; `account` is that of these slabs.
    pub(super) unsafe fn add(&mut self, memory: NonNull<u8>, size: usize, account: *mut Account, class: Class) {
        let slab = memory.cast::<Slab>();
        // INVARIANT: Its blocks were never in use. It comes on both lists below.
        let this = Slab {
            account,
            class,
            size,
            live: 0,
            fresh: size_of::<Slab>(),
            free: ptr::null_mut(),
            all: NO_LINKS,
            having: NO_LINKS,
            is_listed: false,
        };
        // SAFETY: The caller guarantees the memory.
        unsafe { slab.write(this) };
        // SAFETY: It was just made.
        unsafe { self.adopt(slab, account) };
    }

    /// Takes over a slab of another account.
    ///
    /// # Safety
    ///
    /// It is on no list, and `account` is that of these slabs.
    pub(super) unsafe fn adopt(&mut self, mut slab: NonNull<Slab>, account: *mut Account) {
        // SAFETY: The caller guarantees it.
        let this = unsafe { slab.as_mut() };
        this.account = account;
        this.is_listed = this.has_room();
        let is_listed = this.is_listed;
        self.count = self.count.saturating_add(1);
        // SAFETY: The caller guarantees it.
        unsafe { self.link(slab, List::All) };
        if is_listed {
            // SAFETY: As above.
            unsafe { self.link(slab, List::Having) };
        }
    }

    /// A block of `class`, if there is one to be had: where it begins, after the word in front.
    pub(super) fn take(&mut self, class: Class) -> Option<NonNull<u8>> {
        let mut slab = NonNull::new(self.having.get(class.0).copied()?)?;
        // SAFETY: Slabs on a list are there; the account's lock is held.
        let this = unsafe { slab.as_mut() };
        let block = this.take(slab.as_ptr().cast());
        if !this.has_room() {
            this.is_listed = false;
            // SAFETY: It was on the list.
            unsafe { self.unlink(slab, List::Having) };
        }
        // SAFETY: The block is ours, and the word in front of it is its first.
        unsafe { block.cast::<usize>().write(slab.as_ptr().expose_provenance()) };
        NonNull::new(block.wrapping_add(TAG))
    }

    /// Gives a block back. The slab that it was in comes back if it is to be freed: nothing of it is in use, and there are
    /// others of its size.
    ///
    /// # Safety
    ///
    /// `slab` is one of these, and `block` one of its blocks, which nobody uses any more.
    pub(super) unsafe fn give(&mut self, mut slab: NonNull<Slab>, block: *mut u8) -> Option<NonNull<Slab>> {
        // SAFETY: The caller guarantees that it is there; the account's lock is held.
        let this = unsafe { slab.as_mut() };
        // SAFETY: The caller guarantees it.
        unsafe { this.give(block.wrapping_sub(TAG)) };
        let (class, is_empty, was_listed) = (this.class, this.live == 0, this.is_listed);
        this.is_listed = true;
        if !was_listed {
            // SAFETY: It was on no such list.
            unsafe { self.link(slab, List::Having) };
        }
        if !is_empty {
            return None;
        }
        let first = self.having.get(class.0).copied()?;
        // SAFETY: It is there, see above.
        let is_only = first == slab.as_ptr() && unsafe { slab.as_ref() }.having.next.is_null();
        if is_only {
            return None;
        }
        // SAFETY: It is on both lists.
        unsafe { self.remove(slab) };
        Some(slab)
    }

    /// Takes a slab off its lists.
    ///
    /// # Safety
    ///
    /// It is one of these.
    unsafe fn remove(&mut self, mut slab: NonNull<Slab>) {
        // SAFETY: The caller guarantees that it is there; the account's lock is held.
        let this = unsafe { slab.as_mut() };
        let was_listed = core::mem::replace(&mut this.is_listed, false);
        if was_listed {
            // SAFETY: It is on this list.
            unsafe { self.unlink(slab, List::Having) };
        }
        // SAFETY: It is on this list, as every slab is.
        unsafe { self.unlink(slab, List::All) };
        self.count = self.count.saturating_sub(1);
    }

    /// Takes off any slab; only one of which nothing is in use, if `empty`.
    pub(super) fn pop(&mut self, empty: bool) -> Option<NonNull<Slab>> {
        let mut next = NonNull::new(self.all);
        while let Some(slab) = next {
            // SAFETY: Slabs on a list are there; the account's lock is held.
            let this = unsafe { slab.as_ref() };
            if !empty || this.live == 0 {
                // SAFETY: It is one of these.
                unsafe { self.remove(slab) };
                return Some(slab);
            }
            next = NonNull::new(this.all.next);
        }
        None
    }
}
