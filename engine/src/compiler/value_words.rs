// SPDX-License-Identifier: GPL-2.0

//! Words of values: a `v128` takes two, the low one first, any other value one.

use super::Error;
use alloc::vec::Vec;
use wasmparser::ValType;

/// Number of words of a value.
pub(crate) fn size(ty: ValType) -> usize {
    if ty == ValType::V128 { 2 } else { 1 }
}

/// Number of words of values.
pub(crate) fn sizes(types: &[ValType]) -> usize {
    types.iter().map(|ty| size(*ty)).sum()
}

/// Words of numbered values: locals or globals.
#[derive(Clone, Debug, Default)]
pub struct WordMap {
    /// Last word of each value, plus 1.
    ends: Vec<u32>,
}

impl WordMap {
    /// Appends `count` values of type `ty`.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if there is no memory.
    pub(crate) fn add(&mut self, ty: ValType, count: u32) -> Result<(), Error> {
        self.ends.try_reserve(count as usize).map_err(|_| Error::Memory)?;
        let size = u32::try_from(size(ty)).unwrap_or(u32::MAX);
        let mut end = self.count();
        for _ in 0..count {
            end = end.saturating_add(size);
            self.ends.push(end);
        }
        Ok(())
    }

    /// Number of all words.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// First word of value `index`, and whether it is a `v128`; `None` if there is no such value.
    #[must_use]
    pub fn locate(&self, index: u32) -> Option<(u32, bool)> {
        let index = index as usize;
        let first = match index.checked_sub(1) {
            Some(before) => self.ends.get(before).copied()?,
            None => 0,
        };
        let end = self.ends.get(index).copied()?;
        Some((first, end.saturating_sub(first) > 1))
    }
}
