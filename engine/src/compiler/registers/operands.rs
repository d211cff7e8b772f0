// SPDX-License-Identifier: GPL-2.0

//! The operand stack of a [`Frame`].

use super::{
    Frame,
    Holder,
    immediate, //
};
use crate::{
    compiler::{
        Error,
        assembler::RegImm, //
    },
    ebpf::{
        R0,
        Reg, //
    },
};

/// Location of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Value {
    /// A constant; narrow ones are zero-extended.
    Const(u64),
    /// The value of a local.
    Local(u32),
    /// A register.
    Reg(Reg),
    /// The operand's frame slot.
    Slot,
}

/// An operand.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Operand {
    pub(in super::super) value: Value,
    /// Depth from the bottom of the stack.
    pub(in super::super) depth: u32,
}

impl Frame {
    /// Returns the depth of the operand that is pushed next.
    fn depth(&self) -> u32 {
        u32::try_from(self.stack.len()).unwrap_or(u32::MAX)
    }

    /// Pushes an operand.
    pub(in super::super) fn push(&mut self, value: Value) -> Result<(), Error> {
        let depth = self.depth();
        match value {
            Value::Reg(reg) => {
                let cell = self.now.cell(reg);
                self.hold(reg, Holder::Operand(depth))?;
                self.now.cell_mut(reg)?.take_facts(cell);
            }
            Value::Local(local) => {
                let count = self.aliases.get_mut(local as usize).ok_or(Error::Internal("local"))?;
                *count = count.saturating_add(1);
            }
            Value::Slot => {
                self.operand_slot(depth);
            }
            Value::Const(_) => {}
        }
        self.stack.try_reserve(1).map_err(|_| Error::Memory)?;
        self.stack.push(Operand { value, depth });
        Ok(())
    }

    /// Pops an operand; its register becomes a locked temporary.
    pub(in super::super) fn pop(&mut self) -> Result<Operand, Error> {
        let operand = self.stack.pop().ok_or(Error::Internal("operand stack empty"))?;
        self.spilled = self.spilled.min(self.stack.len());
        self.lock_popped(operand)?;
        Ok(operand)
    }

    /// Takes the operand that has `above` operands above it. A constant, which nobody may use, is
    /// left in its place.
    pub(in super::super) fn take(&mut self, above: usize) -> Result<Operand, Error> {
        let index = self.index(above)?;
        let place = self.stack.get_mut(index).ok_or(Error::Internal("operand"))?;
        let operand = *place;
        place.value = Value::Const(0);
        self.lock_popped(operand)?;
        Ok(operand)
    }

    /// Makes `reg`, of which no fact is known, the operand that has `above` operands above it,
    /// where one was taken.
    pub(in super::super) fn put(&mut self, above: usize, reg: Reg) -> Result<(), Error> {
        let index = self.index(above)?;
        let depth = u32::try_from(index).map_err(|_| Error::TooLarge("operands"))?;
        self.stack.get_mut(index).ok_or(Error::Internal("operand"))?.value = Value::Reg(reg);
        self.spilled = self.spilled.min(index);
        self.hold(reg, Holder::Operand(depth))
    }

    /// Returns the index of the operand that has `above` operands above it.
    fn index(&self, above: usize) -> Result<usize, Error> {
        let last = self.stack.len().checked_sub(1);
        last.and_then(|last| last.checked_sub(above)).ok_or(Error::Internal("operand stack empty"))
    }

    /// Locks the register of an operand that leaves the stack. It becomes a temporary, unless it is
    /// that of a local.
    fn lock_popped(&mut self, operand: Operand) -> Result<(), Error> {
        match operand.value {
            Value::Reg(reg) => {
                self.now.cell_mut(reg)?.holder = Holder::Temporary;
                self.lock(reg);
            }
            Value::Local(local) => {
                if let Some(count) = self.aliases.get_mut(local as usize) {
                    *count = count.saturating_sub(1);
                }
                if let Some(reg) = self.now.reg_of(local) {
                    self.lock(reg);
                }
            }
            Value::Const(_) | Value::Slot => {}
        }
        Ok(())
    }

    /// Drops operands down to `height`.
    pub(in super::super) fn truncate(&mut self, height: usize) -> Result<(), Error> {
        while self.stack.len() > height {
            self.pop()?;
        }
        self.unlock();
        Ok(())
    }

    /// Gives operands that are the value of `local` a place of their own, as it is about to change.
    pub(super) fn detach(&mut self, local: u32) -> Result<(), Error> {
        if self.aliases.get(local as usize).is_none_or(|count| *count == 0) {
            return Ok(());
        }
        for index in self.spilled..self.stack.len() {
            let Some(operand) = self.stack.get(index).copied() else { break };
            if operand.value != Value::Local(local) {
                continue;
            }
            self.store_operand(index, operand)?;
        }
        if let Some(count) = self.aliases.get_mut(local as usize) {
            *count = 0;
        }
        Ok(())
    }

    /// Moves all operands but constants below `height` into their frame slots.
    pub(in super::super) fn spill(&mut self, height: usize) -> Result<(), Error> {
        let height = height.min(self.stack.len());
        for index in self.spilled..height {
            let Some(operand) = self.stack.get(index).copied() else { break };
            match operand.value {
                Value::Const(_) | Value::Slot => continue,
                Value::Reg(reg) => self.evict(reg)?,
                Value::Local(local) => {
                    self.store_operand(index, operand)?;
                    if let Some(count) = self.aliases.get_mut(local as usize) {
                        *count = count.saturating_sub(1);
                    }
                }
            }
        }
        self.spilled = self.spilled.max(height);
        Ok(())
    }

    /// Moves the topmost `count` operands into their frame slots, constants too.
    pub(in super::super) fn spill_all(&mut self, count: usize) -> Result<(), Error> {
        self.spill(usize::MAX)?;
        let from = self.stack.len().saturating_sub(count);
        for index in from..self.stack.len() {
            let Some(operand) = self.stack.get(index).copied() else { break };
            if let Value::Const(value) = operand.value {
                let slot = self.operand_slot(operand.depth);
                match immediate(value, true) {
                    Some(imm) => {
                        self.asm.store_slot(slot, RegImm::Imm(imm))?;
                        self.set_slot(index);
                    }
                    None => self.store_operand(index, operand)?,
                }
            }
        }
        Ok(())
    }

    /// Stores the operand at `index` into its frame slot; the registers that this takes are given
    /// back.
    fn store_operand(&mut self, index: usize, operand: Operand) -> Result<(), Error> {
        let slot = self.operand_slot(operand.depth);
        let locked = self.locked;
        let reg = self.source(operand)?;
        self.asm.store_slot(slot, RegImm::Reg(reg))?;
        self.locked = locked;
        if self.now.cell(reg).holder == Holder::Temporary {
            self.now.free(reg)?;
        }
        self.set_slot(index);
        Ok(())
    }

    /// Notes that the operand at `index` is in its frame slot.
    fn set_slot(&mut self, index: usize) {
        if let Some(place) = self.stack.get_mut(index) {
            place.value = Value::Slot;
        }
    }

    /// Moves the topmost `count` operands to where a label expects them: a single one into R0, more
    /// into their frame slots.
    pub(in super::super) fn place_results(&mut self, count: usize) -> Result<(), Error> {
        if count != 1 {
            if count > 0 {
                self.spill_all(count)?;
            }
            return Ok(());
        }
        let operand = self.pop()?;
        match self.now.cell(R0).holder {
            Holder::Temporary if operand.value == Value::Reg(R0) => {}
            Holder::Temporary => return Err(Error::Internal("R0 is taken")),
            Holder::Local { local, is_dirty } if operand.value == Value::Local(local) => {
                if is_dirty && self.is_live(local) {
                    self.asm.store_slot(local, RegImm::Reg(R0))?;
                }
            }
            _ => {
                self.evict(R0)?;
                self.lock(R0);
                self.own(operand, Some(R0))?;
            }
        }
        self.push(Value::Reg(R0))?;
        self.unlock();
        Ok(())
    }
}
