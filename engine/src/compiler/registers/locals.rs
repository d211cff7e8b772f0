// SPDX-License-Identifier: GPL-2.0

//! The locals of a [`Frame`]: assignments, and the registers that loops bind to locals.

use super::{
    Bindings,
    Cell,
    Frame,
    Holder,
    Operand,
    POOL,
    PRESERVED,
    REGISTERS,
    Snapshot,
    Value, //
};
use crate::{
    compiler::{
        Error,
        analysis::Loop, //
    },
    ebpf::Reg,
};
use alloc::vec::Vec;

/// Registers that a loop without calls may bind to locals.
const LOOP_POOL: [Reg; 5] = [Reg(9), Reg(8), Reg(5), Reg(4), Reg(3)];

impl Frame {
    /// Returns the local that the innermost loop, or else the function, binds to `reg`.
    pub(super) fn bound_local(&self, reg: Reg) -> Option<u32> {
        self.bound.last().and_then(|bound| bound.get(usize::from(reg.0))).copied().flatten()
    }

    /// Returns the register that `local` is bound to.
    pub(super) fn bound_reg(&self, local: u32) -> Option<Reg> {
        POOL.into_iter().find(|reg| self.bound_local(*reg) == Some(local))
    }

    /// Returns true if something may still read `local` after the present operator.
    pub(in super::super) fn is_live(&self, local: u32) -> bool {
        self.is_live_after(local, self.position)
    }

    /// Returns true if something may still read `local` after `position`.
    fn is_live_after(&self, local: u32, position: u32) -> bool {
        let last = self.analysis.locals.get(local as usize).map_or(u32::MAX, |lifetime| lifetime.last);
        last > position || self.aliases.get(local as usize).is_some_and(|count| *count > 0)
    }

    /// Returns the register for a result that the next operator assigns to `local`, other than
    /// those in `busy`, if nothing else needs the present value of `local`.
    pub(in super::super) fn hint(&self, local: Option<u32>, busy: &[Option<Reg>]) -> Option<Reg> {
        let local = local?;
        if self.aliases.get(local as usize).is_none_or(|count| *count > 0) || !self.is_live(local) {
            return None;
        }
        let is_usable = |reg: &Reg| {
            !busy.contains(&Some(*reg))
                && match self.now.cell(*reg).holder {
                    Holder::Free => true,
                    Holder::Local { local: other, .. } => other == local,
                    _ => false,
                }
        };
        self.bound_reg(local).filter(is_usable).or_else(|| self.now.reg_of(local).filter(is_usable))
    }

    /// Moves `local` into the register that it is bound to, if that is free.
    pub(in super::super) fn settle(&mut self, local: u32) -> Result<(), Error> {
        let (Some(reg), Some(bound)) = (self.now.reg_of(local), self.bound_reg(local)) else { return Ok(()) };
        if reg == bound || self.now.cell(bound).holder != Holder::Free {
            return Ok(());
        }
        self.asm.mov(bound, reg)?;
        let cell = self.now.cell(reg);
        *self.now.cell_mut(bound)? = cell;
        self.now.free(reg)
    }

    /// Assigns the top operand to `local`; it stays on the stack if `keeps`.
    pub(in super::super) fn assign(&mut self, local: u32, keeps: bool) -> Result<(), Error> {
        let operand = self.pop()?;
        self.detach(local)?;
        let kept = if operand.value == Value::Local(local) {
            // The local has the value already.
            operand.value
        } else if self.is_live(local) {
            let reg = match operand.value {
                Value::Reg(reg) => self.assign_reg(local, reg)?,
                Value::Const(_) | Value::Slot | Value::Local(_) => self.assign_copy(local, operand)?,
            };
            let cell = self.now.cell(reg);
            self.hold(reg, Holder::Local { local, is_dirty: true })?;
            self.now.cell_mut(reg)?.take_facts(cell);
            Value::Local(local)
        } else {
            // Nothing reads it.
            if let Some(old) = self.now.reg_of(local) {
                self.now.free(old)?;
            }
            operand.value
        };
        if keeps {
            self.push(kept)?;
        }
        self.unlock();
        Ok(())
    }

    /// Frees the old register of `local` and returns the new one, which has the value of the
    /// temporary `reg`: the register that `local` is bound to, if it is free, or else `reg` itself.
    fn assign_reg(&mut self, local: u32, reg: Reg) -> Result<Reg, Error> {
        if let Some(old) = self.now.reg_of(local) {
            self.now.free(old)?;
        }
        let is_free = |bound: &Reg| *bound != reg && self.now.cell(*bound).holder == Holder::Free;
        let Some(bound) = self.bound_reg(local).filter(is_free) else { return Ok(reg) };
        self.asm.mov(bound, reg)?;
        let cell = self.now.cell(reg);
        self.hold(bound, Holder::Temporary)?;
        self.now.cell_mut(bound)?.take_facts(cell);
        Ok(bound)
    }

    /// Copies the popped `operand`, which has no register of its own, and returns the register of
    /// the copy: the old one of `local`, the one that `local` is bound to, or another.
    fn assign_copy(&mut self, local: u32, operand: Operand) -> Result<Reg, Error> {
        let target = match self.now.reg_of(local) {
            // The old register may be the only one, and the source is not in it.
            Some(old) => {
                *self.now.cell_mut(old)? = Cell { holder: Holder::Temporary, ..Cell::default() };
                old
            }
            None => match self.bound_reg(local).filter(|bound| self.is_available(*bound)) {
                Some(bound) => bound,
                None => self.alloc()?,
            },
        };
        self.lock(target);
        let cell = match operand.value {
            Value::Local(other) => self.now.reg_of(other).map(|reg| self.now.cell(reg)),
            _ => None,
        };
        self.own(operand, Some(target))?;
        self.now.cell_mut(target)?.take_facts(cell.unwrap_or_default());
        Ok(target)
    }

    /// Begins a loop: binds registers to the locals that it uses most, and returns the state at its
    /// head.
    pub(in super::super) fn enter_loop(&mut self, number: usize) -> Snapshot {
        let info = self.analysis.loops.get(number).cloned().unwrap_or_default();
        let bound = self.choose_registers(&info);
        let head = self.loop_head(&info, &bound);
        self.bound.push(bound);
        head
    }

    /// Returns the registers for the locals that a loop uses most: those that they are in now, if
    /// the loop may bind these.
    fn choose_registers(&self, info: &Loop) -> Bindings {
        let pool: &[Reg] = if info.has_call { &PRESERVED } else { &LOOP_POOL };
        let mut bound = [None; REGISTERS];
        let chosen = info.hot.get(..pool.len().min(info.hot.len())).unwrap_or_default();
        let mut set = |reg: Reg, local: u32| {
            if let Some(place) = bound.get_mut(usize::from(reg.0)) {
                *place = Some(local);
            }
        };
        let mut taken: Vec<Reg> = Vec::new();
        let mut rest: Vec<u32> = Vec::new();
        for entry in chosen {
            match self.now.reg_of(entry.local).filter(|reg| pool.contains(reg)) {
                Some(reg) => {
                    set(reg, entry.local);
                    taken.push(reg);
                }
                None => rest.push(entry.local),
            }
        }
        let mut free = pool.iter().copied().filter(|reg| !taken.contains(reg));
        for local in rest {
            if let Some(reg) = free.next() {
                set(reg, local);
            }
        }
        bound
    }

    /// Returns the state at the head of a loop with the registers `bound`. They hold their locals,
    /// except those that have no value before the loop.
    fn loop_head(&self, info: &Loop, bound: &Bindings) -> Snapshot {
        let mut head = Snapshot { has_base: info.has_memory && !info.moves_memory, ..Snapshot::default() };
        for reg in POOL {
            let Some(local) = bound.get(usize::from(reg.0)).copied().flatten() else { continue };
            let lifetime = self.analysis.locals.get(local as usize).copied().unwrap_or_default();
            let is_assigned = info.hot.iter().any(|entry| entry.local == local && entry.is_assigned);
            let is_defined = lifetime.needs_zero || lifetime.first < self.position;
            if !is_defined {
                continue;
            }
            let known = self.now.reg_of(local).map(|reg| self.now.cell(reg)).filter(|_| !is_assigned);
            if let Ok(cell) = head.cell_mut(reg) {
                cell.holder = Holder::Local { local, is_dirty: is_assigned };
                cell.take_facts(known.unwrap_or_default());
            }
        }
        head
    }

    /// Ends a loop.
    pub(in super::super) fn leave_loop(&mut self) {
        if self.bound.len() > 1 {
            self.bound.pop();
        }
    }
}
