// SPDX-License-Identifier: GPL-2.0

//! Values of a function while it is compiled: the operand stack, and what each register holds.
//!
//! A local has a frame slot; a register may hold a copy (clean) or a newer value (dirty). An
//! operand is a constant, the value of a local, a register of its own, or its frame slot.
//!
//! An operator pops its operands, which makes their registers temporaries, and locks every register
//! that it uses ([`Frame::source`], [`Frame::own`], [`Frame::alloc`]). `alloc` does not take a
//! locked register. When its code is emitted, it pushes its results and frees the temporaries that
//! remain ([`Frame::unlock`]).

use super::{
    Error,
    analysis::{
        Analysis,
        Loop, //
    },
    assembler::{
        Assembler,
        RegImm, //
    },
};
use crate::{
    ebpf::{
        R0,
        R7,
        R8,
        R9,
        Reg, //
    },
    vmctx::{
        Fact,
        Location,
        MemoryField,
        memory_offset, //
    },
};
use alloc::vec::Vec;

/// Registers for values, in the order in which they are taken. R7 holds the base of memory 0.
const POOL: [Reg; 8] = [Reg(0), Reg(1), Reg(2), Reg(3), Reg(4), Reg(5), Reg(8), Reg(9)];

/// Registers that a call preserves.
pub(super) const PRESERVED: [Reg; 2] = [R8, R9];

/// Registers that a loop without calls may bind to locals.
const LOOP_POOL: [Reg; 5] = [Reg(9), Reg(8), Reg(5), Reg(4), Reg(3)];

/// Number of registers, R10 included.
const REGISTERS: usize = 11;

/// Local that each register is bound to.
type Bindings = [Option<u32>; REGISTERS];

/// Owner of a register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Holder {
    /// None.
    #[default]
    Free,
    /// A local.
    Local {
        /// Word of the local.
        local: u32,
        /// Set if its frame slot has an older value.
        is_dirty: bool,
    },
    /// An operand on the stack, by its depth from the bottom.
    Operand(u32),
    /// An operation in progress.
    Temporary,
}

/// A register's owner, and a fact about its value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    pub(super) holder: Holder,
    /// So many bytes of memory 0 lie behind the value as an index; 0: unknown.
    pub(super) bytes: u32,
    /// Set if the index is masked. It means nothing without bytes.
    pub(super) has_mask: bool,
    /// [`Frame::clock`] at the last use.
    age: u32,
}

impl Cell {
    /// Returns true if the value is a masked index of memory 0.
    pub(super) fn is_masked(self) -> bool {
        self.has_mask && self.bytes > 0
    }

    /// Takes over the facts about the value of `other`, which is the same.
    fn take_facts(&mut self, other: Self) {
        self.bytes = other.bytes;
        self.has_mask = other.has_mask;
    }
}

/// Location of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
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
pub(super) struct Operand {
    pub(super) value: Value,
    /// Depth from the bottom of the stack.
    pub(super) depth: u32,
}

/// Registers at a label.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) cells: [Cell; REGISTERS],
    /// Set if R7 holds the base of memory 0.
    pub(super) has_base: bool,
}

impl Snapshot {
    /// Returns the cell of `reg`.
    pub(super) fn cell(&self, reg: Reg) -> Cell {
        self.cells.get(usize::from(reg.0)).copied().unwrap_or_default()
    }

    /// Returns the cell of `reg`, to change it.
    pub(super) fn cell_mut(&mut self, reg: Reg) -> Result<&mut Cell, Error> {
        self.cells.get_mut(usize::from(reg.0)).ok_or(Error::Internal("register"))
    }

    /// Frees `reg`, whose value is lost.
    fn free(&mut self, reg: Reg) -> Result<(), Error> {
        *self.cell_mut(reg)? = Cell::default();
        Ok(())
    }

    /// Returns the register that holds `local`.
    pub(super) fn reg_of(&self, local: u32) -> Option<Reg> {
        POOL.into_iter()
            .find(|reg| matches!(self.cell(*reg).holder, Holder::Local { local: other, .. } if other == local))
    }
}

/// Registers, operands and the code that moves values among them.
///
/// # Invariants
///
/// Between two operators:
///
/// - A register holds the operand of depth `d` if and only if `stack[d]` is in that register.
/// - At most one register holds a local.
/// - `aliases[l]` operands are the value of local `l`.
/// - The lowest `spilled` operands are constants or in their frame slots.
/// - The frame slot of a live local has its value, unless a register holds the local and is dirty.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) asm: Assembler,
    pub(super) analysis: Analysis,
    /// What the registers hold at the next instruction.
    pub(super) now: Snapshot,
    /// Operand stack.
    pub(super) stack: Vec<Operand>,
    /// Number of operands that are the value of a local, for each local.
    aliases: Vec<u32>,
    /// Registers that the function and each open loop bind to locals, the innermost loop last.
    bound: Vec<Bindings>,
    /// Registers that must not be taken now, a bit each.
    locked: u16,
    /// Number of uses of registers so far, see [`Cell::age`].
    clock: u32,
    /// Number of operators before the present one.
    pub(super) position: u32,
    /// Number of words of locals. Their frame slots come first, those of operands after them.
    locals: u32,
    /// Number of operands, from the bottom on, that have frame slots.
    max_depth: u32,
    /// Number of operands, from the bottom on, that are known to be constants or in their frame
    /// slots.
    spilled: usize,
}

impl Frame {
    /// Returns the frame of a function with `locals` words of locals, parameters included.
    pub(super) fn new(mut asm: Assembler, analysis: Analysis, locals: u32) -> Result<Self, Error> {
        asm.clear();
        let mut aliases = Vec::new();
        aliases.try_reserve_exact(locals as usize).map_err(|_| Error::Memory)?;
        aliases.resize(locals as usize, 0);
        let mut function = [None; REGISTERS];
        if analysis.has_call {
            for (reg, entry) in PRESERVED.into_iter().zip(&analysis.hot) {
                if let Some(place) = function.get_mut(usize::from(reg.0)) {
                    *place = Some(entry.local);
                }
            }
        }
        Ok(Self {
            asm,
            analysis,
            now: Snapshot::default(),
            stack: Vec::new(),
            aliases,
            bound: alloc::vec![function],
            locked: 0,
            clock: 0,
            position: 0,
            locals,
            max_depth: 0,
            spilled: 0,
        })
    }

    /// Returns the size of the frame in bytes.
    pub(super) fn size(&self) -> u32 {
        self.locals.saturating_add(self.max_depth).saturating_mul(8)
    }

    /// Returns the frame slot of the operand of this depth, which the frame then has.
    pub(super) fn operand_slot(&mut self, depth: u32) -> u32 {
        self.max_depth = self.max_depth.max(depth.saturating_add(1));
        self.locals.saturating_add(depth)
    }

    /// Returns the depth of the operand that is pushed next.
    fn depth(&self) -> u32 {
        u32::try_from(self.stack.len()).unwrap_or(u32::MAX)
    }

    /// Keeps `reg` from being taken until [`Frame::unlock`].
    pub(super) fn lock(&mut self, reg: Reg) {
        self.locked |= 1 << reg.0;
    }

    /// Returns true if `reg` is locked.
    fn is_locked(&self, reg: Reg) -> bool {
        self.locked & 1 << reg.0 != 0
    }

    /// Returns true if `reg` is free and not locked.
    fn is_available(&self, reg: Reg) -> bool {
        self.now.cell(reg).holder == Holder::Free && !self.is_locked(reg)
    }

    /// Ends an operation: temporaries are free again.
    pub(super) fn unlock(&mut self) {
        self.locked = 0;
        for reg in POOL {
            if let Ok(cell) = self.now.cell_mut(reg)
                && cell.holder == Holder::Temporary
            {
                *cell = Cell::default();
            }
        }
    }

    /// Ends a part of an operation: all temporaries but `kept` are free again.
    pub(super) fn unlock_others(&mut self, kept: Reg) -> Result<(), Error> {
        let cell = self.now.cell(kept);
        self.unlock();
        *self.now.cell_mut(kept)? = cell;
        self.lock(kept);
        Ok(())
    }

    /// Notes a use of `reg`.
    fn touch(&mut self, reg: Reg) -> Result<(), Error> {
        self.clock = self.clock.wrapping_add(1);
        self.now.cell_mut(reg)?.age = self.clock;
        Ok(())
    }

    /// Gives `reg` to `holder`, with no facts about its value.
    pub(super) fn hold(&mut self, reg: Reg, holder: Holder) -> Result<(), Error> {
        *self.now.cell_mut(reg)? = Cell { holder, ..Cell::default() };
        self.touch(reg)
    }

    /// Returns the local that the innermost loop, or else the function, binds to `reg`.
    fn bound_local(&self, reg: Reg) -> Option<u32> {
        self.bound.last().and_then(|bound| bound.get(usize::from(reg.0))).copied().flatten()
    }

    /// Returns the register that `local` is bound to.
    fn bound_reg(&self, local: u32) -> Option<Reg> {
        POOL.into_iter().find(|reg| self.bound_local(*reg) == Some(local))
    }

    /// Returns true if something may still read `local` after the present operator.
    pub(super) fn is_live(&self, local: u32) -> bool {
        self.is_live_after(local, self.position)
    }

    /// Returns true if something may still read `local` after `position`.
    pub(super) fn is_live_after(&self, local: u32, position: u32) -> bool {
        let last = self.analysis.locals.get(local as usize).map_or(u32::MAX, |lifetime| lifetime.last);
        last > position || self.aliases.get(local as usize).is_some_and(|count| *count > 0)
    }

    /// Takes a register for a temporary, and locks it.
    pub(super) fn alloc(&mut self) -> Result<Reg, Error> {
        // First those that no loop wants.
        let reg = POOL
            .into_iter()
            .find(|reg| self.is_available(*reg) && self.bound_local(*reg).is_none())
            .or_else(|| POOL.into_iter().find(|reg| self.is_available(*reg)));
        let reg = match reg {
            Some(reg) => reg,
            None => {
                let victim = POOL
                    .into_iter()
                    .filter(|reg| !self.is_locked(*reg))
                    .filter(|reg| self.now.cell(*reg).holder != Holder::Temporary)
                    .min_by_key(|reg| self.cost(*reg))
                    .ok_or(Error::Internal("no register left"))?;
                self.evict(victim)?;
                victim
            }
        };
        self.hold(reg, Holder::Temporary)?;
        self.lock(reg);
        Ok(reg)
    }

    /// Returns the order in which registers lose their values, the lowest first: by what it costs
    /// to bring the value back, then by age.
    fn cost(&self, reg: Reg) -> (u8, u32) {
        let cell = self.now.cell(reg);
        let class = match cell.holder {
            Holder::Free => 0,
            Holder::Local { local, .. } if !self.is_live(local) => 0,
            Holder::Local { local, .. } if self.bound_local(reg) == Some(local) => 4,
            Holder::Local { is_dirty: false, .. } => 1,
            Holder::Local { is_dirty: true, .. } => 2,
            Holder::Operand(_) | Holder::Temporary => 3,
        };
        (class, cell.age)
    }

    /// Frees `reg`; its value goes to its frame slot if that is needed.
    pub(super) fn evict(&mut self, reg: Reg) -> Result<(), Error> {
        match self.now.cell(reg).holder {
            Holder::Free => {}
            Holder::Local { local, is_dirty } => {
                if is_dirty && self.is_live(local) {
                    self.asm.store_slot(local, RegImm::Reg(reg))?;
                }
            }
            Holder::Operand(depth) => {
                let slot = self.operand_slot(depth);
                self.asm.store_slot(slot, RegImm::Reg(reg))?;
                let operand = self.stack.get_mut(depth as usize).ok_or(Error::Internal("operand"))?;
                operand.value = Value::Slot;
            }
            Holder::Temporary => return Err(Error::Internal("temporary evicted")),
        }
        self.now.free(reg)
    }

    /// Frees a temporary before its operation ends.
    pub(super) fn release(&mut self, reg: Reg) -> Result<(), Error> {
        self.locked &= !(1 << reg.0);
        self.now.free(reg)
    }

    /// Pushes an operand.
    pub(super) fn push(&mut self, value: Value) -> Result<(), Error> {
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
    pub(super) fn pop(&mut self) -> Result<Operand, Error> {
        let operand = self.stack.pop().ok_or(Error::Internal("operand stack empty"))?;
        self.spilled = self.spilled.min(self.stack.len());
        self.lock_popped(operand)?;
        Ok(operand)
    }

    /// Takes the operand that has `above` operands above it. A constant, which nobody may use, is
    /// left in its place.
    pub(super) fn take(&mut self, above: usize) -> Result<Operand, Error> {
        let index = self.index(above)?;
        let place = self.stack.get_mut(index).ok_or(Error::Internal("operand"))?;
        let operand = *place;
        place.value = Value::Const(0);
        self.lock_popped(operand)?;
        Ok(operand)
    }

    /// Makes `reg`, of which no fact is known, the operand that has `above` operands above it,
    /// where one was taken.
    pub(super) fn put(&mut self, above: usize, reg: Reg) -> Result<(), Error> {
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
    pub(super) fn truncate(&mut self, height: usize) -> Result<(), Error> {
        while self.stack.len() > height {
            self.pop()?;
        }
        self.unlock();
        Ok(())
    }

    /// Returns a register that holds the popped `operand`, and locks it. It may be the register of
    /// a local, which must not be written.
    pub(super) fn source(&mut self, operand: Operand) -> Result<Reg, Error> {
        let reg = match operand.value {
            Value::Reg(reg) => reg,
            Value::Const(value) => {
                let reg = self.alloc()?;
                self.asm.constant(reg, value)?;
                reg
            }
            Value::Slot => {
                let reg = self.alloc()?;
                let slot = self.operand_slot(operand.depth);
                self.asm.load_slot(reg, slot)?;
                reg
            }
            Value::Local(local) => match self.now.reg_of(local) {
                Some(reg) => reg,
                None => {
                    let reg = match self.bound_reg(local).filter(|reg| self.is_available(*reg)) {
                        Some(reg) => reg,
                        None => self.alloc()?,
                    };
                    self.asm.load_slot(reg, local)?;
                    self.hold(reg, Holder::Local { local, is_dirty: false })?;
                    reg
                }
            },
        };
        self.lock(reg);
        self.touch(reg)?;
        Ok(reg)
    }

    /// Returns the popped `operand` as the second operand of an instruction of this width.
    pub(super) fn source_or_imm(&mut self, operand: Operand, is_wide: bool) -> Result<RegImm, Error> {
        if let Value::Const(value) = operand.value
            && let Some(imm) = immediate(value, is_wide)
        {
            return Ok(RegImm::Imm(imm));
        }
        self.source(operand).map(RegImm::Reg)
    }

    /// Returns a locked register with the popped `operand` that may be overwritten: `hint`, if it
    /// is given.
    pub(super) fn own(&mut self, operand: Operand, hint: Option<Reg>) -> Result<Reg, Error> {
        if let Some(hint) = hint {
            match operand.value {
                Value::Const(value) => self.asm.constant(hint, value)?,
                Value::Slot => {
                    let slot = self.operand_slot(operand.depth);
                    self.asm.load_slot(hint, slot)?;
                }
                Value::Local(local) if self.now.reg_of(local).is_none() => self.asm.load_slot(hint, local)?,
                Value::Reg(_) | Value::Local(_) => {
                    let reg = self.source(operand)?;
                    self.asm.mov(hint, reg)?;
                }
            }
            self.hold(hint, Holder::Temporary)?;
            self.lock(hint);
            return Ok(hint);
        }
        match operand.value {
            Value::Local(local) => {
                let reg = self.source(operand)?;
                if !self.is_live(local) {
                    self.hold(reg, Holder::Temporary)?;
                    return Ok(reg);
                }
                let copy = self.alloc()?;
                self.asm.mov(copy, reg)?;
                Ok(copy)
            }
            _ => self.source(operand),
        }
    }

    /// Returns the register for a result that the next operator assigns to `local`, other than
    /// those in `busy`, if nothing else needs the present value of `local`.
    pub(super) fn hint(&self, local: Option<u32>, busy: &[Option<Reg>]) -> Option<Reg> {
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
    pub(super) fn settle(&mut self, local: u32) -> Result<(), Error> {
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
    pub(super) fn assign(&mut self, local: u32, keeps: bool) -> Result<(), Error> {
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

    /// Gives operands that are the value of `local` a place of their own, as it is about to change.
    fn detach(&mut self, local: u32) -> Result<(), Error> {
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
    pub(super) fn spill(&mut self, height: usize) -> Result<(), Error> {
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
    pub(super) fn spill_all(&mut self, count: usize) -> Result<(), Error> {
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
    pub(super) fn place_results(&mut self, count: usize) -> Result<(), Error> {
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

    /// Stores what a call would destroy and somebody still needs; the registers keep their values
    /// until the call.
    pub(super) fn save(&mut self) -> Result<(), Error> {
        for reg in POOL {
            if PRESERVED.contains(&reg) {
                continue;
            }
            match self.now.cell(reg).holder {
                Holder::Operand(_) => self.evict(reg)?,
                Holder::Local { local, is_dirty: true } if self.is_live(local) => {
                    self.asm.store_slot(local, RegImm::Reg(reg))?;
                    self.now.cell_mut(reg)?.holder = Holder::Local { local, is_dirty: false };
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Stores what registers that calls preserve hold for a local, so that all locals are in their
    /// frame slots after [`Self::save`].
    pub(super) fn save_preserved(&mut self) -> Result<(), Error> {
        for reg in PRESERVED {
            if let Holder::Local { local, is_dirty: true } = self.now.cell(reg).holder
                && self.is_live(local)
            {
                self.asm.store_slot(local, RegImm::Reg(reg))?;
                self.now.cell_mut(reg)?.holder = Holder::Local { local, is_dirty: false };
            }
        }
        Ok(())
    }

    /// Forgets what a call has destroyed.
    pub(super) fn clobber(&mut self, moves_memory: bool) -> Result<(), Error> {
        for reg in POOL {
            if !PRESERVED.contains(&reg) {
                self.now.free(reg)?;
            }
        }
        self.now.has_base &= !moves_memory;
        self.locked = 0;
        Ok(())
    }

    /// Returns R7, with the base of memory 0.
    pub(super) fn base(&mut self) -> Result<Reg, Error> {
        if !self.now.has_base {
            self.asm.load(crate::ebpf::width::DW, R7, crate::ebpf::R6, memory_offset(0, MemoryField::Base))?;
            self.now.has_base = true;
        }
        Ok(R7)
    }

    /// Claims at the next instruction what is known now.
    pub(super) fn claim(&mut self) {
        let now = self.now;
        claim(&mut self.asm, &now);
    }

    /// Begins a loop: binds registers to the locals that it uses most, and returns the state at its
    /// head.
    pub(super) fn enter_loop(&mut self, number: usize) -> Snapshot {
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
    pub(super) fn leave_loop(&mut self) {
        if self.bound.len() > 1 {
            self.bound.pop();
        }
    }
}

/// Claims at the next instruction what `state` knows.
pub(super) fn claim(asm: &mut Assembler, state: &Snapshot) {
    let mut facts = Vec::new();
    for reg in POOL {
        let cell = state.cell(reg);
        if cell.bytes > 0 {
            let fact = Fact::Index { memory: 0, bytes: cell.bytes, is_masked: cell.is_masked() };
            facts.push((Location::Reg(reg), fact));
        }
    }
    if state.has_base {
        facts.push((Location::Reg(R7), Fact::Base { memory: 0 }));
    }
    asm.claim(&facts);
}

/// Returns `value` as an immediate of an instruction of this width, if it is one.
pub(super) fn immediate(value: u64, is_wide: bool) -> Option<i32> {
    if is_wide { i32::try_from(value.cast_signed()).ok() } else { u32::try_from(value).ok().map(u32::cast_signed) }
}
