// SPDX-License-Identifier: GPL-2.0

//! Compiles compares and selections.

use super::{
    Error,
    assembler::{
        Condition,
        RegImm, //
    },
    function::Compiler,
    registers::{
        Holder,
        Operand,
        Value,
        immediate, //
    },
};
use crate::ebpf::{
    Reg,
    alu,
    jmp, //
};
use wasmparser::Operator;

/// A compare whose result the next operator uses.
#[derive(Clone, Copy)]
pub(super) struct Compare {
    pub(super) condition: Condition,
    pub(super) is_wide: bool,
    pub(super) lhs: Operand,
    pub(super) rhs: Operand,
}

impl Compare {
    /// Returns the compare whose result is the opposite.
    pub(super) fn inverse(self) -> Self {
        Self { condition: self.condition.inverse(), ..self }
    }
}

impl Compiler<'_> {
    pub(super) fn is_zero(&mut self, is_wide: bool) -> Result<(), Error> {
        let lhs = self.frame.pop()?;
        let rhs = Operand { value: Value::Const(0), depth: 0 };
        self.compared(Compare { condition: Condition(jmp::JEQ), is_wide, lhs, rhs })
    }

    /// Leaves a compare to the next operator if that can use it.
    pub(super) fn compared(&mut self, compare: Compare) -> Result<(), Error> {
        if matches!(
            self.next,
            Some(
                Operator::BrIf { .. }
                    | Operator::If { .. }
                    | Operator::I32Eqz
                    | Operator::Select
                    | Operator::TypedSelect { .. }
            )
        ) {
            self.compare = Some(compare);
            return Ok(());
        }
        let flag = self.flag(&compare)?;
        self.finish_result(flag)
    }

    /// A register with 1 if `compare` holds, else 0.
    pub(super) fn flag(&mut self, compare: &Compare) -> Result<Reg, Error> {
        if compare.is_wide {
            return self.flag_by_jump(compare);
        }
        let dst = self.sign(compare, &[])?;
        self.frame.asm.alu(alu::RSH, true, dst, RegImm::Imm(63))?;
        Ok(dst)
    }

    /// A register whose highest bit is set if `compare`, a narrow one, holds. The registers in
    /// `busy` keep their values.
    fn sign(&mut self, compare: &Compare, busy: &[Reg]) -> Result<Reg, Error> {
        let (mut lhs, mut rhs, mut condition) = (compare.lhs, compare.rhs, compare.condition);
        // In 64 bits a difference of 32 bits shows by its sign which is less.
        let is_signed = matches!(condition.0, jmp::JSLT | jmp::JSGT | jmp::JSLE | jmp::JSGE);
        if matches!(condition.0, jmp::JGT | jmp::JSGT | jmp::JGE | jmp::JSGE) {
            core::mem::swap(&mut lhs, &mut rhs);
            condition = condition.swapped();
        }
        let dst = self.own_apart(lhs, busy)?;
        if is_signed {
            self.frame.asm.alu_with(alu::MOV, true, dst, RegImm::Reg(dst), 32)?;
        }
        let source = match rhs.value {
            // The register may be the only place of the local, and no longer be its own.
            Value::Local(_) if rhs.value == lhs.value => RegImm::Reg(dst),
            Value::Const(value) if is_signed || value <= i32::MAX as u64 => {
                RegImm::Imm(i32::try_from(value.cast_signed()).unwrap_or_else(|_| low(value)))
            }
            _ if is_signed => {
                let copy = self.own_apart(rhs, busy)?;
                self.frame.asm.alu_with(alu::MOV, true, copy, RegImm::Reg(copy), 32)?;
                RegImm::Reg(copy)
            }
            _ => RegImm::Reg(self.frame.source(rhs)?),
        };
        let asm = &mut self.frame.asm;
        match condition.0 {
            jmp::JEQ => {
                if source != RegImm::Imm(0) {
                    asm.alu(alu::XOR, true, dst, source)?;
                }
                asm.alu(alu::SUB, true, dst, RegImm::Imm(1))?;
            }
            jmp::JNE => {
                if source != RegImm::Imm(0) {
                    asm.alu(alu::XOR, true, dst, source)?;
                }
                asm.neg(true, dst)?;
            }
            jmp::JLT | jmp::JSLT => asm.alu(alu::SUB, true, dst, source)?,
            _ => {
                asm.alu(alu::SUB, true, dst, source)?;
                asm.alu(alu::SUB, true, dst, RegImm::Imm(1))?;
            }
        }
        self.frame.now.cell_mut(dst)?.bytes = 0;
        Ok(dst)
    }

    /// A register with the popped `operand` that may be overwritten, other than those in `busy`.
    fn own_apart(&mut self, operand: Operand, busy: &[Reg]) -> Result<Reg, Error> {
        let reg = self.frame.own(operand, None)?;
        if !busy.contains(&reg) {
            return Ok(reg);
        }
        let copy = self.frame.alloc()?;
        self.frame.asm.mov(copy, reg)?;
        Ok(copy)
    }

    fn flag_by_jump(&mut self, compare: &Compare) -> Result<Reg, Error> {
        let dst = self.frame.alloc()?;
        let done = self.frame.asm.label();
        // Sources first: the code up to the label is for one of two paths.
        let (mut lhs, mut rhs, mut condition) = (compare.lhs, compare.rhs, compare.condition);
        if matches!(lhs.value, Value::Const(_)) {
            core::mem::swap(&mut lhs, &mut rhs);
            condition = condition.swapped();
        }
        let reg = self.frame.source(lhs)?;
        let source = self.frame.source_or_imm(rhs, true)?;
        self.frame.asm.constant(dst, 1)?;
        self.frame.asm.jump_if(condition, true, reg, source, done)?;
        self.frame.asm.constant(dst, 0)?;
        self.frame.now.cell_mut(dst)?.bytes = 0;
        self.frame.asm.bind(done)?;
        self.frame.claim();
        Ok(dst)
    }

    pub(super) fn select(&mut self) -> Result<(), Error> {
        let compare = self.condition()?;
        let other = self.frame.pop()?;
        let first = self.frame.pop()?;
        if compare.is_wide {
            return self.select_by_jump(compare, first, other);
        }
        // The condition is often unpredictable, and a mispredicted jump costs more than a mask.
        match (first.value, other.value) {
            (Value::Const(one), Value::Const(two)) => self.select_constant(compare, (first, one), (other, two)),
            (Value::Const(_), _) => self.select_by_mask(compare.inverse(), other, first),
            _ => self.select_by_mask(compare, first, other),
        }
    }

    /// A register with all bits set if `compare`, a narrow one, holds, else 0. The registers in
    /// `busy` keep their values.
    pub(super) fn compare_mask(&mut self, compare: &Compare, busy: &[Reg]) -> Result<Reg, Error> {
        let dst = self.sign(compare, busy)?;
        self.frame.asm.alu(alu::ARSH, true, dst, RegImm::Imm(63))?;
        Ok(dst)
    }

    /// Selects one of two constants.
    fn select_constant(&mut self, compare: Compare, first: (Operand, u64), other: (Operand, u64)) -> Result<(), Error> {
        let is_narrow = first.1.max(other.1) <= u64::from(u32::MAX);
        let difference = immediate(first.1 ^ other.1, !is_narrow);
        let (Some(difference), Some(base)) = (difference, immediate(other.1, !is_narrow)) else {
            return self.select_by_jump(compare, first.0, other.0);
        };
        let dst = self.compare_mask(&compare, &[])?;
        self.frame.asm.alu(alu::AND, !is_narrow, dst, RegImm::Imm(difference))?;
        if base != 0 {
            self.frame.asm.alu(alu::XOR, !is_narrow, dst, RegImm::Imm(base))?;
        }
        self.finish_result(dst)
    }

    /// Selects by `other ^ (first ^ other) & mask`.
    fn select_by_mask(&mut self, compare: Compare, first: Operand, other: Operand) -> Result<(), Error> {
        // The compare may take the registers of locals for good, so the values come first.
        let first_reg = self.frame.source(first)?;
        let other = self.frame.source_or_imm(other, true)?;
        let other_reg = match other {
            RegImm::Reg(reg) => Some(reg),
            RegImm::Imm(_) => None,
        };
        let mask = self.compare_mask(&compare, &[first_reg, other_reg.unwrap_or(first_reg)])?;
        if other == RegImm::Imm(0) {
            self.frame.asm.alu(alu::AND, true, mask, RegImm::Reg(first_reg))?;
            return self.finish_result(mask);
        }
        let is_free = match self.frame.now.cell(first_reg).holder {
            Holder::Temporary => true,
            Holder::Local { local, .. } => !self.frame.is_live(local),
            Holder::Free | Holder::Operand(_) => false,
        };
        let dst = if is_free && other_reg != Some(first_reg) {
            self.frame.hold(first_reg, Holder::Temporary)?;
            first_reg
        } else {
            self.destination(&[other_reg])?
        };
        self.frame.asm.mov(dst, first_reg)?;
        self.frame.asm.alu(alu::XOR, true, dst, other)?;
        self.frame.asm.alu(alu::AND, true, dst, RegImm::Reg(mask))?;
        self.frame.asm.alu(alu::XOR, true, dst, other)?;
        self.finish_result(dst)
    }

    fn select_by_jump(&mut self, mut compare: Compare, first: Operand, other: Operand) -> Result<(), Error> {
        if matches!(compare.lhs.value, Value::Const(_)) {
            core::mem::swap(&mut compare.lhs, &mut compare.rhs);
            compare.condition = compare.condition.swapped();
        }
        let lhs = self.frame.source(compare.lhs)?;
        let rhs = self.frame.source_or_imm(compare.rhs, compare.is_wide)?;
        let is_small = |operand: &Operand| matches!(operand.value, Value::Const(value) if i32::try_from(value.cast_signed()).is_ok() || u32::try_from(value).is_ok());
        let other_reg = if is_small(&other) { None } else { Some(self.frame.source(other)?) };
        let rhs_reg = match rhs {
            RegImm::Reg(reg) => Some(reg),
            RegImm::Imm(_) => None,
        };
        let busy = [Some(lhs), rhs_reg, other_reg];
        let hint = self.frame.hint(self.next_local(), &busy);
        let mut dst = self.frame.own(first, hint)?;
        if busy.contains(&Some(dst)) {
            // The first value is in a register that is used otherwise, too.
            let copy = self.frame.alloc()?;
            self.frame.asm.mov(copy, dst)?;
            dst = copy;
        }
        let done = self.frame.asm.label();
        self.frame.asm.jump_if(compare.condition, compare.is_wide, lhs, rhs, done)?;
        match (other_reg, other.value) {
            (Some(reg), _) => self.frame.asm.mov(dst, reg)?,
            (None, Value::Const(value)) => self.frame.asm.constant(dst, value)?,
            _ => return Err(Error::Internal("select")),
        }
        self.frame.now.cell_mut(dst)?.bytes = 0;
        self.frame.asm.bind(done)?;
        self.frame.claim();
        self.finish_result(dst)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is the value")]
fn low(value: u64) -> i32 {
    (value as u32).cast_signed()
}
