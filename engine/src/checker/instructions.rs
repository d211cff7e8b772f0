// SPDX-License-Identifier: GPL-2.0

//! Rules for each instruction: the operands that it may have, and the facts after it.

use super::{
    Checked,
    Walk,
    demand,
    facts::{
        AbstractValue,
        Known,
        below, //
    },
    mark,
    target,
    violation::Rule, //
};
use crate::{
    ebpf::{
        Insn,
        PSEUDO_CALL,
        R0,
        R1,
        R2,
        R6,
        R7,
        R8,
        R9,
        R10,
        Reg,
        X,
        alu,
        class,
        jmp,
        mode,
        width, //
    },
    vmctx::{
        ARGS,
        Effect,
        GLOBALS,
        Helper,
        INTERRUPT,
        LIMITS,
        LIMITS_MAX,
        MEMORIES_MAX,
        MemoryField,
        STACK_LIMIT,
        STACK_RED_ZONE,
        TrapReason,
        memory_offset, //
    },
};

impl Walk<'_> {
    pub(super) fn constant(&mut self, insn: Insn, high: Insn) -> Checked {
        demand(insn.code == class::LD | mode::IMM | width::DW, Rule::Operation)?;
        demand(insn.src() == R0 && insn.off == 0, Rule::Field)?;
        demand(high == Insn { imm: high.imm, ..Insn::default() }, Rule::Field)?;
        let value = u64::from(insn.imm.cast_unsigned()) | u64::from(high.imm.cast_unsigned()) << 32;
        self.write(insn.dst(), Known::Const(value))
    }

    pub(super) fn arithmetic(&mut self, insn: Insn) -> Checked {
        let is_wide = insn.class() == class::ALU64;
        let has_reg = insn.code & X != 0;
        let (op, dst) = (insn.code & 0xf0, insn.dst());
        demand(if has_reg { insn.imm == 0 } else { insn.src() == R0 }, Rule::Field)?;
        let is_signed = matches!(op, alu::DIV | alu::MOD) && insn.off == 1;
        let is_extending = op == alu::MOV && has_reg && (matches!(insn.off, 8 | 16) || is_wide && insn.off == 32);
        demand(insn.off == 0 || is_signed || is_extending, Rule::Field)?;
        if op == alu::MOV {
            let copied = if has_reg { self.regs.get(insn.src()) } else { immediate(insn.imm, is_wide).into() };
            // A plain copy of the context is an argument for helpers.
            if !(is_wide && insn.off == 0 && copied.known == Known::Context) {
                demand(!matches!(copied.known, Known::Context | Known::Frame), Rule::Value)?;
            }
            return match (is_wide, insn.off) {
                (true, 0) => self.write(dst, copied),
                (false, 0) => self.write(dst, copied.low()),
                (true, _) => self.write(dst, Known::Any),
                (false, _) => self.write(dst, Known::U32),
            };
        }
        demand(dst != R6 && dst != R10, Rule::Fixed)?;
        let left = self.operand(dst)?;
        let right = if has_reg { self.operand(insn.src())? } else { immediate(insn.imm, is_wide).into() };
        let wide = match op {
            alu::ADD => left.known.plus(right.known, self.shape),
            alu::SUB => left.known.minus(right.known),
            alu::DIV | alu::MOD => {
                demand(right.may_divide(is_wide, is_signed), Rule::Divisor)?;
                Known::Any
            }
            alu::LSH | alu::RSH | alu::ARSH => {
                let bits = if is_wide { 64 } else { 32 };
                demand(has_reg || (0..bits).contains(&insn.imm), Rule::Shift)?;
                Known::Any
            }
            alu::NEG => {
                demand(!has_reg, Rule::Operation)?;
                demand(insn.imm == 0, Rule::Field)?;
                Known::Any
            }
            alu::AND => left.known.and(right.known),
            alu::MUL | alu::OR | alu::XOR => Known::Any,
            _ => return Err(Rule::Operation),
        };
        self.write(dst, if is_wide { wide } else { Known::U32 })
    }

    pub(super) fn load(&mut self, insn: Insn) -> Checked {
        let bytes = bytes(insn.code);
        let is_signed = insn.code & 0xe0 == mode::MEMSX && bytes < 8;
        demand(insn.code & 0xe0 == mode::MEM || is_signed, Rule::Operation)?;
        demand(insn.imm == 0, Rule::Field)?;
        let value = match self.regs.get(insn.src()).known {
            Known::Frame => {
                let slot = self.frame_slot(insn.off, bytes)?;
                self.slot(slot)
            }
            Known::Context => self.field(insn.off, bytes, false)?.into(),
            known => {
                self.demand_bytes(known, insn.off, bytes)?;
                AbstractValue::default()
            }
        };
        match (is_signed, bytes) {
            (true, _) => self.write(insn.dst(), Known::Any),
            (false, 8) => self.write(insn.dst(), value),
            (false, _) => self.write(insn.dst(), Known::U32),
        }
    }

    pub(super) fn store(&mut self, insn: Insn) -> Checked {
        demand(insn.code & 0xe0 == mode::MEM, Rule::Operation)?;
        let bytes = bytes(insn.code);
        let value = if insn.class() == class::ST {
            demand(insn.src() == R0, Rule::Field)?;
            immediate(insn.imm, true).into()
        } else {
            demand(insn.imm == 0, Rule::Field)?;
            self.operand(insn.src())?
        };
        match self.regs.get(insn.dst()).known {
            Known::Frame => {
                let slot = self.frame_slot(insn.off, bytes)?;
                self.set_slot(slot, if bytes == 8 { value } else { AbstractValue::default() })
            }
            Known::Context => self.field(insn.off, bytes, true).map(|_| ()),
            known => self.demand_bytes(known, insn.off, bytes),
        }
    }

    /// The frame slot of an access.
    fn frame_slot(&self, off: i16, bytes: u8) -> Checked<usize> {
        demand(self.is_stack_checked, Rule::Stack)?;
        let (off, bytes) = (i32::from(off), i32::from(bytes));
        let depth = off.checked_neg().ok_or(Rule::Frame)?;
        let is_inside = depth >= bytes && u32::try_from(depth).is_ok_and(|depth| depth <= self.function.frame);
        demand(is_inside && off.checked_rem(bytes) == Some(0), Rule::Frame)?;
        usize::try_from(depth.saturating_sub(1) / 8).map_err(|_| Rule::Frame)
    }

    /// Knowledge about a field of the context, if such an access to it is allowed.
    fn field(&self, off: i16, bytes: u8, is_store: bool) -> Checked<Known> {
        let is_word = off >= 0 && off.checked_rem(8) == Some(0);
        let globals = i64::from(GLOBALS).saturating_add(i64::from(self.shape.globals).saturating_mul(8));
        if off >= ARGS && i64::from(off) < globals {
            demand(is_word && matches!(bytes, 4 | 8), Rule::Context)?;
            return Ok(Known::Any);
        }
        demand(is_word && bytes == 8 && !is_store, Rule::Context)?;
        match off {
            INTERRUPT => return Ok(Known::Any),
            STACK_LIMIT => return Ok(Known::StackLimit { plus: 0 }),
            LIMITS.. => {
                let bytes = u32::from(off.abs_diff(LIMITS) / 8).saturating_add(1);
                demand(bytes <= LIMITS_MAX && below(0, 0, self.shape) >= bytes, Rule::Context)?;
                return Ok(Known::Index { memory: 0, bytes, is_masked: false });
            }
            _ => {}
        }
        for (memory, _) in (0_u8..).zip(&self.shape.memories).take(MEMORIES_MAX as usize) {
            if off == memory_offset(memory.into(), MemoryField::Base) {
                return Ok(Known::Base { memory });
            }
            if off == memory_offset(memory.into(), MemoryField::Mask) {
                return Ok(Known::Mask { memory });
            }
            if off == memory_offset(memory.into(), MemoryField::Size) {
                return Ok(Known::Size { memory, floor: below(0, memory, self.shape) });
            }
        }
        Err(Rule::Context)
    }

    /// Demands that an access to a memory is within the checked bytes.
    fn demand_bytes(&self, known: Known, off: i16, bytes: u8) -> Checked {
        let checked = match known {
            Known::Base { memory } => below(0, memory, self.shape),
            Known::Address { bytes, .. } => bytes,
            _ => return Err(Rule::Address),
        };
        let end = u32::try_from(off).ok().and_then(|off| off.checked_add(bytes.into()));
        demand(end.is_some_and(|end| end <= checked), Rule::Bytes)
    }

    pub(super) fn jump(&mut self, insn: Insn) -> Checked {
        let is_wide = insn.class() == class::JMP;
        let has_reg = insn.code & X != 0;
        let op = insn.code & 0xf0;
        let is_fixed = |reg: bool, off: bool, imm: bool| {
            (reg || insn.regs == 0) && (off || insn.off == 0) && (imm || insn.imm == 0)
        };
        match op {
            jmp::JA => {
                demand(!has_reg, Rule::Operation)?;
                demand(is_fixed(false, is_wide, !is_wide), Rule::Field)?;
                let target = target(self.at, insn)?.ok_or(Rule::Target)?;
                self.is_reachable = false;
                return self.edge(target, &self.regs);
            }
            jmp::CALL => {
                demand(is_wide && !has_reg, Rule::Operation)?;
                demand(insn.dst() == R0 && insn.off == 0, Rule::Field)?;
                return self.call(insn);
            }
            jmp::EXIT => {
                demand(is_wide && !has_reg, Rule::Operation)?;
                demand(is_fixed(false, false, false), Rule::Field)?;
                self.is_reachable = false;
                // So each call comes by a checkpoint, however many calls there are.
                demand(self.is_stack_checked || self.has_trapped, Rule::Stack)?;
                return demand(!self.owes_checkpoint, Rule::Checkpoint);
            }
            op if op > jmp::JSLE => return Err(Rule::Operation),
            _ => {}
        }
        demand(if has_reg { insn.imm == 0 } else { insn.src() == R0 }, Rule::Field)?;
        let target = target(self.at, insn)?.ok_or(Rule::Target)?;
        if insn.dst() == R10 {
            return self.check_stack(insn, target);
        }
        self.operand(insn.dst())?;
        let src = has_reg.then_some(insn.src());
        if let Some(src) = src {
            self.operand(src)?;
        }
        let mut taken = self.regs;
        taken.learn(op, is_wide, insn.dst(), src, immediate(insn.imm, is_wide), true);
        self.edge(target, &taken)?;
        self.regs.learn(op, is_wide, insn.dst(), src, immediate(insn.imm, is_wide), false);
        Ok(())
    }

    /// A compare of the frame pointer with the stack limit: it must leave room for the frame.
    fn check_stack(&mut self, insn: Insn, target: usize) -> Checked {
        demand(insn.code == class::JMP | X | jmp::JLT, Rule::Value)?;
        let Known::StackLimit { plus } = self.regs.get(insn.src()).known else { return Err(Rule::Value) };
        let frame = self.function.frame;
        demand(frame <= STACK_RED_ZONE || plus >= frame, Rule::Stack)?;
        // Blocks up to here were checked already, with the stack as it was then.
        demand(target > self.at, Rule::Stack)?;
        self.set_mark(target, mark::COLD)?;
        self.edge(target, &self.regs)?;
        self.is_stack_checked = true;
        Ok(())
    }

    fn call(&mut self, insn: Insn) -> Checked {
        let helper = match insn.src() {
            PSEUDO_CALL => {
                let is_function = u32::try_from(insn.imm).is_ok_and(|index| index < self.shape.functions);
                demand(is_function, Rule::Callee)?;
                None
            }
            R0 => Some(Helper::from_number(insn.imm).ok_or(Rule::Callee)?),
            _ => return Err(Rule::Callee),
        };
        if let Some(helper) = helper.filter(|helper| helper.takes_context()) {
            demand(self.regs.get(R1).known == Known::Context, Rule::Argument)?;
            if helper == Helper::Trap && self.regs.get(R2).known == Known::Const(TrapReason::Stack as u64) {
                self.has_trapped = true;
            }
            if helper == Helper::Checkpoint {
                self.owes_checkpoint = false;
            }
        }
        demand(self.is_stack_checked || helper == Some(Helper::Trap) && self.has_trapped, Rule::Stack)?;
        for number in 0..=5 {
            self.regs.set(Reg(number), AbstractValue::default());
        }
        match helper.map_or(Effect::MovesMemory, Helper::effect) {
            Effect::Pure => {}
            Effect::Diverges => self.is_reachable = false,
            Effect::MovesMemory => {
                self.calls = self.calls.wrapping_add(1);
                for reg in [R7, R8, R9] {
                    if self.regs.get(reg).known.is_momentary() {
                        self.regs.set(reg, AbstractValue::default());
                    }
                }
            }
        }
        Ok(())
    }
}

/// An immediate operand.
#[expect(clippy::cast_possible_truncation, reason = "narrow operations take the low half")]
fn immediate(imm: i32, is_wide: bool) -> Known {
    let value = i64::from(imm).cast_unsigned();
    Known::Const(if is_wide { value } else { u64::from(value as u32) })
}

/// Width of an access in bytes.
fn bytes(code: u8) -> u8 {
    match code & width::DW {
        width::W => 4,
        width::H => 2,
        width::B => 1,
        _ => 8,
    }
}
