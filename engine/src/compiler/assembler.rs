// SPDX-License-Identifier: GPL-2.0

//! The assembler: instructions, labels, and the claims about them.

use super::{
    Error,
    Origin, //
};
use crate::{
    ebpf::{
        Insn,
        R1,
        R6,
        R10,
        Reg,
        alu,
        class,
        encode,
        jmp,
        width, //
    },
    vmctx::{
        Claim,
        Fact,
        Function,
        Helper,
        Location, //
    },
};
use alloc::vec::Vec;

/// A jump target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(u32);

/// Position of a label that is not bound yet.
const UNBOUND: u32 = u32::MAX;

/// Most instructions of a function.
const CODE_MAX: usize = 1 << 20;

/// Second operand of an arithmetic instruction or a compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RegImm {
    /// A register.
    Reg(Reg),
    /// An immediate, sign-extended to the width of the operation.
    Imm(i32),
}

/// A condition of a jump: an operation of [`jmp`] that compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition(pub(super) u8);

impl Condition {
    /// The opposite condition.
    pub(super) fn inverse(self) -> Self {
        Self(match self.0 {
            jmp::JEQ => jmp::JNE,
            jmp::JNE => jmp::JEQ,
            jmp::JGT => jmp::JLE,
            jmp::JLE => jmp::JGT,
            jmp::JGE => jmp::JLT,
            jmp::JLT => jmp::JGE,
            jmp::JSGT => jmp::JSLE,
            jmp::JSLE => jmp::JSGT,
            jmp::JSGE => jmp::JSLT,
            _ => jmp::JSGE,
        })
    }

    /// The condition for swapped operands.
    pub(super) fn swapped(self) -> Self {
        Self(match self.0 {
            jmp::JGT => jmp::JLT,
            jmp::JLT => jmp::JGT,
            jmp::JGE => jmp::JLE,
            jmp::JLE => jmp::JGE,
            jmp::JSGT => jmp::JSLT,
            jmp::JSLT => jmp::JSGT,
            jmp::JSGE => jmp::JSLE,
            jmp::JSLE => jmp::JSGE,
            same => same,
        })
    }
}

/// A function that is being assembled.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    code: Vec<Insn>,
    labels: Vec<u32>,
    jumps: Vec<(u32, Label)>,
    /// Conditional jumps that can be made to reach far: instruction, label and number of the jump.
    forks: Vec<(u32, Label, u32)>,
    claims: Vec<Claim>,
    /// Instruction of the last claims, which may be none.
    claimed: Option<u32>,
    /// Operators that the instructions come from, if they are recorded.
    origins: Option<Vec<Origin>>,
}

impl Assembler {
    /// A new assembler, which records origins if `is_traced`.
    pub(super) fn recording(is_traced: bool) -> Self {
        Self { origins: is_traced.then(Vec::new), ..Self::default() }
    }

    /// Clears it for another function.
    pub(super) fn clear(&mut self) {
        self.code.clear();
        self.labels.clear();
        self.jumps.clear();
        self.forks.clear();
        self.claims.clear();
        self.claimed = None;
        if let Some(origins) = &mut self.origins {
            origins.clear();
        }
    }

    /// Records that instructions from here on come from the operator at `offset`.
    pub(super) fn origin(&mut self, offset: Option<usize>) {
        let first = self.here();
        if let Some(origins) = &mut self.origins {
            origins.push(Origin { first, offset });
        }
    }

    /// Takes what [`Self::origin`] recorded, if it is recorded.
    pub(super) fn take_origins(&mut self) -> Option<Vec<Origin>> {
        self.origins.as_mut().map(core::mem::take)
    }

    /// Number of instructions so far.
    pub(super) fn here(&self) -> u32 {
        u32::try_from(self.code.len()).unwrap_or(UNBOUND)
    }

    fn push(&mut self, insn: Insn) -> Result<(), Error> {
        if self.code.len() >= CODE_MAX {
            return Err(Error::TooLarge("instructions of a function"));
        }
        self.code.try_reserve(1).map_err(|_| Error::Memory)?;
        self.code.push(insn);
        Ok(())
    }

    /// A new label, not bound.
    pub(super) fn label(&mut self) -> Label {
        let label = Label(u32::try_from(self.labels.len()).unwrap_or(UNBOUND));
        self.labels.push(UNBOUND);
        label
    }

    /// Binds `label` to the next instruction.
    pub(super) fn bind(&mut self, label: Label) -> Result<(), Error> {
        let here = self.here();
        match self.labels.get_mut(label.0 as usize) {
            Some(at) if *at == UNBOUND => *at = here,
            _ => return Err(Error::Internal("label bound twice")),
        }
        Ok(())
    }

    /// Claims facts at the next instruction, for a label there. Those of several labels are what
    /// all of them claim.
    pub(super) fn claim(&mut self, facts: &[(Location, Fact)]) {
        let at = self.here();
        if self.claimed != Some(at) {
            self.claimed = Some(at);
            self.claims.extend(facts.iter().map(|(location, fact)| Claim { at, location: *location, fact: *fact }));
            return;
        }
        let first = self.claims.partition_point(|claim| claim.at < at);
        let earlier = self.claims.split_off(first);
        self.claims.extend(earlier.into_iter().filter_map(|claim| {
            let (_, other) = facts.iter().find(|(location, _)| *location == claim.location)?;
            let fact = match (claim.fact, *other) {
                (
                    Fact::Index { memory, bytes, is_masked },
                    Fact::Index { memory: same, bytes: fewer, is_masked: mask },
                ) if memory == same => Fact::Index { memory, bytes: fewer.min(bytes), is_masked: is_masked && mask },
                (fact, other) if fact == other => fact,
                _ => return None,
            };
            Some(Claim { fact, ..claim })
        }));
    }

    /// Arithmetic: `dst = dst op source`, in 64 bits if `is_wide`.
    pub(super) fn alu(&mut self, op: u8, is_wide: bool, dst: Reg, source: RegImm) -> Result<(), Error> {
        self.alu_with(op, is_wide, dst, source, 0)
    }

    /// Arithmetic with an offset: 1 for signed division, the source's width for a sign-extending
    /// move.
    pub(super) fn alu_with(&mut self, op: u8, is_wide: bool, dst: Reg, source: RegImm, off: i16) -> Result<(), Error> {
        let class = if is_wide { class::ALU64 } else { class::ALU };
        let insn = match source {
            RegImm::Reg(src) => encode::arithmetic(class, op, dst, src),
            RegImm::Imm(imm) => encode::arithmetic_imm(class, op, dst, imm),
        };
        self.push(Insn { off, ..insn })
    }

    /// `dst = src`, all 64 bits.
    pub(super) fn mov(&mut self, dst: Reg, src: Reg) -> Result<(), Error> {
        if dst == src { Ok(()) } else { self.alu(alu::MOV, true, dst, RegImm::Reg(src)) }
    }

    /// `dst = value`.
    pub(super) fn constant(&mut self, dst: Reg, value: u64) -> Result<(), Error> {
        if let Ok(imm) = i32::try_from(value.cast_signed()) {
            return self.alu(alu::MOV, true, dst, RegImm::Imm(imm));
        }
        if let Ok(low) = u32::try_from(value) {
            return self.alu(alu::MOV, false, dst, RegImm::Imm(low.cast_signed()));
        }
        let [low, high] = encode::constant(dst, value);
        self.push(low)?;
        self.push(high)
    }

    /// `dst = -dst`.
    pub(super) fn neg(&mut self, is_wide: bool, dst: Reg) -> Result<(), Error> {
        self.alu(alu::NEG, is_wide, dst, RegImm::Imm(0))
    }

    /// Loads: `dst = [base + off]`, zero-extended.
    pub(super) fn load(&mut self, width: u8, dst: Reg, base: Reg, off: i16) -> Result<(), Error> {
        self.push(encode::load(width, dst, base, off))
    }

    /// Loads: `dst = [base + off]`, sign-extended to 64 bits.
    pub(super) fn load_signed(&mut self, width: u8, dst: Reg, base: Reg, off: i16) -> Result<(), Error> {
        self.push(encode::load_signed(width, dst, base, off))
    }

    /// Stores: `[base + off] = source`.
    pub(super) fn store(&mut self, width: u8, base: Reg, off: i16, source: RegImm) -> Result<(), Error> {
        self.push(match source {
            RegImm::Reg(src) => encode::store(width, base, off, src),
            RegImm::Imm(imm) => encode::store_imm(width, base, off, imm),
        })
    }

    /// Loads a frame slot.
    pub(super) fn load_slot(&mut self, dst: Reg, slot: u32) -> Result<(), Error> {
        self.load(width::DW, dst, R10, slot_offset(slot)?)
    }

    /// Stores into a frame slot.
    pub(super) fn store_slot(&mut self, slot: u32, source: RegImm) -> Result<(), Error> {
        self.store(width::DW, R10, slot_offset(slot)?, source)
    }

    /// Jumps to `label`.
    pub(super) fn jump(&mut self, label: Label) -> Result<(), Error> {
        self.jumps.push((self.here(), label));
        self.push(encode::jump(0))
    }

    /// Jumps to `label` if `dst condition source` holds, in 64 bits if `is_wide`.
    pub(super) fn jump_if(
        &mut self,
        condition: Condition,
        is_wide: bool,
        dst: Reg,
        source: RegImm,
        label: Label,
    ) -> Result<(), Error> {
        let class = if is_wide { class::JMP } else { class::JMP32 };
        self.jumps.push((self.here(), label));
        self.push(match source {
            RegImm::Reg(src) => encode::jump_if(class, condition.0, dst, src, 0),
            RegImm::Imm(imm) => encode::jump_if_imm(class, condition.0, dst, imm, 0),
        })
    }

    /// Notes that the next instruction is conditional jump `number` of those that can be made to
    /// reach far, and goes to `label`.
    pub(super) fn note_fork(&mut self, label: Label, number: u32) {
        self.forks.push((self.here(), label, number));
    }

    /// Numbers of the conditional jumps that are too far, or nearly so, if they reach over `reach`
    /// instructions; none if all conditional jumps reach their labels.
    pub(super) fn far_forks(&self, reach: u16) -> Option<Vec<u32>> {
        let distance =
            |at: u32, label: Label| self.labels.get(label.0 as usize).map_or(UNBOUND, |target| target.abs_diff(at));
        let is_conditional = |at: u32| self.code.get(at as usize).is_some_and(|insn| insn.code != class::JMP | jmp::JA);
        let reaches = |(at, label): &(u32, Label)| distance(*at, *label) <= reach.into() || !is_conditional(*at);
        if self.jumps.iter().all(reaches) {
            return None;
        }
        // Longer code for some makes others longer.
        let near = reach.saturating_sub(reach / 8);
        let far = self.forks.iter().filter(|(at, label, _)| distance(*at, *label) > near.into());
        Some(far.map(|(_, _, number)| *number).collect())
    }

    /// Calls a helper.
    pub(super) fn call_helper(&mut self, helper: Helper) -> Result<(), Error> {
        self.push(encode::call_helper(i32::from(helper as u8)))
    }

    /// Puts the context into R1.
    pub(super) fn pass_context(&mut self) -> Result<(), Error> {
        self.mov(R1, R6)
    }

    /// Calls a function of the module.
    pub(super) fn call_function(&mut self, index: u32) -> Result<(), Error> {
        let imm = i32::try_from(index).map_err(|_| Error::TooLarge("functions"))?;
        self.push(encode::call_function(imm))
    }

    /// Returns.
    pub(super) fn exit(&mut self) -> Result<(), Error> {
        self.push(encode::exit())
    }

    /// Resolves the jumps.
    pub(super) fn finish(&mut self, frame: u32) -> Result<Function, Error> {
        for (at, label) in self.jumps.drain(..) {
            let target = self.labels.get(label.0 as usize).copied().filter(|target| *target != UNBOUND);
            let target = target.ok_or(Error::Internal("label not bound"))?;
            let distance = i64::from(target).wrapping_sub(i64::from(at)).wrapping_sub(1);
            let insn = self.code.get_mut(at as usize).ok_or(Error::Internal("jump outside the code"))?;
            if let Ok(off) = i16::try_from(distance) {
                insn.off = off;
            } else if insn.code == class::JMP | jmp::JA {
                *insn = encode::jump_far(i32::try_from(distance).map_err(|_| Error::TooLarge("distance of a jump"))?);
            } else {
                return Err(Error::TooLarge("distance of a conditional jump"));
            }
        }
        let mut code = Vec::new();
        code.try_reserve_exact(self.code.len()).map_err(|_| Error::Memory)?;
        code.extend_from_slice(&self.code);
        let mut claims = Vec::new();
        claims.try_reserve_exact(self.claims.len()).map_err(|_| Error::Memory)?;
        claims.extend_from_slice(&self.claims);
        Ok(Function { code, frame, claims })
    }
}

/// Offset of a frame slot from R10.
fn slot_offset(slot: u32) -> Result<i16, Error> {
    slot.checked_add(1)
        .and_then(|count| count.checked_mul(8))
        .and_then(|bytes| i16::try_from(bytes).ok())
        .and_then(i16::checked_neg)
        .ok_or(Error::TooLarge("frame of a function"))
}
