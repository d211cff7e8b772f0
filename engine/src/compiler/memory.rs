// SPDX-License-Identifier: GPL-2.0

//! Compiles accesses to linear memory.

use super::{
    Error,
    assembler::{
        Condition,
        RegImm, //
    },
    function::Compiler,
    registers::{
        Operand,
        Value,
        immediate, //
    },
};
use crate::{
    ebpf::{
        R6,
        Reg,
        alu,
        jmp,
        width, //
    },
    vmctx::{
        LIMITS,
        LIMITS_MAX,
        MemoryField,
        TrapReason,
        memory_offset, //
    },
};
use wasmparser::MemArg;

/// A load.
#[derive(Clone, Copy)]
pub(super) struct Load {
    /// Width in the operation code.
    pub(super) width: u8,
    /// Set if it is sign-extended to 64 bits.
    pub(super) is_signed: bool,
    /// Set if what is above 32 bits is cleared then.
    pub(super) is_narrowed: bool,
}

/// Number of bytes of a width.
pub(super) fn bytes(width: u8) -> u64 {
    match width {
        width::B => 1,
        width::H => 2,
        width::W => 4,
        _ => 8,
    }
}

/// A checked address: register and offset.
type Address = Option<(Reg, i16)>;

/// `offset` as the offset of instructions that access `width` bytes, at most 8 each.
fn short(offset: u64, width: u64) -> Option<i16> {
    let last = i16::try_from(offset.checked_add(width.saturating_sub(8))?).ok()?;
    last.checked_sub(i16::try_from(width.saturating_sub(8)).ok()?)
}

impl Compiler<'_> {
    /// Loads.
    pub(super) fn load(&mut self, memarg: MemArg, load: Load) -> Result<(), Error> {
        let Some((base, off)) = self.address(memarg, bytes(load.width))? else { return self.diverge() };
        let hint = self.frame.hint(self.next_local(), &[Some(base)]);
        let dst = match hint {
            Some(reg) => {
                self.frame.hold(reg, super::registers::Holder::Temporary)?;
                reg
            }
            // The address is needed no more, unless it is the base.
            None if base != crate::ebpf::R7 => base,
            None => self.frame.alloc()?,
        };
        if load.is_signed {
            self.frame.asm.load_signed(load.width, dst, base, off)?;
        } else {
            self.frame.asm.load(load.width, dst, base, off)?;
        }
        if load.is_narrowed {
            self.frame.asm.alu(alu::MOV, false, dst, RegImm::Reg(dst))?;
        }
        self.finish_result(dst)
    }

    /// Stores.
    pub(super) fn store(&mut self, memarg: MemArg, width: u8) -> Result<(), Error> {
        let value = self.frame.pop()?;
        let Some((base, off)) = self.address(memarg, bytes(width))? else { return self.diverge() };
        let source = self.frame.source_or_imm(value, width == width::DW)?;
        self.frame.asm.store(width, base, off, source)?;
        self.frame.unlock();
        Ok(())
    }

    /// Pops an address, and checks that `width` bytes are there; none if they cannot be. The
    /// register may be overwritten unless it is R7.
    pub(super) fn address(&mut self, memarg: MemArg, width: u64) -> Result<Address, Error> {
        let operand = self.frame.pop()?;
        self.address_of(operand, memarg, width)
    }

    /// Like [`Compiler::address`], of a popped operand.
    pub(super) fn address_of(&mut self, operand: Operand, memarg: MemArg, width: u64) -> Result<Address, Error> {
        let memory = memarg.memory;
        let minimum = self.declarations.memories.get(memory as usize).copied().unwrap_or(0);
        // Every memory is smaller than 4 GiB.
        let need = memarg.offset.checked_add(width).and_then(|need| u32::try_from(need).ok());
        let Some(need) = need else {
            let trap = self.trap(TrapReason::MemoryBounds);
            self.frame.asm.jump(trap)?;
            return Ok(None);
        };
        if let Value::Const(index) = operand.value
            && let Some(start) = index.checked_add(memarg.offset)
            && start.checked_add(width).is_some_and(|end| end <= minimum)
        {
            return self.fixed(memory, start, width).map(Some);
        }
        let reg = self.frame.source(operand)?;
        let known = if memory == 0 { self.frame.now.cell(reg).bytes } else { 0 };
        if known < need {
            let scratch = self.frame.alloc()?;
            let is_small = i32::try_from(need).is_ok();
            if is_small {
                self.check(reg, memory, need.into(), scratch)?;
            } else {
                self.check_far(reg, memory, need, scratch)?;
            }
            // The checker knows one memory of an index, so that a check for another one takes the
            // fact away.
            let bytes = match memory {
                0 if is_small => need,
                0 => known,
                _ => 0,
            };
            let cell = self.frame.now.cell_mut(reg)?;
            cell.has_mask &= known > 0;
            cell.bytes = bytes;
            self.frame.release(scratch)?;
        }
        if self.declarations.has_masks {
            return self.masked_sum(operand, reg, memarg, width).map(Some);
        }
        let address = self.sum(operand, reg, memory)?;
        let off = if let Some(off) = short(memarg.offset, width) {
            off
        } else {
            self.add(address, memarg.offset)?;
            0
        };
        Ok(Some((address, off)))
    }

    /// Adds a constant to an address.
    fn add(&mut self, address: Reg, value: u64) -> Result<(), Error> {
        if let Some(imm) = immediate(value, true) {
            return self.frame.asm.alu(alu::ADD, true, address, RegImm::Imm(imm));
        }
        let more = self.frame.alloc()?;
        self.frame.asm.constant(more, value)?;
        self.frame.asm.alu(alu::ADD, true, address, RegImm::Reg(more))?;
        self.frame.release(more)
    }

    /// A register with the address of index `reg`.
    fn sum(&mut self, operand: Operand, reg: Reg, memory: u32) -> Result<Reg, Error> {
        if memory == 0 {
            let base = self.frame.base()?;
            if operand.value == Value::Reg(reg) {
                self.frame.asm.alu(alu::ADD, true, reg, RegImm::Reg(base))?;
                self.frame.now.cell_mut(reg)?.bytes = 0;
                return Ok(reg);
            }
            let address = self.frame.alloc()?;
            self.frame.asm.mov(address, base)?;
            self.frame.asm.alu(alu::ADD, true, address, RegImm::Reg(reg))?;
            return Ok(address);
        }
        let address = self.frame.alloc()?;
        self.frame.asm.load(width::DW, address, R6, memory_offset(memory, MemoryField::Base))?;
        self.frame.asm.alu(alu::ADD, true, address, RegImm::Reg(reg))?;
        Ok(address)
    }

    /// A register with the address of index `reg`, which is masked before, and the offset for the
    /// access.
    fn masked_sum(&mut self, operand: Operand, reg: Reg, memarg: MemArg, width: u64) -> Result<(Reg, i16), Error> {
        let (memory, offset) = (memarg.memory, memarg.offset);
        if let Some(off) = short(offset, width) {
            if memory != 0 || !self.frame.now.cell(reg).is_masked() {
                let scratch = self.frame.alloc()?;
                // The register may be a local's: the value of a checked index does not change.
                self.mask(reg, memory, scratch)?;
                self.frame.release(scratch)?;
                self.frame.now.cell_mut(reg)?.has_mask = memory == 0;
            }
            return Ok((self.sum(operand, reg, memory)?, off));
        }
        // The sum of index and offset is an index, too.
        let index = if operand.value == Value::Reg(reg) {
            self.frame.now.cell_mut(reg)?.bytes = 0;
            reg
        } else {
            let copy = self.frame.alloc()?;
            self.frame.asm.mov(copy, reg)?;
            copy
        };
        self.add(index, offset)?;
        let scratch = self.frame.alloc()?;
        self.mask(index, memory, scratch)?;
        self.frame.release(scratch)?;
        Ok((self.sum(Operand { value: Value::Reg(index), ..operand }, index, memory)?, 0))
    }

    /// Masks index `reg`, which has been checked.
    pub(super) fn mask(&mut self, reg: Reg, memory: u32, scratch: Reg) -> Result<(), Error> {
        self.frame.asm.load(width::DW, scratch, R6, memory_offset(memory, MemoryField::Mask))?;
        self.frame.asm.alu(alu::AND, true, reg, RegImm::Reg(scratch))
    }

    /// Address of byte `start`, which every memory of this type has.
    fn fixed(&mut self, memory: u32, start: u64, width: u64) -> Result<(Reg, i16), Error> {
        if memory == 0 {
            let base = self.frame.base()?;
            if let Some(off) = short(start, width) {
                return Ok((base, off));
            }
            let address = self.frame.alloc()?;
            self.frame.asm.mov(address, base)?;
            self.add(address, start)?;
            return Ok((address, 0));
        }
        let address = self.frame.alloc()?;
        self.frame.asm.load(width::DW, address, R6, memory_offset(memory, MemoryField::Base))?;
        self.add(address, start)?;
        Ok((address, 0))
    }

    /// Traps unless `need` bytes, too many for an immediate, lie behind index `reg`.
    fn check_far(&mut self, reg: Reg, memory: u32, need: u32, scratch: Reg) -> Result<(), Error> {
        let minimum = self.declarations.memories.get(memory as usize).copied().unwrap_or(0);
        let trap = self.trap(TrapReason::MemoryBounds);
        let limit = self.frame.alloc()?;
        self.frame.asm.constant(limit, need.into())?;
        self.frame.asm.load(width::DW, scratch, R6, memory_offset(memory, MemoryField::Size))?;
        if minimum < need.into() {
            self.frame.asm.jump_if(Condition(jmp::JLT), true, scratch, RegImm::Reg(limit), trap)?;
        }
        self.frame.asm.alu(alu::SUB, true, scratch, RegImm::Reg(limit))?;
        self.frame.asm.jump_if(Condition(jmp::JGT), true, reg, RegImm::Reg(scratch), trap)?;
        self.frame.release(limit)
    }

    /// Traps unless `need` bytes lie behind index `reg`.
    pub(super) fn check(&mut self, reg: Reg, memory: u32, need: u64, scratch: Reg) -> Result<(), Error> {
        let minimum = self.declarations.memories.get(memory as usize).copied().unwrap_or(0);
        let trap = self.trap(TrapReason::MemoryBounds);
        let imm = immediate(need, true).ok_or(Error::Internal("offset of a check"))?;
        let word = i16::try_from(need).ok().filter(|need| (1..=LIMITS_MAX).contains(&u32::from(need.unsigned_abs())));
        if let Some(word) = word.filter(|_| memory == 0 && need <= minimum) {
            let off = LIMITS.saturating_add(word.saturating_sub(1).saturating_mul(8));
            self.frame.asm.load(width::DW, scratch, R6, off)?;
            return self.frame.asm.jump_if(Condition(jmp::JGT), true, reg, RegImm::Reg(scratch), trap);
        }
        self.frame.asm.load(width::DW, scratch, R6, memory_offset(memory, MemoryField::Size))?;
        if minimum < need {
            self.frame.asm.jump_if(Condition(jmp::JLT), true, scratch, RegImm::Imm(imm), trap)?;
        }
        self.frame.asm.alu(alu::SUB, true, scratch, RegImm::Imm(imm))?;
        self.frame.asm.jump_if(Condition(jmp::JGT), true, reg, RegImm::Reg(scratch), trap)
    }
}
