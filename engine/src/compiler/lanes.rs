// SPDX-License-Identifier: GPL-2.0

//! Arithmetic and comparisons of integer lanes, by instructions on the two words of a `v128`.
//!
//! The highest bit of each lane is computed apart from the others, so that no carry leaves its lane
//! (H. S. Warren, Hacker's Delight, 2-18).

use super::{
    Error,
    assembler::{
        Condition,
        RegImm, //
    },
    compares::Compare,
    function::Compiler,
    registers::{
        Holder,
        Operand,
        Value, //
    },
};
use crate::ebpf::{
    Reg,
    alu,
    jmp, //
};
use wasmparser::Operator;

/// Width of a lane, in bits: 8, 16 or 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lane(u8);

impl Lane {
    /// A word with the highest bit of each lane.
    fn high_bits(self) -> u64 {
        match self.0 {
            8 => 0x8080_8080_8080_8080,
            16 => 0x8000_8000_8000_8000,
            _ => 0x8000_0000_8000_0000,
        }
    }

    /// A word with all bits of each lane but the highest.
    fn low_bits(self) -> u64 {
        !self.high_bits()
    }
}

/// Operation on each pair of lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product; of lanes of 32 bits only.
    Mul,
    /// All bits set if the lanes are equal.
    Eq,
    /// All bits set if the lanes are not equal.
    Ne,
}

/// Returns the operation and the lanes of a binary operator, if it is compiled here.
pub(super) fn binary_of(operator: &Operator<'_>) -> Option<(Arithmetic, Lane)> {
    use Arithmetic as A;
    Some(match operator {
        Operator::I8x16Add => (A::Add, Lane(8)),
        Operator::I16x8Add => (A::Add, Lane(16)),
        Operator::I32x4Add => (A::Add, Lane(32)),
        Operator::I8x16Sub => (A::Sub, Lane(8)),
        Operator::I16x8Sub => (A::Sub, Lane(16)),
        Operator::I32x4Sub => (A::Sub, Lane(32)),
        Operator::I32x4Mul => (A::Mul, Lane(32)),
        Operator::I8x16Eq => (A::Eq, Lane(8)),
        Operator::I16x8Eq => (A::Eq, Lane(16)),
        Operator::I32x4Eq => (A::Eq, Lane(32)),
        Operator::I8x16Ne => (A::Ne, Lane(8)),
        Operator::I16x8Ne => (A::Ne, Lane(16)),
        Operator::I32x4Ne => (A::Ne, Lane(32)),
        _ => return None,
    })
}

/// Returns the lanes of an `all_true` operator, if it is compiled here.
pub(super) fn all_true_of(operator: &Operator<'_>) -> Option<Lane> {
    Some(match operator {
        Operator::I8x16AllTrue => Lane(8),
        Operator::I16x8AllTrue => Lane(16),
        Operator::I32x4AllTrue => Lane(32),
        _ => return None,
    })
}

/// Returns the instruction of a shift of lanes of 32 bits.
pub(super) fn shift_of(operator: &Operator<'_>) -> Option<u8> {
    Some(match operator {
        Operator::I32x4Shl => alu::LSH,
        Operator::I32x4ShrS => alu::ARSH,
        Operator::I32x4ShrU => alu::RSH,
        _ => return None,
    })
}

impl Compiler<'_> {
    fn constant_register(&mut self, value: u64) -> Result<Reg, Error> {
        let reg = self.frame.alloc()?;
        self.frame.asm.constant(reg, value)?;
        Ok(reg)
    }

    /// Clears the low 32 bits of `reg`.
    fn clear_low_half(&mut self, reg: Reg) -> Result<(), Error> {
        self.frame.asm.alu(alu::RSH, true, reg, RegImm::Imm(32))?;
        self.frame.asm.alu(alu::LSH, true, reg, RegImm::Imm(32))
    }

    /// Compiles a binary operator on lanes.
    pub(super) fn binary_lanes(&mut self, (operation, lane): (Arithmetic, Lane)) -> Result<(), Error> {
        let mask = match (operation, lane) {
            (Arithmetic::Add | Arithmetic::Sub | Arithmetic::Mul, Lane(32)) => None,
            (Arithmetic::Sub, _) => Some(self.constant_register(lane.high_bits())?),
            _ => Some(self.constant_register(lane.low_bits())?),
        };
        for (above, hint) in [3_usize, 2].into_iter().zip(self.next_vector()) {
            let lhs = self.frame.take(above)?;
            let hint = self.frame.hint(hint, &[]);
            // `rhs` is still on the stack: a local that is both operands is in use, so that `own`
            // copies it.
            let dst = self.frame.own(lhs, hint)?;
            let rhs = self.frame.take(above.saturating_sub(2))?;
            let rhs = self.frame.source(rhs)?;
            match (operation, mask) {
                (Arithmetic::Add, Some(low)) => self.add_lanes(dst, rhs, low)?,
                (Arithmetic::Sub, Some(high)) => self.subtract_lanes(dst, rhs, high)?,
                (Arithmetic::Eq | Arithmetic::Ne, Some(low)) => {
                    self.frame.asm.alu(alu::XOR, true, dst, RegImm::Reg(rhs))?;
                    self.mark_zero_lanes(dst, low)?;
                    self.extend_marks(dst, lane)?;
                    if operation == Arithmetic::Ne {
                        self.frame.asm.alu(alu::XOR, true, dst, RegImm::Imm(-1))?;
                    }
                }
                (Arithmetic::Add, _) => self.add_halves(dst, rhs)?,
                (Arithmetic::Sub, _) => self.subtract_halves(dst, rhs)?,
                _ => self.multiply_halves(dst, rhs)?,
            }
            self.frame.put(above, dst)?;
            match mask {
                Some(mask) => self.frame.unlock_others(mask)?,
                None => self.frame.unlock(),
            }
        }
        self.frame.unlock();
        self.drop_taken(2)
    }

    /// `(a & low) + (b & low) ^ (a ^ b) & high`.
    fn add_lanes(&mut self, dst: Reg, rhs: Reg, low: Reg) -> Result<(), Error> {
        let (highest, addend) = (self.frame.alloc()?, self.frame.alloc()?);
        let asm = &mut self.frame.asm;
        asm.mov(highest, dst)?;
        asm.alu(alu::XOR, true, highest, RegImm::Reg(rhs))?;
        // Clears all bits but the highest of each lane.
        asm.alu(alu::OR, true, highest, RegImm::Reg(low))?;
        asm.alu(alu::XOR, true, highest, RegImm::Reg(low))?;
        asm.alu(alu::AND, true, dst, RegImm::Reg(low))?;
        asm.mov(addend, rhs)?;
        asm.alu(alu::AND, true, addend, RegImm::Reg(low))?;
        asm.alu(alu::ADD, true, dst, RegImm::Reg(addend))?;
        asm.alu(alu::XOR, true, dst, RegImm::Reg(highest))
    }

    /// `((a | high) - (b & low)) ^ (a ^ ~b) & high`.
    fn subtract_lanes(&mut self, dst: Reg, rhs: Reg, high: Reg) -> Result<(), Error> {
        let (highest, subtrahend) = (self.frame.alloc()?, self.frame.alloc()?);
        let asm = &mut self.frame.asm;
        asm.mov(highest, dst)?;
        asm.alu(alu::XOR, true, highest, RegImm::Reg(rhs))?;
        asm.alu(alu::XOR, true, highest, RegImm::Imm(-1))?;
        asm.alu(alu::AND, true, highest, RegImm::Reg(high))?;
        asm.alu(alu::OR, true, dst, RegImm::Reg(high))?;
        asm.mov(subtrahend, rhs)?;
        // Clears the highest bit of each lane.
        asm.alu(alu::OR, true, subtrahend, RegImm::Reg(high))?;
        asm.alu(alu::XOR, true, subtrahend, RegImm::Reg(high))?;
        asm.alu(alu::SUB, true, dst, RegImm::Reg(subtrahend))?;
        asm.alu(alu::XOR, true, dst, RegImm::Reg(highest))
    }

    /// Adds the halves of two words.
    fn add_halves(&mut self, dst: Reg, rhs: Reg) -> Result<(), Error> {
        let upper = self.frame.alloc()?;
        self.frame.asm.mov(upper, dst)?;
        self.clear_low_half(upper)?;
        self.frame.asm.alu(alu::ADD, true, upper, RegImm::Reg(rhs))?;
        self.clear_low_half(upper)?;
        self.frame.asm.alu(alu::ADD, false, dst, RegImm::Reg(rhs))?;
        self.frame.asm.alu(alu::OR, true, dst, RegImm::Reg(upper))
    }

    /// Subtracts the halves of two words.
    fn subtract_halves(&mut self, dst: Reg, rhs: Reg) -> Result<(), Error> {
        let upper = self.frame.alloc()?;
        self.frame.asm.mov(upper, rhs)?;
        self.clear_low_half(upper)?;
        self.frame.asm.neg(true, upper)?;
        self.frame.asm.alu(alu::ADD, true, upper, RegImm::Reg(dst))?;
        self.clear_low_half(upper)?;
        self.frame.asm.alu(alu::SUB, false, dst, RegImm::Reg(rhs))?;
        self.frame.asm.alu(alu::OR, true, dst, RegImm::Reg(upper))
    }

    /// Multiplies the halves of two words.
    fn multiply_halves(&mut self, dst: Reg, rhs: Reg) -> Result<(), Error> {
        let (upper, factor) = (self.frame.alloc()?, self.frame.alloc()?);
        let asm = &mut self.frame.asm;
        asm.mov(upper, dst)?;
        asm.alu(alu::RSH, true, upper, RegImm::Imm(32))?;
        asm.mov(factor, rhs)?;
        asm.alu(alu::RSH, true, factor, RegImm::Imm(32))?;
        asm.alu(alu::MUL, true, upper, RegImm::Reg(factor))?;
        asm.alu(alu::LSH, true, upper, RegImm::Imm(32))?;
        asm.alu(alu::MUL, false, dst, RegImm::Reg(rhs))?;
        asm.alu(alu::OR, true, dst, RegImm::Reg(upper))
    }

    /// Sets `dst` to the highest bit of each of its lanes that is zero: `~((x & low) + low | x |
    /// low)`.
    fn mark_zero_lanes(&mut self, dst: Reg, low: Reg) -> Result<(), Error> {
        self.carry_of_lanes(dst, low)?;
        self.frame.asm.alu(alu::XOR, true, dst, RegImm::Imm(-1))
    }

    /// Sets all bits of `dst` but the highest of each lane that is zero: `(x & low) + low | x |
    /// low`.
    fn carry_of_lanes(&mut self, dst: Reg, low: Reg) -> Result<(), Error> {
        let sum = self.frame.alloc()?;
        let asm = &mut self.frame.asm;
        asm.mov(sum, dst)?;
        asm.alu(alu::AND, true, sum, RegImm::Reg(low))?;
        asm.alu(alu::ADD, true, sum, RegImm::Reg(low))?;
        asm.alu(alu::OR, true, dst, RegImm::Reg(sum))?;
        asm.alu(alu::OR, true, dst, RegImm::Reg(low))?;
        self.frame.release(sum)
    }

    /// Sets all bits of each lane whose highest bit is set. The other bits of `dst` are zero.
    fn extend_marks(&mut self, dst: Reg, lane: Lane) -> Result<(), Error> {
        let ones = self.frame.alloc()?;
        let bits = i32::from(lane.0);
        let asm = &mut self.frame.asm;
        asm.alu(alu::RSH, true, dst, RegImm::Imm(bits.saturating_sub(1)))?;
        asm.mov(ones, dst)?;
        asm.alu(alu::LSH, true, dst, RegImm::Imm(bits))?;
        asm.alu(alu::SUB, true, dst, RegImm::Reg(ones))?;
        self.frame.release(ones)
    }

    /// Shifts the lanes of 32 bits.
    pub(super) fn shift_halves(&mut self, op: u8) -> Result<(), Error> {
        self.shift_by(32, |compiler, dst, count| {
            let upper = compiler.frame.alloc()?;
            let asm = &mut compiler.frame.asm;
            asm.mov(upper, dst)?;
            asm.alu(alu::RSH, true, upper, RegImm::Imm(32))?;
            asm.alu(op, false, upper, count)?;
            asm.alu(alu::LSH, true, upper, RegImm::Imm(32))?;
            asm.alu(op, false, dst, count)?;
            asm.alu(alu::OR, true, dst, RegImm::Reg(upper))?;
            compiler.frame.release(upper)
        })
    }

    /// Compiles `all_true`: a test that no lane is zero.
    pub(super) fn all_true(&mut self, lane: Lane) -> Result<(), Error> {
        let high = self.frame.pop()?;
        // `low` is still on the stack, so that `own` copies a local that is both words.
        let reg = self.frame.own(high, None)?;
        let low = self.frame.pop()?;
        let other = self.frame.own(low, None)?;
        let mask = self.constant_register(lane.low_bits())?;
        self.carry_of_lanes(reg, mask)?;
        self.carry_of_lanes(other, mask)?;
        self.frame.asm.alu(alu::AND, true, reg, RegImm::Reg(other))?;
        self.frame.unlock_others(reg)?;
        self.frame.hold(reg, Holder::Temporary)?;
        let lhs = Operand { value: Value::Reg(reg), ..low };
        let rhs = Operand { value: Value::Const(u64::MAX), depth: 0 };
        self.compared(Compare { condition: Condition(jmp::JEQ), is_wide: true, lhs, rhs })
    }

    /// Gathers the highest bits of the lanes of 8 bits.
    pub(super) fn bitmask(&mut self) -> Result<(), Error> {
        /// Multiplied with a word that has only highest bits, this moves the bit of lane `i` to bit
        /// 56 + `i`.
        const GATHER: u64 = 0x0002_0408_1020_4081;
        let high = self.frame.pop()?;
        // `low` is still on the stack, so that `own` copies a local that is both words.
        let upper = self.frame.own(high, None)?;
        let low = self.frame.pop()?;
        let hint = self.frame.hint(self.next_local(), &[Some(upper)]);
        let dst = self.frame.own(low, hint)?;
        let constant = self.constant_register(Lane(8).high_bits())?;
        let asm = &mut self.frame.asm;
        asm.alu(alu::AND, true, dst, RegImm::Reg(constant))?;
        asm.alu(alu::AND, true, upper, RegImm::Reg(constant))?;
        asm.constant(constant, GATHER)?;
        asm.alu(alu::MUL, true, dst, RegImm::Reg(constant))?;
        asm.alu(alu::MUL, true, upper, RegImm::Reg(constant))?;
        asm.alu(alu::RSH, true, dst, RegImm::Imm(56))?;
        asm.alu(alu::RSH, true, upper, RegImm::Imm(56))?;
        asm.alu(alu::LSH, true, upper, RegImm::Imm(8))?;
        asm.alu(alu::OR, true, dst, RegImm::Reg(upper))?;
        self.finish_result(dst)
    }
}
