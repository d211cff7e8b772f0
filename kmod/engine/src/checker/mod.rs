// SPDX-License-Identifier: GPL-2.0

//! The checker: proves of a compiled function that it cannot touch anything outside the guest, whatever the compiler did.
//!
//! The checker walks the code once. A block begins at the entry, at each jump target, at each claim and after an instruction
//! that does not fall through. At the beginning of a block the checker knows what the block's claims say and nothing else; on
//! each edge to a block it demands that what it knows there implies the claims. [`facts`] has the rules about values.
//!
//! What it proves:
//!
//! - Loads and stores stay within the function's frame, the fields of the context, and checked bytes of a memory.
//! - The context's register and the frame pointer are never written.
//! - Calls go to functions of the module and to helpers; a helper that takes the context gets it.
//! - No division faults.
//! - The stack limit is compared before the frame is used and before calls.
//! - Every loop passes a checkpoint.
//! - Jumps stay in the function; its code does not run off the end.
//!
//! It proves nothing about results, and nothing about the arguments of helpers: a helper must check them.
//!
//! Time and memory are linear in the number of instructions and claims, but for a binary search for the claims of a block.

#![forbid(unsafe_code)]

mod facts;

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
        Claim,
        Effect,
        FRAME_MAX,
        Fact,
        Function,
        GLOBALS,
        Helper,
        INTERRUPT,
        LIMITS,
        LIMITS_MAX,
        MEMORIES_MAX,
        MemoryField,
        Place,
        STACK_LIMIT,
        STACK_RED_ZONE,
        Shape,
        TrapReason,
        memory_offset, //
    },
};
use alloc::vec::Vec;
use core::fmt;
use facts::{
    Known,
    Registers,
    Value,
    below, //
};

/// Most claims of a block: each edge to the block proves all of them.
pub const CLAIMS_MAX: usize = 32;

/// A rule that code breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The operation code is not allowed.
    Operation,
    /// A field that the instruction does not use is not 0.
    Field,
    /// There is no such register.
    Register,
    /// A shift by the width or more.
    Shift,
    /// R6 or R10 is written.
    Fixed,
    /// The address of the context or of the frame is used as a value.
    Value,
    /// The size of the frame is not a multiple of 8, or too large.
    FrameSize,
    /// An access outside the frame, or not aligned.
    Frame,
    /// An access to the context that is not on the list.
    Context,
    /// An access to an address that is not known to be in a memory.
    Address,
    /// An access to more bytes than were checked.
    Bytes,
    /// A call of what is no function and no helper.
    Callee,
    /// A helper does not get the context.
    Argument,
    /// The divisor may be 0, or -1 in a signed division.
    Divisor,
    /// The frame is used, or something is called, before the stack limit was compared.
    Stack,
    /// A jump backwards goes to what does not begin with a checkpoint.
    Loop,
    /// A block for checkpoints does not call the helper.
    Checkpoint,
    /// A jump does not go to an instruction of the function.
    Target,
    /// The code runs off its end.
    End,
    /// A claim is out of order, about no place or fact that can be claimed, or one too many.
    Claim,
    /// What is known does not imply a claim.
    Unproven,
    /// The function is too large for the checker's memory.
    Memory,
}

impl Rule {
    fn text(self) -> &'static str {
        match self {
            Self::Operation => "the operation is not allowed",
            Self::Field => "an unused field is not 0",
            Self::Register => "there is no such register",
            Self::Shift => "the shift is by the width or more",
            Self::Fixed => "R6 or R10 is written",
            Self::Value => "the address of the context or frame is used as a value",
            Self::FrameSize => "the size of the frame is not allowed",
            Self::Frame => "the access is outside the frame or not aligned",
            Self::Context => "the access to the context is not allowed",
            Self::Address => "the address is not known to be in a memory",
            Self::Bytes => "the access is to more bytes than were checked",
            Self::Callee => "no such function or helper",
            Self::Argument => "R1 is not the context",
            Self::Divisor => "the divisor may be 0 or -1",
            Self::Stack => "the stack limit was not compared",
            Self::Loop => "the jump's target does not begin with a checkpoint",
            Self::Checkpoint => "the block does not call the checkpoint",
            Self::Target => "the jump's target is no instruction",
            Self::End => "the code runs off its end",
            Self::Claim => "the claim is malformed",
            Self::Unproven => "a claim is not proven",
            Self::Memory => "no memory for the checker",
        }
    }
}

/// A place where a function breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Index of the instruction.
    pub at: u32,
    /// The rule.
    pub rule: Rule,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instruction {}: {}", self.at, self.rule.text())
    }
}

/// Marks of instructions.
mod mark {
    /// A jump goes here.
    pub(super) const TARGET: u8 = 1;
    /// A jump backwards goes here.
    pub(super) const LOOP: u8 = 2;
    /// Claims are about this instruction.
    pub(super) const CLAIMED: u8 = 4;
    /// A stack check goes here if the stack is used up.
    pub(super) const COLD: u8 = 8;
    /// A loop goes here if a checkpoint is requested.
    pub(super) const REQUESTED: u8 = 16;
}

/// Knowledge about a frame slot.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    value: Value,
    /// The block that it is about.
    block: u64,
    /// Number of calls before, for pointers.
    calls: u64,
}

/// Memory of the checker, for one function after another.
#[derive(Debug, Default)]
pub struct Checker {
    marks: Vec<u8>,
    slots: Vec<Slot>,
    blocks: u64,
}

/// Checks `function` of a module of `shape`.
///
/// # Errors
///
/// The first [`Violation`].
pub fn check(function: &Function, shape: &Shape) -> Result<(), Violation> {
    Checker::default().check(function, shape)
}

impl Checker {
    /// Checks `function` of a module of `shape`.
    ///
    /// # Errors
    ///
    /// The first [`Violation`].
    pub fn check(&mut self, function: &Function, shape: &Shape) -> Result<(), Violation> {
        let mut walk = Walk {
            function,
            shape,
            checker: self,
            at: 0,
            claims: 0,
            regs: Registers::default(),
            calls: 0,
            is_reachable: false,
            is_stack_checked: false,
            has_trapped: false,
            owes_checkpoint: false,
        };
        let result = walk.mark().and_then(|()| walk.run());
        result.map_err(|rule| Violation { at: u32::try_from(walk.at).unwrap_or(u32::MAX), rule })
    }
}

/// A walk over a function: what is known at instruction `at`.
struct Walk<'a> {
    function: &'a Function,
    shape: &'a Shape,
    checker: &'a mut Checker,
    at: usize,
    /// Number of claims of earlier blocks and this one.
    claims: usize,
    regs: Registers,
    /// Number of calls so far that may have moved a memory.
    calls: u64,
    is_reachable: bool,
    is_stack_checked: bool,
    /// Set if this block has called the helper for a stack that is used up.
    has_trapped: bool,
    /// Set if this block must call the checkpoint.
    owes_checkpoint: bool,
}

type Checked<T = ()> = Result<T, Rule>;

/// Demands that `condition` is true.
fn demand(condition: bool, rule: Rule) -> Checked {
    if condition { Ok(()) } else { Err(rule) }
}

impl Walk<'_> {
    /// Marks the instructions at which blocks begin.
    fn mark(&mut self) -> Checked {
        let function = self.function;
        let frame = function.frame;
        demand(frame <= FRAME_MAX && frame.is_multiple_of(8), Rule::FrameSize)?;
        self.checker.marks.clear();
        self.checker.marks.try_reserve(function.code.len()).map_err(|_| Rule::Memory)?;
        self.checker.marks.resize(function.code.len(), 0);
        let mut is_second = false;
        for (at, insn) in function.code.iter().enumerate() {
            self.at = at;
            if core::mem::take(&mut is_second) {
                continue;
            }
            is_second = insn.class() == class::LD;
            if let Some(target) = target(at, *insn)? {
                let is_loop = target <= at && target > 0;
                self.set_mark(target, if is_loop { mark::TARGET | mark::LOOP } else { mark::TARGET })?;
            }
        }
        let mut run = (0, 0_usize);
        for claim in &function.claims {
            self.at = usize::try_from(claim.at).map_err(|_| Rule::Claim)?;
            run = if run.0 == claim.at { (claim.at, run.1.saturating_add(1)) } else { (claim.at, 1) };
            // Nothing is known at the entry.
            demand(claim.at > 0 && run.1 <= CLAIMS_MAX && self.is_claimable(claim), Rule::Claim)?;
            self.set_mark(self.at, mark::CLAIMED).map_err(|_| Rule::Claim)?;
        }
        Ok(())
    }

    fn is_claimable(&self, claim: &Claim) -> bool {
        let is_place = match claim.place {
            Place::Reg(reg) => reg < R10 && reg != R6,
            Place::Slot(slot) => u32::from(slot) < self.function.frame / 8,
        };
        is_place
            && match claim.fact {
                Fact::Any => false,
                Fact::U32 => true,
                Fact::Index { memory, bytes } | Fact::Address { memory, bytes } => {
                    bytes > 0 && usize::from(memory) < self.shape.memories.len()
                }
                Fact::Base { memory } => usize::from(memory) < self.shape.memories.len(),
            }
    }

    fn mark_of(&self, at: usize) -> u8 {
        self.checker.marks.get(at).copied().unwrap_or(0)
    }

    fn set_mark(&mut self, at: usize, mark: u8) -> Checked {
        *self.checker.marks.get_mut(at).ok_or(Rule::Target)? |= mark;
        Ok(())
    }

    fn run(&mut self) -> Checked {
        let function = self.function;
        let mut code = function.code.iter().enumerate();
        while let Some((at, insn)) = code.next() {
            self.at = at;
            if !self.is_reachable || self.mark_of(at) != 0 {
                if self.is_reachable {
                    self.edge(at, &self.regs)?;
                }
                self.begin()?;
            }
            demand(insn.dst() <= R10 && insn.src() <= R10, Rule::Register)?;
            match insn.class() {
                class::LD => {
                    let (next, high) = code.next().ok_or(Rule::End)?;
                    demand(self.mark_of(next) & mark::TARGET == 0, Rule::Target)?;
                    self.constant(*insn, *high)?;
                }
                class::LDX => self.load(*insn)?,
                class::ST | class::STX => self.store(*insn)?,
                class::ALU | class::ALU64 => self.arithmetic(*insn)?,
                _ => self.jump(*insn)?,
            }
        }
        demand(!self.is_reachable, Rule::End)?;
        // Claims that no block begins with are out of order or inside an instruction.
        demand(self.claims == function.claims.len(), Rule::Claim)
    }

    /// Begins a block: what is known are its claims.
    fn begin(&mut self) -> Checked {
        let mark = self.mark_of(self.at);
        self.checker.blocks = self.checker.blocks.wrapping_add(1);
        self.regs = Registers::default();
        self.regs.set(R6, Known::Context.into());
        self.regs.set(R10, Known::Frame.into());
        self.is_reachable = true;
        self.is_stack_checked = self.at > 0 && mark & mark::COLD == 0;
        self.has_trapped = false;
        self.owes_checkpoint = mark & mark::REQUESTED != 0;
        let function = self.function;
        while let Some(claim) = function.claims.get(self.claims)
            && claim.at as usize <= self.at
        {
            demand(claim.at as usize == self.at, Rule::Claim)?;
            let value = Known::of(claim.fact).into();
            match claim.place {
                Place::Reg(reg) => self.regs.set(reg, value),
                Place::Slot(slot) => self.set_slot(slot.into(), value)?,
            }
            self.claims = self.claims.saturating_add(1);
        }
        if mark & mark::LOOP != 0 { self.checkpoint() } else { Ok(()) }
    }

    /// Demands that the block begins with a checkpoint: a load of the word, and a jump on whether it is 0.
    fn checkpoint(&mut self) -> Checked {
        let code = &self.function.code;
        let next = self.at.saturating_add(1);
        let (Some(load), Some(jump)) = (code.get(self.at), code.get(next)) else { return Err(Rule::Loop) };
        let is_load = load.code == class::LDX | mode::MEM | width::DW && load.src() == R6 && load.off == INTERRUPT;
        demand(is_load && jump.dst() == load.dst() && jump.imm == 0, Rule::Loop)?;
        let requested = match jump.code {
            code if code == class::JMP | jmp::JNE => target(next, *jump)?,
            code if code == class::JMP | jmp::JEQ => next.checked_add(1),
            _ => None,
        };
        // Blocks up to here were checked already.
        let requested = requested.filter(|requested| *requested > next).ok_or(Rule::Loop)?;
        self.set_mark(requested, mark::REQUESTED)
    }

    /// Demands that the block at `target` may follow.
    fn edge(&self, target: usize, regs: &Registers) -> Checked {
        demand(!self.owes_checkpoint, Rule::Checkpoint)?;
        let mark = self.mark_of(target);
        let is_served = target == 0 && self.has_trapped;
        demand(self.is_stack_checked || mark & mark::COLD != 0 || is_served, Rule::Stack)?;
        if mark & mark::CLAIMED == 0 {
            return Ok(());
        }
        let first = self.function.claims.partition_point(|claim| (claim.at as usize) < target);
        let claims = self.function.claims.get(first..).unwrap_or_default();
        for claim in claims.iter().take_while(|claim| claim.at as usize == target) {
            let known = match claim.place {
                Place::Reg(reg) => regs.get(reg),
                Place::Slot(slot) => self.slot(slot.into()),
            };
            demand(known.known.implies(claim.fact, self.shape), Rule::Unproven)?;
        }
        Ok(())
    }

    fn slot(&self, slot: usize) -> Value {
        let slot = self.checker.slots.get(slot).copied().unwrap_or_default();
        let is_valid =
            slot.block == self.checker.blocks && (slot.calls == self.calls || !slot.value.known.is_pointer());
        if is_valid { slot.value } else { Value::default() }
    }

    fn set_slot(&mut self, slot: usize, value: Value) -> Checked {
        let slots = &mut self.checker.slots;
        if slots.len() <= slot {
            let len = slot.saturating_add(1);
            slots.try_reserve(len.saturating_sub(slots.len())).map_err(|_| Rule::Memory)?;
            slots.resize(len, Slot::default());
        }
        if let Some(place) = slots.get_mut(slot) {
            *place = Slot { value, block: self.checker.blocks, calls: self.calls };
        }
        Ok(())
    }

    /// Knowledge about the value of `reg`, which must be one that code may compute with.
    fn operand(&self, reg: Reg) -> Checked<Value> {
        let value = self.regs.get(reg);
        demand(!matches!(value.known, Known::Context | Known::Frame), Rule::Value)?;
        Ok(value)
    }

    fn write(&mut self, reg: Reg, value: impl Into<Value>) -> Checked {
        demand(reg != R6 && reg != R10, Rule::Fixed)?;
        self.regs.set(reg, value.into());
        Ok(())
    }

    fn constant(&mut self, insn: Insn, high: Insn) -> Checked {
        demand(insn.code == class::LD | mode::IMM | width::DW, Rule::Operation)?;
        demand(insn.src() == R0 && insn.off == 0, Rule::Field)?;
        demand(high == Insn { imm: high.imm, ..Insn::default() }, Rule::Field)?;
        let value = u64::from(insn.imm.cast_unsigned()) | u64::from(high.imm.cast_unsigned()) << 32;
        self.write(insn.dst(), Known::Const(value))
    }

    fn arithmetic(&mut self, insn: Insn) -> Checked {
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
            alu::MUL | alu::OR | alu::AND | alu::XOR => Known::Any,
            _ => return Err(Rule::Operation),
        };
        self.write(dst, if is_wide { wide } else { Known::U32 })
    }

    fn load(&mut self, insn: Insn) -> Checked {
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
                Value::default()
            }
        };
        match (is_signed, bytes) {
            (true, _) => self.write(insn.dst(), Known::Any),
            (false, 8) => self.write(insn.dst(), value),
            (false, _) => self.write(insn.dst(), Known::U32),
        }
    }

    fn store(&mut self, insn: Insn) -> Checked {
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
                self.set_slot(slot, if bytes == 8 { value } else { Value::default() })
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
                return Ok(Known::Index { memory: 0, bytes });
            }
            _ => {}
        }
        for memory in (0..MEMORIES_MAX as u8).take(self.shape.memories.len()) {
            if off == memory_offset(memory.into(), MemoryField::Base) {
                return Ok(Known::Base { memory });
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

    fn jump(&mut self, insn: Insn) -> Checked {
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
            self.regs.set(Reg(number), Value::default());
        }
        match helper.map_or(Effect::MovesMemory, Helper::effect) {
            Effect::Pure => {}
            Effect::Diverges => self.is_reachable = false,
            Effect::MovesMemory => {
                self.calls = self.calls.wrapping_add(1);
                for reg in [R7, R8, R9] {
                    if self.regs.get(reg).known.is_pointer() {
                        self.regs.set(reg, Value::default());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Index of the instruction to which the instruction at `at` may jump.
fn target(at: usize, insn: Insn) -> Checked<Option<usize>> {
    let is_wide = insn.class() == class::JMP;
    if !is_wide && insn.class() != class::JMP32 {
        return Ok(None);
    }
    let distance = match insn.code & 0xf0 {
        jmp::CALL | jmp::EXIT => return Ok(None),
        jmp::JA if !is_wide => isize::try_from(insn.imm).map_err(|_| Rule::Target)?,
        _ => isize::from(insn.off),
    };
    at.checked_add(1).and_then(|next| next.checked_add_signed(distance)).map(Some).ok_or(Rule::Target)
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
