// SPDX-License-Identifier: GPL-2.0

//! Slabs: host allocations that hold many small blocks. A host allocation for each small block
//! would be far more expensive, in particular on kernels that check every allocation.
//!
//! A slab belongs to one account and holds blocks of one size. The word in front of each block is
//! the address of its slab.

use super::Account;
use core::ptr::{
    self,
    NonNull, //
};

/// Block sizes in bytes, including the word in front of the block.
const SIZES: [usize; CLASSES] = [32, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512];

/// Number of block sizes.
const CLASSES: usize = 12;

/// Size of the word in front of a block, in bytes.
pub(super) const TAG: usize = size_of::<usize>();

/// Largest block size in bytes, including the word in front of the block.
const SIZE_MAX: usize = 512;

/// Size of the smallest slab, in bytes.
pub(super) const SLAB_MIN: usize = 1024;

/// Class of each size, indexed by the size in units of 16 bytes, rounded up.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
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

/// Size class of blocks: an index into [`SIZES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(usize);

impl Class {
    /// Returns the class for blocks of `size` bytes, if they are small.
    pub(super) fn for_size(size: usize) -> Option<Self> {
        let size = size.checked_add(TAG)?;
        BY_SIZE.get(size.div_ceil(16)).copied()
    }

    /// Returns the size of a block in bytes, including the word in front of it.
    fn bytes(self) -> usize {
        SIZES.get(self.0).copied().unwrap_or(SIZE_MAX)
    }
}

/// Free block, which holds the address of the next free block.
struct Free {
    next: *mut Free,
}

/// Header at the beginning of a slab.
///
/// # Invariants
///
/// - The header is followed by blocks up to `size` bytes from the beginning of the slab.
/// - Blocks at offset `fresh` and beyond were never in use. Blocks on the list `free` are not in
///   use.
/// - The slab is on its account's list of all slabs, and, if it has a free block, on the list of
///   its class.
#[repr(C, align(16))]
pub(super) struct Slab {
    account: *mut Account,
    class: Class,
    /// Size of the whole slab, in bytes.
    size: usize,
    /// Number of blocks in use.
    live: usize,
    /// Offset of the part that was never in use, in bytes.
    fresh: usize,
    free: *mut Free,
    all: Links,
    partial: Links,
    is_listed: bool,
}

/// Neighbours on a list.
#[derive(Clone, Copy)]
struct Links {
    previous: *mut Slab,
    next: *mut Slab,
}

const NO_LINKS: Links = Links { previous: ptr::null_mut(), next: ptr::null_mut() };

/// List that a slab can be on.
#[derive(Clone, Copy)]
enum List {
    All,
    Partial,
}

impl Slab {
    fn links(&mut self, list: List) -> &mut Links {
        match list {
            List::All => &mut self.all,
            List::Partial => &mut self.partial,
        }
    }

    /// Returns the account of `slab`. The account's lock need not be held.
    ///
    /// # Safety
    ///
    /// `slab` is valid.
    pub(super) unsafe fn account(slab: NonNull<Self>) -> *mut Account {
        // SAFETY: `slab` is valid by this function's safety requirement. Only `adopt` writes the
        // field, while the slab is on no list.
        unsafe { (*slab.as_ptr()).account }
    }

    /// Returns the size of the whole slab, in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Returns true if the slab has a free block.
    fn has_room(&self) -> bool {
        !self.free.is_null() || self.fresh.saturating_add(self.class.bytes()) <= self.size
    }

    /// Takes a free block and returns the address of the word in front of it. `base` is the address
    /// of the slab.
    fn take(&mut self, base: *mut u8) -> *mut u8 {
        let block = if let Some(free) = NonNull::new(self.free) {
            // SAFETY: Blocks on the list `free` belong to this slab and are not in use, by the
            // invariant.
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

    /// Frees the block whose front word is at `block`.
    ///
    /// # Safety
    ///
    /// `block` is a block of this slab that was in use and is not used again.
    unsafe fn give(&mut self, block: *mut u8) {
        let free = block.cast::<Free>();
        // SAFETY: The block is not used again, by this function's safety requirement, and it is
        // large and aligned enough for an address.
        unsafe { free.write(Free { next: self.free }) };
        self.free = free;
        self.live = self.live.saturating_sub(1);
    }
}

/// Slabs of an account.
pub(super) struct Slabs {
    all: *mut Slab,
    /// Slabs with a free block, by class.
    partial: [*mut Slab; CLASSES],
    count: usize,
}

// SAFETY: `Slabs` owns its slabs, and only the holder of the account's lock accesses them.
unsafe impl Send for Slabs {}

impl Slabs {
    /// Returns an empty set of slabs.
    pub(super) const fn new() -> Self {
        Self { all: ptr::null_mut(), partial: [ptr::null_mut(); CLASSES], count: 0 }
    }

    /// Returns the size of the next slab, in bytes. The first slabs are small, so that a small
    /// guest takes little memory.
    pub(super) fn next_size(&self) -> usize {
        match self.count {
            0..8 => SLAB_MIN,
            8..32 => 4096,
            _ => 8192,
        }
    }

    /// Returns the head of a list.
    fn first(&mut self, list: List, class: Class) -> Option<&mut *mut Slab> {
        match list {
            List::All => Some(&mut self.all),
            List::Partial => self.partial.get_mut(class.0),
        }
    }

    /// Adds a slab to a list.
    ///
    /// # Safety
    ///
    /// The slab is valid and not on this list, and all slabs on the list are valid.
    unsafe fn link(&mut self, mut slab: NonNull<Slab>, list: List) {
        // SAFETY: `slab` is valid by this function's safety requirement, and the account's lock is
        // held.
        let this = unsafe { slab.as_mut() };
        let Some(first) = self.first(list, this.class) else {
            return;
        };
        *this.links(list) = Links { previous: ptr::null_mut(), next: *first };
        let next = core::mem::replace(first, slab.as_ptr());
        // SAFETY: Slabs on the list are valid, and `next` is not `slab`, which was not on the list.
        if let Some(next) = unsafe { next.as_mut() } {
            next.links(list).previous = slab.as_ptr();
        }
    }

    /// Removes a slab from a list.
    ///
    /// # Safety
    ///
    /// The slab is on this list of this account, and all slabs on the list are valid.
    unsafe fn unlink(&mut self, mut slab: NonNull<Slab>, list: List) {
        // SAFETY: `slab` is valid by this function's safety requirement, and the account's lock is
        // held.
        let this = unsafe { slab.as_mut() };
        let class = this.class;
        let Links { previous, next } = core::mem::replace(this.links(list), NO_LINKS);
        // SAFETY: Slabs on the list are valid, and a slab is not its own neighbour.
        if let Some(previous) = unsafe { previous.as_mut() } {
            previous.links(list).next = next;
        } else if let Some(first) = self.first(list, class) {
            *first = next;
        }
        // SAFETY: Slabs on the list are valid, and a slab is not its own neighbour.
        if let Some(next) = unsafe { next.as_mut() } {
            next.links(list).previous = previous;
        }
    }

    /// Turns `memory` into a slab.
    ///
    /// # Safety
    ///
    /// - `memory` points to `size` bytes, at least [`SLAB_MIN`], aligned for a slab, that no other
    ///   code uses.
    /// - `account` is the account that owns these slabs.
    pub(super) unsafe fn add(&mut self, memory: NonNull<u8>, size: usize, account: *mut Account, class: Class) {
        let slab = memory.cast::<Slab>();
        // INVARIANT: No block was in use yet. `adopt` puts the slab on both lists.
        let this = Slab {
            account,
            class,
            size,
            live: 0,
            fresh: size_of::<Slab>(),
            free: ptr::null_mut(),
            all: NO_LINKS,
            partial: NO_LINKS,
            is_listed: false,
        };
        // SAFETY: `memory` has the size and alignment of a slab, by this function's safety
        // requirement.
        unsafe { slab.write(this) };
        // SAFETY: The slab is new, so it is on no list, and `account` owns these slabs by this
        // function's safety requirement.
        unsafe { self.adopt(slab, account) };
    }

    /// Adds a slab that is new or belonged to another account.
    ///
    /// # Safety
    ///
    /// `slab` is valid and on no list, and `account` is the account that owns these slabs.
    pub(super) unsafe fn adopt(&mut self, mut slab: NonNull<Slab>, account: *mut Account) {
        // SAFETY: `slab` is valid and on no list by this function's safety requirement, so nothing
        // else accesses it.
        let this = unsafe { slab.as_mut() };
        this.account = account;
        this.is_listed = this.has_room();
        let is_listed = this.is_listed;
        self.count = self.count.saturating_add(1);
        // SAFETY: `slab` is valid and on no list, by this function's safety requirement.
        unsafe { self.link(slab, List::All) };
        if is_listed {
            // SAFETY: `slab` is valid and not on the list of its class, by this function's safety
            // requirement.
            unsafe { self.link(slab, List::Partial) };
        }
    }

    /// Takes a free block of `class`, if there is one, and returns the address after its front
    /// word.
    pub(super) fn take(&mut self, class: Class) -> Option<NonNull<u8>> {
        let mut slab = NonNull::new(self.partial.get(class.0).copied()?)?;
        // SAFETY: Slabs on a list are valid, and the account's lock is held.
        let this = unsafe { slab.as_mut() };
        let block = this.take(slab.as_ptr().cast());
        if !this.has_room() {
            this.is_listed = false;
            // SAFETY: `unlink` requires a slab on this list, where the slab was found.
            unsafe { self.unlink(slab, List::Partial) };
        }
        // SAFETY: The block was just taken, so nothing else accesses it, and its first word is
        // reserved for the slab's address.
        unsafe { block.cast::<usize>().write(slab.as_ptr().expose_provenance()) };
        NonNull::new(block.wrapping_add(TAG))
    }

    /// Frees a block. Removes and returns its slab if the slab should be freed: if it is empty, and
    /// is not the only slab of its class with a free block.
    ///
    /// # Safety
    ///
    /// `slab` is one of these slabs, and `block` is one of its blocks and is not used again.
    pub(super) unsafe fn give(&mut self, mut slab: NonNull<Slab>, block: *mut u8) -> Option<NonNull<Slab>> {
        // SAFETY: `slab` is valid by this function's safety requirement, and the account's lock is
        // held.
        let this = unsafe { slab.as_mut() };
        // SAFETY: The block belongs to the slab and is not used again, by this function's safety
        // requirement.
        unsafe { this.give(block.wrapping_sub(TAG)) };
        let (class, is_empty, was_listed) = (this.class, this.live == 0, this.is_listed);
        this.is_listed = true;
        if !was_listed {
            // SAFETY: The slab is valid, and `is_listed` says that it was not on this list.
            unsafe { self.link(slab, List::Partial) };
        }
        if !is_empty {
            return None;
        }
        let first = self.partial.get(class.0).copied()?;
        // SAFETY: `slab` is valid by this function's safety requirement, and the account's lock is
        // held.
        let is_only = first == slab.as_ptr() && unsafe { slab.as_ref() }.partial.next.is_null();
        if is_only {
            return None;
        }
        // SAFETY: `slab` is one of these slabs by this function's safety requirement.
        unsafe { self.remove(slab) };
        Some(slab)
    }

    /// Removes a slab from its lists.
    ///
    /// # Safety
    ///
    /// `slab` is one of these slabs.
    unsafe fn remove(&mut self, mut slab: NonNull<Slab>) {
        // SAFETY: `slab` is valid by this function's safety requirement, and the account's lock is
        // held.
        let this = unsafe { slab.as_mut() };
        let was_listed = core::mem::replace(&mut this.is_listed, false);
        if was_listed {
            // SAFETY: `is_listed` says that the slab is on this list.
            unsafe { self.unlink(slab, List::Partial) };
        }
        // SAFETY: Every slab of the account is on this list.
        unsafe { self.unlink(slab, List::All) };
        self.count = self.count.saturating_sub(1);
    }

    /// Removes and returns a slab. If `empty` is set, takes only a slab without blocks in use.
    pub(super) fn pop(&mut self, empty: bool) -> Option<NonNull<Slab>> {
        let mut next = NonNull::new(self.all);
        while let Some(slab) = next {
            // SAFETY: Slabs on a list are valid, and the account's lock is held.
            let this = unsafe { slab.as_ref() };
            if !empty || this.live == 0 {
                // SAFETY: The slab was found on the list of this account.
                unsafe { self.remove(slab) };
                return Some(slab);
            }
            next = NonNull::new(this.all.next);
        }
        None
    }
}
