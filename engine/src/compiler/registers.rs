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
//!
//! This file has the registers, [`operands`] the operand stack, and [`locals`] assignments to
//! locals and the registers that loops bind to locals.

mod locals;
mod operands;

pub(super) use operands::{
    Operand,
    Value, //
};

use super::{
    Error,
    analysis::Analysis,
    assembler::{
        Assembler,
        RegImm, //
    },
};
use crate::{
    ebpf::{
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
const PRESERVED: [Reg; 2] = [R8, R9];

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
    /// Contents of the registers at the next instruction.
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
