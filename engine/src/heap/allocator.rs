// SPDX-License-Identifier: GPL-2.0

//! Allocates and frees blocks.

use super::{
    Account,
    AllocError,
    HEADER,
    Header,
    IN_RESERVE,
    OWN,
    host_alloc,
    owner,
    release,
    release_slab,
    reserve::reserve_alloc,
    slab::{
        self,
        Class,
        Slab, //
    }, //
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
    sync::atomic::Ordering,
};

/// Largest block that the reserve serves, in bytes, header included.
const RESERVE_BLOCK_MAX: usize = 16 * 1024;

/// Global allocator of the engine.
struct Heap;

// SAFETY: Blocks have the requested size and alignment and do not overlap, because the allocations
// of the host and of the reserve do not. The methods do not unwind.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocate(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: `block` came from `alloc`, which puts a word in front of every block.
        let kind = unsafe { block.wrapping_sub(slab::TAG).cast::<usize>().read() };
        if kind != OWN {
            if let Some(slab) = NonNull::new(ptr::with_exposed_provenance_mut(kind)) {
                // SAFETY: The word is the address of the block's slab, and the block is not used
                // again, by the contract of `dealloc`.
                unsafe { free_small(slab, block) };
            }
            return;
        }
        let Some(header) = NonNull::new(block.wrapping_sub(HEADER).cast::<Header>()) else {
            return;
        };
        // SAFETY: The word is `OWN`, so a valid header ends in front of the block, and the block is
        // owned by the code that frees it.
        let (account, size) = unsafe { owner(header.as_ptr()) };
        // SAFETY: The account is null or open, by the invariant of `Header`.
        if let Some(account) = unsafe { account.as_ref() } {
            account.counters.used.fetch_sub(size & !IN_RESERVE, Ordering::Relaxed);
            account.unlink(header);
        }
        // SAFETY: The header is on no list any more, and the block is not used again, by the
        // contract of `dealloc`.
        unsafe { release(header) };
    }
}

#[global_allocator]
static HEAP: Heap = Heap;

fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    let account = Account::current();
    let small = account.zip(Class::for_size(layout.size())).filter(|_| layout.align() <= slab::TAG);
    let refused = match small.map(|(account, class)| account.allocate_small(class)) {
        Some(Ok(block)) => return Some(block),
        Some(Err(error)) => Some(error),
        None => None,
    };
    allocate_alone(layout, account, refused)
}

/// Allocates a block with a [`Header`]: a large block, or a small block for which a slab was
/// `refused`, which then comes from the reserve.
fn allocate_alone(
    layout: Layout,
    account: Option<&'static Account>,
    refused: Option<AllocError>,
) -> Option<NonNull<u8>> {
    let align = layout.align().max(align_of::<Header>());
    let offset = HEADER.checked_next_multiple_of(align)?;
    // The size must be even, because its lowest bit is a flag.
    let size = offset.checked_add(layout.size())?.checked_next_multiple_of(2)?;
    let whole = Layout::from_size_align(size, align).ok()?;

    let charged = account.is_none_or(|account| account.charge(size));
    let served = match (account, refused) {
        (_, Some(error)) => Err(error),
        (Some(account), None) if !charged => Err(account.budget_error),
        // Another attempt would take long, see `allocate_small`.
        (Some(account), None) if account.is_exhausted() => Err(account.alloc_error()),
        _ => host_alloc(whole),
    };
    let (start, tagged_size) = match served {
        Ok(start) => (Some(start), size),
        Err(error) => {
            if let Some(account) = account {
                account.note_alloc_error(error);
            }
            if size > RESERVE_BLOCK_MAX {
                if let (true, Some(account)) = (charged, account) {
                    account.counters.used.fetch_sub(size, Ordering::Relaxed);
                }
                return None;
            }
            if let (false, Some(account)) = (charged, account) {
                account.counters.used.fetch_add(size, Ordering::Relaxed);
            }
            let has_share = account.is_none_or(|account| account.take_share(size));
            (has_share.then(|| reserve_alloc(whole)).flatten(), size | IN_RESERVE)
        }
    };
    let Some(start) = start else {
        if let Some(account) = account {
            account.counters.used.fetch_sub(size, Ordering::Relaxed);
        }
        return None;
    };

    let block = NonNull::new(start.as_ptr().wrapping_add(offset))?;
    let header = NonNull::new(block.as_ptr().wrapping_sub(HEADER).cast::<Header>())?;
    // SAFETY: `offset` leaves room for a header in front of the block, and both are aligned for a
    // header.
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
        account.counters.peak.fetch_max(account.counters.used.load(Ordering::Relaxed), Ordering::Relaxed);
        account.push(header);
    }
    Some(block)
}

/// Frees a block of a slab.
///
/// # Safety
///
/// `block` is a block of `slab` and is not used again.
unsafe fn free_small(slab: NonNull<Slab>, block: *mut u8) {
    // SAFETY: `slab` is valid by this function's safety requirement: one of its blocks is in use.
    let account = unsafe { Slab::account(slab) };
    // SAFETY: `as_ref` requires null or a valid account. The account of a slab is open, and an open
    // account is valid.
    let Some(account) = (unsafe { account.as_ref() }) else {
        return;
    };
    // SAFETY: `block` is a block of `slab`, which belongs to this account, and is not used again,
    // by this function's safety requirement.
    let empty = unsafe { account.list.lock().slabs.give(slab, block) };
    if let Some(slab) = empty {
        // SAFETY: The slab was just taken off the account, so it is valid and nothing else accesses
        // it.
        account.uncharge_slab(unsafe { slab.as_ref() }.size());
        // SAFETY: The slab is on no list, and none of its blocks is in use.
        unsafe { release_slab(slab) };
    }
}
