// SPDX-License-Identifier: GPL-2.0

//! The checker: proves that a compiled function cannot access anything outside the guest, whatever
//! the compiler did.
//!
//! The checker walks the code once. A block begins at the entry, at each jump target, at each claim
//! and after an instruction that does not fall through. At the beginning of a block the checker
//! knows only what the block's claims say. On each edge to a block the checker demands that what it
//! knows there implies the claims. [`facts`] has the rules about values, [`instructions`] those
//! about instructions.
//!
//! The checker proves:
//!
//! - Loads and stores stay within the function's frame, the fields of the context, and checked
//!   bytes of a memory.
//! - With [`Shape::has_masks`], an index is masked before it becomes an address, so that accesses
//!   stay close to the memory also while the processor speculates.
//! - The context's register and the frame pointer are never written.
//! - Calls go to functions of the module and to helpers; a helper that takes the context gets it.
//! - No division faults.
//! - The stack limit is compared before the frame is used, before calls and before the function
//!   returns.
//! - Every loop and every call passes a checkpoint.
//! - Jumps stay in the function; its code does not run off the end.
//!
//! The checker proves nothing about results, and nothing about the arguments of helpers: a helper
//! must check them. Nor does it prove that an address, which a mistake of the compiler might leave
//! in a register, is not stored where the guest can read it, or that a frame slot is written before
//! it is read: WASI functions and interrupts leave addresses of the kernel in the guest's stack.
//!
//! Time and memory are linear in the number of instructions and claims, except that a binary search
//! finds the claims of a block.

#![forbid(unsafe_code)]

mod facts;
mod instructions;
mod violation;

pub use violation::{
    Rule,
    Violation, //
};

use crate::{
    ebpf::{
        Insn,
        R6,
        R10,
        Reg,
        class,
        jmp,
        mode,
        width, //
    },
    vmctx::{
        Claim,
        FRAME_MAX,
        Fact,
        Function,
        INTERRUPT,
        Location,
        Shape, //
    },
};
use alloc::vec::Vec;
use facts::{
    AbstractValue,
    Known,
    Registers, //
};

/// Most claims of a block: each edge to the block proves all of them.
pub const CLAIMS_MAX: usize = 32;

/// Marks of instructions.
mod mark {
    /// A jump goes here.
    pub(super) const TARGET: u8 = 1;
    /// A jump backwards goes here.
    pub(super) const LOOP: u8 = 2;
    /// Claims are about this instruction.
    pub(super) const CLAIMED: u8 = 4;
    /// A stack check jumps here if the stack is used up.
    pub(super) const COLD: u8 = 8;
    /// A loop jumps here if a checkpoint is requested.
    pub(super) const REQUESTED: u8 = 16;
}

/// Knowledge about a frame slot.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    value: AbstractValue,
    /// Number of the block in which it holds.
    block: u64,
    /// [`Walk::calls`] when the slot was written: some knowledge ends with the next call.
    calls: u64,
}

/// The checker, with memory that it reuses for one function after another.
#[derive(Debug, Default)]
pub struct Checker {
    /// Marks of each instruction.
    marks: Vec<u8>,
    /// Knowledge about each frame slot.
    slots: Vec<Slot>,
    /// Number of blocks so far, of all functions.
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
        let is_valid = match claim.location {
            Location::Reg(reg) => reg < R10 && reg != R6,
            Location::Slot(slot) => u32::from(slot) < self.function.frame / 8,
        };
        is_valid
            && match claim.fact {
                Fact::Any => false,
                Fact::U32 => true,
                Fact::Index { memory, bytes, .. } | Fact::Address { memory, bytes } => {
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
        demand(!self.is_reachable && !function.code.is_empty(), Rule::End)?;
        // Claims that no block begins with are out of order or inside an instruction.
        demand(self.claims == function.claims.len(), Rule::Claim)
    }

    /// Begins a block, at which only its claims are known.
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
            let value = Known::new(claim.fact).into();
            match claim.location {
                Location::Reg(reg) => self.regs.set(reg, value),
                Location::Slot(slot) => self.set_slot(slot.into(), value)?,
            }
            self.claims = self.claims.saturating_add(1);
        }
        if mark & mark::LOOP != 0 { self.checkpoint() } else { Ok(()) }
    }

    /// Demands that the block begins with a test for a checkpoint: a load of the word at
    /// [`INTERRUPT`], and a jump on whether it is 0.
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
        // Blocks up to here have been checked, so a mark on them would have no effect.
        let requested = requested.filter(|requested| *requested > next).ok_or(Rule::Loop)?;
        self.set_mark(requested, mark::REQUESTED)
    }

    /// Demands that the block at `target` may follow, and that `regs` and the frame slots imply its
    /// claims.
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
            let known = match claim.location {
                Location::Reg(reg) => regs.get(reg),
                Location::Slot(slot) => self.slot(slot.into()),
            };
            demand(known.known.implies(claim.fact, self.shape), Rule::Unproven)?;
        }
        Ok(())
    }

    fn slot(&self, slot: usize) -> AbstractValue {
        let slot = self.checker.slots.get(slot).copied().unwrap_or_default();
        let is_valid =
            slot.block == self.checker.blocks && (slot.calls == self.calls || !slot.value.known.is_momentary());
        if is_valid { slot.value } else { AbstractValue::default() }
    }

    fn set_slot(&mut self, slot: usize, value: AbstractValue) -> Checked {
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

    /// Returns the knowledge about the value of `reg`, which must be one that code may compute
    /// with.
    fn operand(&self, reg: Reg) -> Checked<AbstractValue> {
        let value = self.regs.get(reg);
        demand(!matches!(value.known, Known::Context | Known::Frame), Rule::Value)?;
        Ok(value)
    }

    /// Notes that an instruction writes `value` to `reg`.
    fn write(&mut self, reg: Reg, value: impl Into<AbstractValue>) -> Checked {
        demand(reg != R6 && reg != R10, Rule::Fixed)?;
        self.regs.set(reg, value.into());
        Ok(())
    }
}

/// Returns the index of the instruction to which the instruction `insn` at `at` may jump.
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
