// SPDX-License-Identifier: GPL-2.0

//! Compiles SIMD operators. A `v128` is two operands of 64 bits, the low word below the high one.
//!
//! Constants, loads, stores, splats, access to lanes, bitwise operators, and `add`, `sub`, `mul`,
//! `neg` and the shifts of `i64x2` are compiled to instructions on the words; so are the operators
//! in [`super::lanes`]. [`Helper::Simd`] computes the others.

use super::{
    Error,
    assembler::{
        Condition,
        RegImm, //
    },
    function::{
        Compiler,
        args_offset, //
    },
    lanes,
    memory::{
        Load,
        bytes, //
    },
    registers::{
        Holder,
        Operand,
        Value, //
    },
};
use crate::{
    ebpf::{
        R6,
        R7,
        Reg,
        alu,
        jmp,
        width, //
    },
    simd::{
        Operation,
        words, //
    },
    vmctx::Helper,
};
use wasmparser::{
    MemArg,
    Operator, //
};

/// Operation, width and commutativity of an operator that computes each word of its operands.
fn binary_of(operator: &Operator<'_>) -> Option<(u8, bool, bool)> {
    Some(match operator {
        Operator::V128And => (alu::AND, true, true),
        Operator::V128Or => (alu::OR, true, true),
        Operator::V128Xor => (alu::XOR, true, true),
        Operator::I64x2Add => (alu::ADD, true, true),
        Operator::I64x2Sub => (alu::SUB, true, false),
        Operator::I64x2Mul => (alu::MUL, true, true),
        _ => return None,
    })
}

/// Zero-extending load of `width`, for a value that becomes one lane or every lane.
fn load(width: u8) -> Load {
    Load { width, is_signed: false, is_narrowed: false }
}

/// Number of bits of a width.
fn bits(width: u8) -> u8 {
    match width {
        width::B => 8,
        width::H => 16,
        width::W => 32,
        _ => 64,
    }
}

/// Place of a lane: whether it is in the high word, and the number of its lowest bit in that word.
fn place(width: u8, lane: u8) -> (bool, i32) {
    let first = u32::from(lane).saturating_mul(bits(width).into());
    (first >= 64, i32::try_from(first & 63).unwrap_or(0))
}

impl<'a> Compiler<'a> {
    /// Compiles a SIMD operator.
    pub(super) fn simd(&mut self, operator: &Operator<'a>) -> Result<(), Error> {
        use Operator as O;
        if let Some(operation) = binary_of(operator) {
            return self.binary_vector(operation);
        }
        if let Some(operation) = lanes::binary_of(operator) {
            return self.binary_lanes(operation);
        }
        if let Some(op) = lanes::shift_of(operator) {
            return self.shift_halves(op);
        }
        if let Some(lane) = lanes::all_true_of(operator) {
            return self.all_true(lane);
        }
        match *operator {
            O::V128Const { value } => self.constant_vector(u128::from_le_bytes(*value.bytes())),
            O::V128Load { memarg } => self.load_vector(memarg),
            O::V128Store { memarg } => self.store_vector(memarg),
            O::V128Load8Splat { memarg } => self.load_splat(memarg, width::B),
            O::V128Load16Splat { memarg } => self.load_splat(memarg, width::H),
            O::V128Load32Splat { memarg } => self.load_splat(memarg, width::W),
            O::V128Load64Splat { memarg } => self.load_splat(memarg, width::DW),
            O::V128Load32Zero { memarg } => self.load_zero(memarg, width::W),
            O::V128Load64Zero { memarg } => self.load_zero(memarg, width::DW),
            O::V128Load8x8S { memarg } => self.load_extended(memarg, Operation::I16x8ExtendLowI8x16S),
            O::V128Load8x8U { memarg } => self.load_extended(memarg, Operation::I16x8ExtendLowI8x16U),
            O::V128Load16x4S { memarg } => self.load_extended(memarg, Operation::I32x4ExtendLowI16x8S),
            O::V128Load16x4U { memarg } => self.load_extended(memarg, Operation::I32x4ExtendLowI16x8U),
            O::V128Load32x2S { memarg } => self.load_extended(memarg, Operation::I64x2ExtendLowI32x4S),
            O::V128Load32x2U { memarg } => self.load_extended(memarg, Operation::I64x2ExtendLowI32x4U),
            O::V128Load8Lane { memarg, lane } => self.load_lane(memarg, width::B, lane),
            O::V128Load16Lane { memarg, lane } => self.load_lane(memarg, width::H, lane),
            O::V128Load32Lane { memarg, lane } => self.load_lane(memarg, width::W, lane),
            O::V128Load64Lane { memarg, lane } => self.load_lane(memarg, width::DW, lane),
            O::V128Store8Lane { memarg, lane } => self.store_lane(memarg, width::B, lane),
            O::V128Store16Lane { memarg, lane } => self.store_lane(memarg, width::H, lane),
            O::V128Store32Lane { memarg, lane } => self.store_lane(memarg, width::W, lane),
            O::V128Store64Lane { memarg, lane } => self.store_lane(memarg, width::DW, lane),
            O::I8x16ExtractLaneS { lane } => self.extract_lane(width::B, lane, true),
            O::I8x16ExtractLaneU { lane } => self.extract_lane(width::B, lane, false),
            O::I16x8ExtractLaneS { lane } => self.extract_lane(width::H, lane, true),
            O::I16x8ExtractLaneU { lane } => self.extract_lane(width::H, lane, false),
            O::I32x4ExtractLane { lane } | O::F32x4ExtractLane { lane } => self.extract_lane(width::W, lane, false),
            O::I64x2ExtractLane { lane } | O::F64x2ExtractLane { lane } => self.extract_lane(width::DW, lane, false),
            O::I8x16ReplaceLane { lane } => self.replace_lane(width::B, lane),
            O::I16x8ReplaceLane { lane } => self.replace_lane(width::H, lane),
            O::I32x4ReplaceLane { lane } | O::F32x4ReplaceLane { lane } => self.replace_lane(width::W, lane),
            O::I64x2ReplaceLane { lane } | O::F64x2ReplaceLane { lane } => self.replace_lane(width::DW, lane),
            O::I8x16Splat => self.splat(width::B),
            O::I16x8Splat => self.splat(width::H),
            O::I32x4Splat | O::F32x4Splat => self.splat(width::W),
            O::I64x2Splat | O::F64x2Splat => self.splat(width::DW),
            O::V128Not => {
                self.unary_vector(|compiler, reg| compiler.frame.asm.alu(alu::XOR, true, reg, RegImm::Imm(-1)))
            }
            O::I64x2Neg => self.unary_vector(|compiler, reg| compiler.frame.asm.neg(true, reg)),
            O::I64x2Shl => self.shift(alu::LSH),
            O::I64x2ShrS => self.shift(alu::ARSH),
            O::I64x2ShrU => self.shift(alu::RSH),
            O::V128AndNot => self.and_not(),
            O::V128Bitselect
            | O::I8x16RelaxedLaneselect
            | O::I16x8RelaxedLaneselect
            | O::I32x4RelaxedLaneselect
            | O::I64x2RelaxedLaneselect => self.bitselect(),
            O::V128AnyTrue => self.any_true(),
            O::I8x16Bitmask => self.bitmask(),
            O::I8x16Shuffle { lanes } => {
                self.constant_vector(u128::from_le_bytes(lanes))?;
                self.call_simd(Operation::I8x16Shuffle)
            }
            _ => match Operation::from_operator(operator) {
                Some(operation) => self.call_simd(operation),
                None => Err(Error::Unsupported("a SIMD operator")),
            },
        }
    }

    /// The word of a local, or both words of a `v128`.
    pub(super) fn local(&self, index: u32) -> Result<(u32, Option<u32>), Error> {
        let (word, is_vector) = self.locals.locate(index).ok_or(Error::Internal("local"))?;
        Ok((word, is_vector.then(|| word.saturating_add(1))))
    }

    /// Pushes both words of a `v128` local.
    pub(super) fn push_vector(&mut self, low: u32, high: u32) -> Result<(), Error> {
        self.frame.push(Value::Local(low))?;
        self.frame.push(Value::Local(high))
    }

    /// Assigns the `v128` on top of the stack to a local; it stays on the stack if `keeps`.
    pub(super) fn assign_vector(&mut self, low: u32, high: u32, keeps: bool) -> Result<(), Error> {
        let lifetime = self.frame.analysis.locals.get(low as usize);
        if keeps && lifetime.is_some_and(|lifetime| lifetime.last <= self.frame.position) {
            // No later operator reads the local.
            return Ok(());
        }
        self.frame.assign(high, false)?;
        self.frame.assign(low, false)?;
        if keeps { self.push_vector(low, high) } else { Ok(()) }
    }

    fn constant_vector(&mut self, value: u128) -> Result<(), Error> {
        for word in words(value) {
            self.frame.push(Value::Const(word))?;
        }
        Ok(())
    }

    /// Pops `count` words whose values were taken, and unlocks their registers.
    pub(super) fn drop_taken(&mut self, count: usize) -> Result<(), Error> {
        for _ in 0..count {
            self.frame.pop()?;
        }
        self.frame.unlock();
        Ok(())
    }

    /// Calls [`Helper::Simd`] with the topmost operands, and pushes the result.
    fn call_simd(&mut self, operation: Operation) -> Result<(), Error> {
        self.pass_all(operation.operands(), 0)?;
        self.call_helper(Helper::Simd, &[operation as u64], 0, true)?;
        if operation.has_vector() {
            let [_, hint] = self.next_vector();
            let high = self.word(hint, &[])?;
            self.frame.asm.load(width::DW, high, R6, args_offset(1)?)?;
            self.frame.push(Value::Reg(high))?;
        }
        self.frame.unlock();
        Ok(())
    }

    /// Returns a register for a word of a result: that of `local`, which the next operator assigns,
    /// if possible.
    fn word(&mut self, local: Option<u32>, busy: &[Option<Reg>]) -> Result<Reg, Error> {
        let Some(reg) = self.frame.hint(local, busy) else { return self.frame.alloc() };
        self.frame.hold(reg, Holder::Temporary)?;
        self.frame.lock(reg);
        Ok(reg)
    }

    fn binary_vector(&mut self, operation: (u8, bool, bool)) -> Result<(), Error> {
        for (above, hint) in [3_usize, 2].into_iter().zip(self.next_vector()) {
            let rhs = self.frame.take(above.saturating_sub(2))?;
            let lhs = self.frame.take(above)?;
            let dst = self.combine(operation, lhs, rhs, hint)?;
            self.frame.put(above, dst)?;
            self.frame.unlock();
        }
        self.drop_taken(2)
    }

    fn unary_vector(&mut self, compute: impl Fn(&mut Self, Reg) -> Result<(), Error>) -> Result<(), Error> {
        for (above, hint) in [1, 0].into_iter().zip(self.next_vector()) {
            let operand = self.frame.take(above)?;
            let hint = self.frame.hint(hint, &[]);
            let dst = self.frame.own(operand, hint)?;
            compute(self, dst)?;
            self.frame.put(above, dst)?;
            self.frame.unlock();
        }
        Ok(())
    }

    /// Shifts both words by the top operand, a count modulo `bits`. `shift` shifts one word.
    pub(super) fn shift_by(
        &mut self,
        bits: u64,
        shift: impl Fn(&mut Self, Reg, RegImm) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let count = self.frame.pop()?;
        let source = match count.value {
            Value::Const(count) => RegImm::Imm(i32::try_from(count & bits.saturating_sub(1)).unwrap_or(0)),
            _ => RegImm::Reg(self.frame.source(count)?),
        };
        let busy = match source {
            RegImm::Reg(reg) => Some(reg),
            RegImm::Imm(_) => None,
        };
        for (above, hint) in [1, 0].into_iter().zip(self.next_vector()) {
            let operand = self.frame.take(above)?;
            let hint = self.frame.hint(hint, &[busy]);
            let dst = self.frame.own(operand, hint)?;
            shift(self, dst, source)?;
            self.frame.put(above, dst)?;
        }
        self.frame.unlock();
        Ok(())
    }

    /// Shifts the lanes of 64 bits.
    fn shift(&mut self, op: u8) -> Result<(), Error> {
        self.shift_by(64, |compiler, dst, count| compiler.frame.asm.alu(op, true, dst, count))
    }

    fn and_not(&mut self) -> Result<(), Error> {
        for (above, hint) in [3_usize, 2].into_iter().zip(self.next_vector()) {
            // `lhs` is still on the stack: a local that is both operands is in use, so that `own`
            // copies it.
            let operand = self.frame.take(above.saturating_sub(2))?;
            let inverse = self.frame.own(operand, None)?;
            self.frame.asm.alu(alu::XOR, true, inverse, RegImm::Imm(-1))?;
            let lhs = self.frame.take(above)?;
            let rhs = Operand { value: Value::Reg(inverse), ..operand };
            let dst = self.combine((alu::AND, true, true), lhs, rhs, hint)?;
            self.frame.put(above, dst)?;
            self.frame.unlock();
        }
        self.drop_taken(2)
    }

    /// Selects by `other ^ (first ^ other) & mask`.
    fn bitselect(&mut self) -> Result<(), Error> {
        for (above, hint) in [5_usize, 4].into_iter().zip(self.next_vector()) {
            let first = self.frame.take(above)?;
            let hint = self.frame.hint(hint, &[]);
            let dst = self.frame.own(first, hint)?;
            let other = self.frame.take(above.saturating_sub(2))?;
            let other = self.frame.source_or_imm(other, true)?;
            let mask = self.frame.take(above.saturating_sub(4))?;
            let mask = self.frame.source_or_imm(mask, true)?;
            self.frame.asm.alu(alu::XOR, true, dst, other)?;
            self.frame.asm.alu(alu::AND, true, dst, mask)?;
            self.frame.asm.alu(alu::XOR, true, dst, other)?;
            self.frame.put(above, dst)?;
            self.frame.unlock();
        }
        self.drop_taken(4)
    }

    /// `select` of two `v128`.
    pub(super) fn select_vector(&mut self) -> Result<(), Error> {
        let compare = self.condition()?;
        let mask = if compare.is_wide {
            let flag = self.flag(&compare)?;
            self.frame.asm.neg(true, flag)?;
            flag
        } else {
            self.compare_mask(&compare, &[])?
        };
        self.frame.unlock_others(mask)?;
        for above in [3_usize, 2] {
            let first = self.frame.take(above)?;
            let dst = self.frame.own(first, None)?;
            let other = self.frame.take(above.saturating_sub(2))?;
            let other = self.frame.source_or_imm(other, true)?;
            self.frame.asm.alu(alu::XOR, true, dst, other)?;
            self.frame.asm.alu(alu::AND, true, dst, RegImm::Reg(mask))?;
            self.frame.asm.alu(alu::XOR, true, dst, other)?;
            self.frame.put(above, dst)?;
            self.frame.unlock_others(mask)?;
        }
        self.frame.unlock();
        self.drop_taken(2)
    }

    fn any_true(&mut self) -> Result<(), Error> {
        let high = self.frame.pop()?;
        let low = self.frame.pop()?;
        let reg = self.combine((alu::OR, true, true), low, high, None)?;
        self.frame.hold(reg, Holder::Temporary)?;
        let lhs = Operand { value: Value::Reg(reg), ..low };
        let rhs = Operand { value: Value::Const(0), depth: 0 };
        self.compared(super::compares::Compare { condition: Condition(jmp::JNE), is_wide: true, lhs, rhs })
    }

    fn extract_lane(&mut self, width: u8, lane: u8, is_signed: bool) -> Result<(), Error> {
        let (is_high, first) = place(width, lane);
        let high = self.frame.pop()?;
        let low = self.frame.pop()?;
        let hint = self.frame.hint(self.next_local(), &[]);
        let dst = self.frame.own(if is_high { high } else { low }, hint)?;
        if first > 0 {
            self.frame.asm.alu(alu::RSH, true, dst, RegImm::Imm(first))?;
        }
        match (width, is_signed) {
            (width::DW, _) => {}
            (width::W, _) => self.frame.asm.alu(alu::MOV, false, dst, RegImm::Reg(dst))?,
            (_, true) => self.frame.asm.alu_with(alu::MOV, false, dst, RegImm::Reg(dst), bits(width).into())?,
            (width::H, false) => self.frame.asm.alu(alu::AND, false, dst, RegImm::Imm(0xffff))?,
            (_, false) => self.frame.asm.alu(alu::AND, false, dst, RegImm::Imm(0xff))?,
        }
        self.finish_result(dst)
    }

    fn replace_lane(&mut self, width: u8, lane: u8) -> Result<(), Error> {
        let (is_high, first) = place(width, lane);
        if width == width::DW {
            let value = self.frame.pop()?;
            let high = self.frame.pop()?;
            let low = self.frame.pop()?;
            self.repush(if is_high { low } else { value })?;
            self.repush(if is_high { value } else { high })?;
            self.frame.unlock();
            return Ok(());
        }
        let [low_hint, high_hint] = self.next_vector();
        let (above, hint) = if is_high { (1, high_hint) } else { (2, low_hint) };
        let value = self.frame.take(0)?;
        let value = self.frame.source_or_imm(value, true)?;
        let busy = match value {
            RegImm::Reg(reg) => Some(reg),
            RegImm::Imm(_) => None,
        };
        let word = self.frame.take(above)?;
        let hint = self.frame.hint(hint, &[busy]);
        let dst = self.frame.own(word, hint)?;
        // XOR of the old and the new lane, shifted to the place of the lane: XOR with it replaces
        // the lane.
        let difference = self.frame.alloc()?;
        let asm = &mut self.frame.asm;
        asm.mov(difference, dst)?;
        if first > 0 {
            asm.alu(alu::RSH, true, difference, RegImm::Imm(first))?;
        }
        asm.alu(alu::XOR, true, difference, value)?;
        match width {
            width::B => asm.alu(alu::AND, true, difference, RegImm::Imm(0xff))?,
            width::H => asm.alu(alu::AND, true, difference, RegImm::Imm(0xffff))?,
            _ => asm.alu(alu::MOV, false, difference, RegImm::Reg(difference))?,
        }
        if first > 0 {
            asm.alu(alu::LSH, true, difference, RegImm::Imm(first))?;
        }
        asm.alu(alu::XOR, true, dst, RegImm::Reg(difference))?;
        self.frame.put(above, dst)?;
        self.frame.unlock();
        self.drop_taken(1)
    }

    fn splat(&mut self, width: u8) -> Result<(), Error> {
        // 1 in every lane: multiplying by it copies a lane into every lane.
        let ones: u64 = match width {
            width::B => 0x0101_0101_0101_0101,
            width::H => 0x0001_0001_0001_0001,
            width::W => 0x0000_0001_0000_0001,
            _ => 1,
        };
        let operand = self.frame.pop()?;
        match operand.value {
            Value::Const(value) => {
                let lane = value & (u64::MAX >> (64_u8.saturating_sub(bits(width))));
                let word = Value::Const(lane.wrapping_mul(ones));
                self.frame.push(word)?;
                return self.frame.push(word);
            }
            local @ Value::Local(_) if width == width::DW => {
                self.frame.push(local)?;
                self.frame.push(local)?;
                self.frame.unlock();
                return Ok(());
            }
            _ => {}
        }
        let [low_hint, high_hint] = self.next_vector();
        let hint = self.frame.hint(low_hint, &[]);
        let low = self.frame.own(operand, hint)?;
        let high = self.word(high_hint, &[Some(low)])?;
        let asm = &mut self.frame.asm;
        match width {
            width::B | width::H => {
                asm.alu(alu::AND, true, low, RegImm::Imm(if width == width::B { 0xff } else { 0xffff }))?;
                asm.constant(high, ones)?;
                asm.alu(alu::MUL, true, low, RegImm::Reg(high))?;
            }
            width::W => {
                asm.mov(high, low)?;
                asm.alu(alu::LSH, true, high, RegImm::Imm(32))?;
                asm.alu(alu::OR, true, low, RegImm::Reg(high))?;
            }
            _ => {}
        }
        asm.mov(high, low)?;
        for reg in [low, high] {
            self.frame.hold(reg, Holder::Temporary)?;
            self.frame.push(Value::Reg(reg))?;
        }
        self.frame.unlock();
        Ok(())
    }

    fn load_vector(&mut self, memarg: MemArg) -> Result<(), Error> {
        let Some((base, off)) = self.address(memarg, 16)? else { return self.diverge() };
        let [low_hint, high_hint] = self.next_vector();
        let low = self.word(low_hint, &[Some(base)])?;
        self.frame.asm.load(width::DW, low, base, off)?;
        // The address is needed no more, unless it is the base.
        let high = match self.frame.hint(high_hint, &[Some(base), Some(low)]) {
            Some(reg) => reg,
            None if base != R7 => base,
            None => self.frame.alloc()?,
        };
        self.frame.asm.load(width::DW, high, base, off.saturating_add(8))?;
        for reg in [low, high] {
            self.frame.hold(reg, Holder::Temporary)?;
            self.frame.push(Value::Reg(reg))?;
        }
        self.frame.unlock();
        Ok(())
    }

    fn store_vector(&mut self, memarg: MemArg) -> Result<(), Error> {
        let high = self.frame.pop()?;
        let low = self.frame.pop()?;
        let Some((base, off)) = self.address(memarg, 16)? else { return self.diverge() };
        for (word, off) in [(low, off), (high, off.saturating_add(8))] {
            let source = self.frame.source_or_imm(word, true)?;
            self.frame.asm.store(width::DW, base, off, source)?;
        }
        self.frame.unlock();
        Ok(())
    }

    fn load_splat(&mut self, memarg: MemArg, width: u8) -> Result<(), Error> {
        self.load(memarg, load(width))?;
        if self.is_reachable { self.splat(width) } else { Ok(()) }
    }

    fn load_zero(&mut self, memarg: MemArg, width: u8) -> Result<(), Error> {
        self.load(memarg, load(width))?;
        if self.is_reachable { self.frame.push(Value::Const(0)) } else { Ok(()) }
    }

    /// Loads 8 bytes, whose numbers `operation` extends.
    fn load_extended(&mut self, memarg: MemArg, operation: Operation) -> Result<(), Error> {
        self.load_zero(memarg, width::DW)?;
        if self.is_reachable { self.call_simd(operation) } else { Ok(()) }
    }

    fn load_lane(&mut self, memarg: MemArg, width: u8, lane: u8) -> Result<(), Error> {
        let address = self.frame.take(2)?;
        let Some((base, off)) = self.address_of(address, memarg, bytes(width))? else { return self.diverge() };
        let value = if base == R7 { self.frame.alloc()? } else { base };
        self.frame.asm.load(width, value, base, off)?;
        self.frame.hold(value, Holder::Temporary)?;
        self.frame.push(Value::Reg(value))?;
        self.frame.unlock();
        self.replace_lane(width, lane)?;
        // The result takes the place of the address.
        let high = self.frame.pop()?;
        let low = self.frame.pop()?;
        self.frame.pop()?;
        self.repush(low)?;
        self.repush(high)?;
        self.frame.unlock();
        Ok(())
    }

    fn store_lane(&mut self, memarg: MemArg, width: u8, lane: u8) -> Result<(), Error> {
        self.extract_lane(width, lane, false)?;
        self.store(memarg, width)
    }
}
