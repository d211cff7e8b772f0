// SPDX-License-Identifier: GPL-2.0

//! Memory for small allocations that the host refuses, or that exceed the budget.

use super::Mutex;
use core::{
    alloc::Layout,
    ptr::NonNull, //
};
use linked_list_allocator::Heap as Reserve;

/// Reserve and its counters.
pub(super) struct ReserveState {
    pub(super) heap: Reserve,
    peak: usize,
}

pub(super) static RESERVE: Mutex<ReserveState> = Mutex::new(ReserveState { heap: Reserve::empty(), peak: 0 });

/// Gives `len` bytes at `memory` to the reserve.
///
/// # Safety
///
/// - This function is called once.
/// - `memory` points to `len` bytes that are valid and used by no other code until the engine is
///   removed.
pub(crate) unsafe fn init_reserve(memory: *mut u8, len: usize) {
    // SAFETY: The memory is valid and exclusive, and this is the only call, by this function's
    // safety requirement.
    unsafe { RESERVE.lock().heap.init(memory, len) };
}

/// Returns the bytes of the reserve in use, and their peak.
pub(crate) fn reserve_stats() -> (usize, usize) {
    let reserve = RESERVE.lock();
    (reserve.heap.used(), reserve.peak)
}

pub(super) fn reserve_alloc(layout: Layout) -> Option<NonNull<u8>> {
    let mut reserve = RESERVE.lock();
    let block = reserve.heap.allocate_first_fit(layout).ok()?;
    reserve.peak = reserve.peak.max(reserve.heap.used());
    Some(block)
}
