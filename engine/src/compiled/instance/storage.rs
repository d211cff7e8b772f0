// SPDX-License-Identifier: GPL-2.0

//! Memories, tables and segments of an instance.

use super::{
    super::{
        linear_memory::LinearMemory,
        program::Program,
        stop::InstanceStop, //
    },
    CompiledInstance,
    Growing,
    Surroundings, //
};
use crate::vmctx::{
    PAGE,
    PAGES_MAX,
    TrapReason, //
};
use core::ops::DerefMut;

impl<M: LinearMemory> CompiledInstance<M> {
    /// Bytes of all memories.
    #[must_use]
    pub fn memory_size(&self) -> u64 {
        self.memories.iter().map(|memory| memory.items.len() as u64).sum()
    }

    /// Bytes of memory `index`.
    #[must_use]
    pub fn memory(&self, index: usize) -> &[u8] {
        self.memories.get(index).map_or(&[], |memory| &memory.items)
    }

    /// Bytes of memory `index`.
    pub fn memory_mut(&mut self, index: usize) -> &mut [u8] {
        self.memories.get_mut(index).map_or(&mut [], |memory| &mut memory.items)
    }

    /// Returns element `element` of table `table`.
    ///
    /// # Errors
    ///
    /// [`TrapReason::TableBounds`] if there is none.
    pub(crate) fn table_get(&self, table: usize, element: usize) -> Result<u64, TrapReason> {
        let element = self.tables.get(table).and_then(|table| table.items.get(element));
        element.copied().ok_or(TrapReason::TableBounds)
    }

    /// Sets element `element` of table `table`.
    ///
    /// # Errors
    ///
    /// [`TrapReason::TableBounds`] if there is none.
    pub(crate) fn table_set(&mut self, table: usize, element: usize, value: u64) -> Result<(), TrapReason> {
        let element = self.tables.get_mut(table).and_then(|table| table.items.get_mut(element));
        *element.ok_or(TrapReason::TableBounds)? = value;
        Ok(())
    }

    /// Returns the number of elements of table `table`.
    pub(crate) fn table_size(&self, table: usize) -> u64 {
        self.tables.get(table).map_or(0, |table| table.items.len() as u64)
    }

    pub(super) fn grow_memory(
        &mut self,
        surroundings: &impl Surroundings,
        index: usize,
        pages: u64,
    ) -> Result<u64, InstanceStop> {
        let total: u64 = self.memories.iter().map(|memory| memory.items.len() as u64).sum();
        let memory = self.memories.get_mut(index).ok_or(TrapReason::MemoryBounds)?;
        let before = memory.items.len() as u64 / PAGE;
        let refused = Ok(u64::from(u32::MAX));
        let Some(after) = before.checked_add(pages & u64::from(u32::MAX)).filter(|pages| *pages <= memory.maximum)
        else {
            return refused;
        };
        let more = after.saturating_sub(before).saturating_mul(PAGE);
        if !surroundings.may_have_memory(total.saturating_add(more)) {
            return Err(InstanceStop::MemoryLimit);
        }
        if after > PAGES_MAX {
            return refused;
        }
        let size = usize::try_from(after.saturating_mul(PAGE)).map_err(|_| InstanceStop::OutOfMemory)?;
        memory.items.grow(size)?;
        self.refresh(surroundings);
        Ok(before)
    }

    pub(super) fn grow_table(
        &mut self,
        surroundings: &impl Surroundings,
        index: usize,
        count: u64,
        value: u64,
    ) -> Result<u64, InstanceStop> {
        let total: u64 = self.tables.iter().map(|table| table.items.len() as u64).sum();
        let table = self.tables.get_mut(index).ok_or(TrapReason::TableBounds)?;
        let before = table.items.len() as u64;
        let count = count & u64::from(u32::MAX);
        let refused = Ok(u64::from(u32::MAX));
        let Some(after) = before.checked_add(count).filter(|elements| *elements <= table.maximum) else {
            return refused;
        };
        if !surroundings.may_have_elements(total.saturating_add(count)) {
            return Err(InstanceStop::TableLimit);
        }
        let size = usize::try_from(after).map_err(|_| InstanceStop::OutOfMemory)?;
        table.items.try_reserve_exact(size.saturating_sub(table.items.len())).map_err(|_| InstanceStop::OutOfMemory)?;
        table.items.resize(size, value);
        Ok(before)
    }

    /// Fills bytes of a memory.
    ///
    /// # Errors
    ///
    /// [`TrapReason::MemoryBounds`] if they are not in the memory.
    pub(crate) fn memory_fill(&mut self, memory: usize, [start, value, len]: [u64; 3]) -> Result<(), InstanceStop> {
        let memory = self.memories.get_mut(memory).ok_or(TrapReason::MemoryBounds)?;
        let [value, ..] = value.to_le_bytes();
        range_mut(&mut memory.items, start, len).ok_or(TrapReason::MemoryBounds)?.fill(value);
        Ok(())
    }

    /// Copies bytes between memories.
    ///
    /// # Errors
    ///
    /// [`TrapReason::MemoryBounds`] if they are not in the memories.
    pub(crate) fn memory_copy(
        &mut self,
        to: usize,
        from: usize,
        [dst, src, len]: [u64; 3],
    ) -> Result<(), InstanceStop> {
        copy(&mut self.memories, to, from, [dst, src, len]).ok_or(InstanceStop::Trap(TrapReason::MemoryBounds))
    }

    pub(super) fn table_copy(&mut self, to: usize, from: usize, [dst, src, len]: [u64; 3]) -> Result<(), InstanceStop> {
        copy(&mut self.tables, to, from, [dst, src, len]).ok_or(InstanceStop::Trap(TrapReason::TableBounds))
    }

    pub(super) fn memory_init(
        &mut self,
        program: &Program,
        memory: u32,
        segment: usize,
        [dst, src, len]: [u64; 3],
    ) -> Result<(), InstanceStop> {
        let is_there = self.data.get(segment).copied().unwrap_or(false);
        let bytes = program.data.get(segment).filter(|_| is_there).map_or(&[][..], |(_, bytes)| bytes);
        let source = range(bytes, src, len).ok_or(TrapReason::MemoryBounds)?;
        let memory = self.memories.get_mut(memory as usize).ok_or(TrapReason::MemoryBounds)?;
        range_mut(&mut memory.items, dst, len).ok_or(TrapReason::MemoryBounds)?.copy_from_slice(source);
        Ok(())
    }

    pub(super) fn table_init(
        &mut self,
        program: &Program,
        table: u32,
        segment: usize,
        [dst, src, len]: [u64; 3],
    ) -> Result<(), InstanceStop> {
        let is_there = self.elements.get(segment).copied().unwrap_or(false);
        let items = program.elements.get(segment).filter(|_| is_there).map_or(&[][..], |(_, items)| items);
        let source = range(items, src, len).ok_or(TrapReason::TableBounds)?;
        let size = self.tables.get(table as usize).map_or(0, |table| table.items.len() as u64);
        if dst.checked_add(len).is_none_or(|end| end > size) {
            return Err(TrapReason::TableBounds.into());
        }
        for (offset, expression) in source.iter().enumerate() {
            let value = self.evaluate(expression);
            let place = usize::try_from(dst).ok().and_then(|dst| dst.checked_add(offset));
            let element =
                self.tables.get_mut(table as usize).zip(place).and_then(|(table, at)| table.items.get_mut(at));
            *element.ok_or(TrapReason::TableBounds)? = value;
        }
        Ok(())
    }

    pub(super) fn drop_data(&mut self, segment: usize) {
        if let Some(is_there) = self.data.get_mut(segment) {
            *is_there = false;
        }
    }

    pub(super) fn drop_element(&mut self, segment: usize) {
        if let Some(is_there) = self.elements.get_mut(segment) {
            *is_there = false;
        }
    }
}

fn bounds(start: u64, len: u64) -> Option<core::ops::Range<usize>> {
    let start = usize::try_from(start).ok()?;
    Some(start..start.checked_add(usize::try_from(len).ok()?)?)
}

fn range<T>(items: &[T], start: u64, len: u64) -> Option<&[T]> {
    items.get(bounds(start, len)?)
}

pub(super) fn range_mut<T>(items: &mut [T], start: u64, len: u64) -> Option<&mut [T]> {
    items.get_mut(bounds(start, len)?)
}

fn copy<T: Copy>(
    all: &mut [Growing<impl DerefMut<Target = [T]>>],
    to: usize,
    from: usize,
    [dst, src, len]: [u64; 3],
) -> Option<()> {
    if to == from {
        let items = &mut all.get_mut(to)?.items;
        let (source, target) = (bounds(src, len)?, bounds(dst, len)?);
        if source.end > items.len() || target.end > items.len() {
            return None;
        }
        items.copy_within(source, target.start);
        return Some(());
    }
    let [target, source] = all.get_disjoint_mut([to, from]).ok()?;
    range_mut(&mut target.items, dst, len)?.copy_from_slice(range(&source.items, src, len)?);
    Some(())
}
