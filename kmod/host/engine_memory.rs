// SPDX-License-Identifier: GPL-2.0

//! Memory allocation for the engine: [`RawOperations::alloc`], [`RawOperations::free`],
//! [`RawOperations::alloc_stack`] and [`RawOperations::grow_memory`].
//!
//! [`RawOperations::alloc`]: crate::host_operations::RawOperations::alloc
//! [`RawOperations::grow_memory`]: crate::host_operations::RawOperations::grow_memory
//! [`RawOperations::free`]: crate::host_operations::RawOperations::free
//! [`RawOperations::alloc_stack`]: crate::host_operations::RawOperations::alloc_stack

use super::{
    linear_memory::LinearMemory,
    Host, //
};
use crate::{
    allocation,
    counters,
    engine::stack::GuestStack,
    ffi::Checkpoint,
    host_operations::{
        Allocated,
        Block, //
    },
    limits,
    uapi::KWASMI_LIMIT_TOTAL_HEAP, //
};
use core::{
    alloc::Layout,
    ptr::NonNull, //
};
use kernel::{
    error::code::EINTR,
    page::PAGE_SIZE,
    prelude::*, //
};

/// Allocates `size` bytes, aligned to `align`. Every few allocations it runs a checkpoint, so that
/// translating a module can be stopped.
///
/// # Errors
///
/// `EDQUOT` if all engines together would exceed `KWASMI_LIMIT_TOTAL_HEAP`; `ENOMEM` if the layout
/// is invalid or memory is short.
pub(super) fn alloc(mut host: Option<&mut Host>, size: usize, align: usize) -> Result<Allocated> {
    let layout = Layout::from_size_align(size, align).map_err(|_| ENOMEM)?;
    if let Some(host) = &mut host {
        if host.is_check_due(layout.size()) {
            match host.checkpoint() {
                Checkpoint::Continue | Checkpoint::Interrupt => {}
                stop => return Ok(Allocated::Stop(stop)),
            }
        }
    }
    if !counters::HEAP_BYTES.add_of_total(layout.size(), limits::ceiling(KWASMI_LIMIT_TOTAL_HEAP)) {
        return Err(EDQUOT);
    }
    let block =
        allocation::allocate(layout).inspect_err(|_| counters::HEAP_BYTES.sub(layout.size()))?;
    counters::HEAP_BLOCKS.add(1);
    if let Some(host) = host {
        host.resident.add(layout.size());
    }
    Ok(Allocated::At(block))
}

/// Frees a block.
pub(super) fn free(host: Option<&mut Host>, block: Block) {
    let (start, size) = block.into_parts();
    if let Some(host) = host {
        host.resident.sub(size);
    }
    counters::HEAP_BLOCKS.sub(1);
    counters::HEAP_BYTES.sub(size);
    // SAFETY: `allocation::free` requires a block of `allocation::allocate` that is not freed yet.
    // By the invariant of `Block`, `alloc` allocated it there, and this function owns it.
    unsafe { allocation::free(start) };
}

/// Stack of a compiled guest, counted in [`counters::HEAP_BYTES`].
pub(super) struct CountedStack {
    _stack: GuestStack,
    size: usize,
}

impl CountedStack {
    /// Returns the size in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }
}

impl Drop for CountedStack {
    fn drop(&mut self) {
        counters::HEAP_BLOCKS.sub(1);
        counters::HEAP_BYTES.sub(self.size);
    }
}

/// Allocates the stack of a compiled guest: `size` bytes of virtually contiguous memory between
/// guard pages. Returns its address. `host` owns the stack until [`Host::close_all`] or
/// [`Host::free_stack`].
///
/// # Errors
///
/// `EBUSY` if the host has a stack; `EDQUOT` if all engines together would exceed
/// `KWASMI_LIMIT_TOTAL_HEAP`; `EINVAL` if `size` is below 16; `ENOMEM`.
pub(super) fn alloc_stack(host: &mut Host, size: usize) -> Result<NonNull<u8>> {
    if host.guest_stack.is_some() {
        return Err(EBUSY);
    }
    if !counters::HEAP_BYTES.add_of_total(size, limits::ceiling(KWASMI_LIMIT_TOTAL_HEAP)) {
        return Err(EDQUOT);
    }
    let stack = GuestStack::new(size).inspect_err(|_| counters::HEAP_BYTES.sub(size))?;
    counters::HEAP_BLOCKS.add(1);
    host.resident.add(size);
    let start = stack.start();
    host.guest_stack = Some(CountedStack {
        _stack: stack,
        size,
    });
    Ok(start)
}

/// Linear memory of a compiled guest, counted in [`counters::HEAP_BYTES`].
pub(super) struct CountedMemory {
    index: u16,
    memory: LinearMemory,
}

impl CountedMemory {
    /// Returns a memory without bytes, and counts it.
    fn new(index: u16) -> Self {
        counters::HEAP_BLOCKS.add(1);
        Self {
            index,
            memory: LinearMemory::new(),
        }
    }

    /// Grows the memory to `size` bytes.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if all engines together would exceed `KWASMI_LIMIT_TOTAL_HEAP`; `EINTR` if
    /// `may_continue` returned false; `ENOMEM`.
    fn grow(&mut self, size: usize, may_continue: impl FnMut() -> bool) -> Result {
        let more = size.saturating_sub(self.memory.size());
        if !counters::HEAP_BYTES.add_of_total(more, limits::ceiling(KWASMI_LIMIT_TOTAL_HEAP)) {
            return Err(EDQUOT);
        }
        self.memory
            .grow(size, may_continue)
            .inspect_err(|_| counters::HEAP_BYTES.sub(more))
    }
}

impl Drop for CountedMemory {
    fn drop(&mut self) {
        counters::HEAP_BLOCKS.sub(1);
        counters::HEAP_BYTES.sub(self.memory.size());
    }
}

/// Makes linear memory `index` of a compiled guest at least `size` bytes large. Returns its new
/// address. `host` owns the memory until [`Host::close_all`].
///
/// Each growth maps the whole memory anew. A memory that grows therefore gets an eighth more than
/// `size` if it can, so that many small steps do not take quadratic time.
///
/// # Errors
///
/// `EDQUOT` if all engines together would exceed `KWASMI_LIMIT_TOTAL_HEAP`; `ENOMEM`.
pub(super) fn grow_memory(host: &mut Host, index: u16, size: usize) -> Result<Allocated> {
    let size = size.checked_next_multiple_of(PAGE_SIZE).ok_or(ENOMEM)?;
    let mut memories = core::mem::take(&mut host.memories);
    let result = grow_one_of(&mut memories, host, index, size);
    host.memories = memories;
    result
}

fn grow_one_of(
    memories: &mut KVec<CountedMemory>,
    host: &mut Host,
    index: u16,
    size: usize,
) -> Result<Allocated> {
    if !memories.iter().any(|memory| memory.index == index) {
        memories.push(CountedMemory::new(index), GFP_KERNEL_ACCOUNT)?;
    }
    let memory = memories
        .iter_mut()
        .find(|memory| memory.index == index)
        .ok_or(EINVAL)?;
    let before = memory.memory.size();
    if size > before {
        let mut stop = None;
        let mut may_continue = || match host.checkpoint() {
            Checkpoint::Continue | Checkpoint::Interrupt => true,
            checkpoint => {
                stop = Some(checkpoint);
                false
            }
        };
        let ample = if before > 0 {
            size.saturating_add(before / 8)
        } else {
            size
        };
        let ample = ample.checked_next_multiple_of(PAGE_SIZE).unwrap_or(size);
        let grown = match memory.grow(ample, &mut may_continue) {
            Err(error) if error != EINTR => memory.grow(size, &mut may_continue),
            grown => grown,
        };
        if let Some(stop) = stop {
            return Ok(Allocated::Stop(stop));
        }
        grown?;
        host.resident.add(memory.memory.size() - before);
    }
    Ok(Allocated::At(memory.memory.start()))
}
