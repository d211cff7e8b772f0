// SPDX-License-Identifier: GPL-2.0

//! An interpreter of compiled code, for tests on the host: it judges every access.
//!
//! Addresses are not those of the process: each memory, the context and the stack have a range of
//! their own, far apart.

#![expect(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "only tests use it: a panic fails them")]

mod arithmetic;
mod speculation;

use self::arithmetic::{
    arithmetic,
    holds,
    size, //
};
use super::{
    instance::{
        CompiledInstance,
        InstanceStop,
        Surroundings, //
    },
    program::Program,
};
use crate::{
    compiler::Compiled,
    ebpf::{
        PSEUDO_CALL,
        X,
        class,
        jmp,
        mode,
        width, //
    },
    vmctx::{
        Effect,
        Helper,
        INTERRUPT,
        STACK_LIMIT,
        STACK_LIMIT_RAISED,
        STACK_RED_ZONE,
        TrapReason, //
    },
};
use alloc::{
    format,
    string::String,
    vec::Vec, //
};

/// Distance of the ranges.
const RANGE: u32 = 44;

/// Number of the range of the context.
const CONTEXT: u64 = 1;

/// Number of the range of the stack.
const STACK: u64 = 2;

/// Number of the range of memory 0.
const MEMORY: u64 = 16;

/// Number of places of a memory in its range.
const MOVES: u64 = 1024;

/// Stack limit: small frames and helpers have room below.
const LIMIT: u64 = (STACK << RANGE) + 4096;

/// End of a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimulationEnd {
    /// The function returned, with R0.
    Returned(u64),
    /// The guest ended with a status.
    Exited(u32),
    /// A trap, or a limit.
    Stopped(InstanceStop),
    /// The stack is used up.
    StackOverflow,
    /// The function ended with an exception of this tag.
    Uncaught(u32),
    /// No steps are left.
    OutOfSteps,
    /// The code did something that it must not.
    Violation(String),
}

/// Calls imported functions.
pub trait Imports {
    /// Calls import `index`; arguments and results are in `instance`.
    ///
    /// # Errors
    ///
    /// The end of the guest.
    fn call(&mut self, index: u32, instance: &mut CompiledInstance) -> Result<(), SimulationEnd>;
}

/// Surroundings with the simulator's addresses.
#[derive(Debug)]
pub struct Unlimited {
    /// Most bytes of memories.
    pub memory: u64,
    /// Most elements of tables.
    pub elements: u64,
    /// Number of times that the memories have moved.
    moves: u64,
}

impl Surroundings for Unlimited {
    fn base(&self, index: usize, _bytes: &[u8]) -> u64 {
        ((MEMORY + index as u64) << RANGE) | ((self.moves % MOVES) << (RANGE - MOVES.trailing_zeros()))
    }

    fn may_have_memory(&self, bytes: u64) -> bool {
        bytes <= self.memory
    }

    fn may_have_elements(&self, elements: u64) -> bool {
        elements <= self.elements
    }
}

/// Events that bring mistakes of compiled code to light: memories move in every call that may move
/// them, checkpoints are requested, and jumps are mispredicted.
#[derive(Debug)]
pub struct Stress {
    /// Arguments of the function that is called first.
    pub args: [u64; 5],
    /// Steps from one request to the next.
    pub period: u64,
    /// Most steps that a function may take before a checkpoint or call, if it has more
    /// instructions.
    pub straight: u64,
    /// Steps since the last checkpoint.
    elapsed: u64,
    /// Steps within which the code must come to a checkpoint after a request.
    patience: u64,
    /// State of the random numbers that choose jumps.
    random: u64,
}

impl Stress {
    /// Stress with these arguments, and requests after so many steps.
    #[must_use]
    pub fn new(args: [u64; 5], period: u64) -> Self {
        Self { args, period, straight: u64::MAX, elapsed: 0, patience: 0, random: period }
    }

    /// True one in four times.
    fn chooses(&mut self) -> bool {
        self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        self.random >> 62 == 0
    }
}

/// A frame of the simulated call stack.
struct Frame {
    function: usize,
    at: usize,
    saved: [u64; 4],
    top: u64,
}

/// A compiled module in the simulator.
pub struct Simulator<'a> {
    compiled: &'a Compiled,
    program: &'a Program,
    /// Limits of growth, and addresses.
    pub surroundings: Unlimited,
    /// The instance.
    pub instance: CompiledInstance,
    stack: Vec<u8>,
    /// Steps that are left.
    pub steps: u64,
    /// Stress, if any.
    pub stress: Option<Stress>,
}

impl<'a> Simulator<'a> {
    /// A simulator with a stack of `stack` bytes.
    ///
    /// # Errors
    ///
    /// The errors of [`CompiledInstance::new`].
    pub fn new(compiled: &'a Compiled, program: &'a Program, stack: usize) -> Result<Self, InstanceStop> {
        let surroundings = Unlimited { memory: 1 << 32, elements: 10_000_000, moves: 0 };
        let mut instance = CompiledInstance::new(program, &surroundings)?;
        instance.set(STACK_LIMIT, LIMIT);
        let stack = alloc::vec![0xa5; stack];
        Ok(Self { compiled, program, surroundings, instance, stack, steps: u64::MAX, stress: None })
    }

    /// Calls function `index`, one that the module defines, without arguments.
    pub fn run(&mut self, index: u32, imports: &mut impl Imports) -> SimulationEnd {
        let imported = self.compiled.declarations.imported;
        match index.checked_sub(imported) {
            Some(function) => match self.execute(function as usize, imports) {
                Ok(end) | Err(end) => end,
            },
            None => match imports.call(index, &mut self.instance) {
                Ok(()) => SimulationEnd::Returned(0),
                Err(end) => end,
            },
        }
    }

    #[expect(clippy::too_many_lines, reason = "one match over all instructions")]
    fn execute(&mut self, function: usize, imports: &mut impl Imports) -> Result<SimulationEnd, SimulationEnd> {
        let mut regs = [0x5a5a_5a5a_5a5a_5a5a_u64; 11];
        let mut frames: Vec<Frame> = Vec::new();
        let mut function = function;
        let mut at = 0;
        let mut top = (STACK << RANGE) + self.stack.len() as u64;
        regs[6] = CONTEXT << RANGE;
        regs[10] = top;
        if let Some(stress) = &self.stress {
            regs[1..6].copy_from_slice(&stress.args);
        }
        let compiled = self.compiled;
        let mut code = &compiled.functions[function].code;
        let mut frame = u64::from(compiled.functions[function].frame);
        loop {
            if self.steps == 0 {
                return Err(SimulationEnd::OutOfSteps);
            }
            self.steps -= 1;
            let place = (function, at);
            let violation =
                move |text: &str| SimulationEnd::Violation(format!("function {} at {}: {text}", place.0, place.1));
            if !self.tick(frames.len() as u64) {
                return Err(violation("no checkpoint"));
            }
            let insn = *code.get(at).ok_or_else(|| violation("ran off the code"))?;
            at += 1;
            let (dst, src) = (usize::from(insn.dst().0), usize::from(insn.src().0));
            if dst > 10 || src > 10 {
                return Err(violation("register"));
            }
            if matches!(insn.class(), class::ALU | class::ALU64 | class::LD | class::LDX) && matches!(dst, 6 | 10) {
                return Err(violation("a fixed register is written"));
            }
            match insn.class() {
                class::ALU | class::ALU64 => {
                    let is_wide = insn.class() == class::ALU64;
                    let operand = if insn.code & X != 0 { regs[src] } else { i64::from(insn.imm).cast_unsigned() };
                    regs[dst] = arithmetic(insn, is_wide, regs[dst], operand)
                        .ok_or_else(|| violation("fault of arithmetic"))?;
                }
                class::LD if insn.code != class::LD | width::DW | mode::IMM => return Err(violation("second half")),
                class::LD => {
                    let high = code.get(at).ok_or_else(|| violation("half an instruction"))?.imm;
                    at += 1;
                    regs[dst] = u64::from(insn.imm.cast_unsigned()) | u64::from(high.cast_unsigned()) << 32;
                }
                class::LDX => {
                    let address = regs[src].wrapping_add_signed(i64::from(insn.off));
                    let size = size(insn);
                    let value = self
                        .load(address, size, regs[10], frame)
                        .ok_or_else(|| violation(&format!("load of {size} bytes at {address:x}")))?;
                    regs[dst] = if insn.code & 0xe0 == mode::MEMSX {
                        let unused = 64 - 8 * u32::try_from(size).unwrap_or(8);
                        ((value << unused).cast_signed() >> unused).cast_unsigned()
                    } else {
                        value
                    };
                }
                class::ST | class::STX => {
                    let address = regs[dst].wrapping_add_signed(i64::from(insn.off));
                    let size = size(insn);
                    let value = if insn.class() == class::ST { i64::from(insn.imm).cast_unsigned() } else { regs[src] };
                    self.store(address, size, value, regs[10], frame)
                        .ok_or_else(|| violation(&format!("store of {size} bytes at {address:x}")))?;
                }
                class::JMP | class::JMP32 => {
                    let op = insn.code & 0xf0;
                    match op {
                        jmp::EXIT => {
                            let Some(caller) = frames.pop() else {
                                let uncaught = self.instance.uncaught().map(SimulationEnd::Uncaught);
                                return Ok(uncaught.unwrap_or(SimulationEnd::Returned(regs[0])));
                            };
                            function = caller.function;
                            code = &compiled.functions[function].code;
                            frame = u64::from(compiled.functions[function].frame);
                            at = caller.at;
                            top = caller.top;
                            regs[7..10].copy_from_slice(&caller.saved[1..]);
                            regs[10] = top;
                            regs[1..6].fill(0x1234_5678_9abc_def0);
                            continue;
                        }
                        jmp::CALL => {
                            let helper = Helper::from_number(insn.imm).filter(|_| insn.src() != PSEUDO_CALL);
                            if helper != Some(Helper::Trap) && !has_room(regs[10], frame) {
                                return Err(violation("call without stack"));
                            }
                            if self.stress.is_some() && helper.is_none_or(|helper| helper.effect() != Effect::Pure) {
                                self.surroundings.moves += 1;
                                self.instance.refresh(&self.surroundings);
                            }
                            let callee = if insn.src() == PSEUDO_CALL {
                                Some(usize::try_from(insn.imm).unwrap_or(usize::MAX))
                            } else {
                                let helper = helper.ok_or_else(|| violation("helper"))?;
                                if helper.takes_context() && regs[1] != CONTEXT << RANGE {
                                    return Err(violation("context"));
                                }
                                match helper {
                                    Helper::CallResolved => {
                                        let index = self.instance.resolved();
                                        match index.checked_sub(compiled.declarations.imported) {
                                            Some(defined) => Some(defined as usize),
                                            None => {
                                                self.call_import_directly(index, &mut regs, imports)?;
                                                None
                                            }
                                        }
                                    }
                                    _ => {
                                        if helper == Helper::Throw && self.is_collection_due() {
                                            let saved = frames.iter().flat_map(|frame| &frame.saved);
                                            self.collect(top.wrapping_sub(frame), regs.iter().chain(saved));
                                        }
                                        self.helper(helper, &mut regs, imports)?;
                                        None
                                    }
                                }
                            };
                            if let Some(callee) = callee {
                                let next = compiled.functions.get(callee).ok_or_else(|| violation("callee"))?;
                                frames.push(Frame { function, at, saved: [0, regs[7], regs[8], regs[9]], top });
                                // Return address, frame pointer and saved registers lie below the
                                // frame.
                                top = top.wrapping_sub(frame).wrapping_sub(48);
                                function = callee;
                                code = &next.code;
                                frame = u64::from(next.frame);
                                at = 0;
                                regs[10] = top;
                                regs[7..10].fill(0x7777_7777_7777_7777);
                            }
                            continue;
                        }
                        _ => {}
                    }
                    let operand = if insn.code & X != 0 { regs[src] } else { i64::from(insn.imm).cast_unsigned() };
                    let is_wide = insn.class() == class::JMP;
                    let distance = if op == jmp::JA && !is_wide { i64::from(insn.imm) } else { i64::from(insn.off) };
                    let target = usize::try_from(i64::try_from(at).unwrap_or(0) + distance)
                        .map_err(|_| violation("jump before the code"))?;
                    let is_taken = op == jmp::JA || holds(op, is_wide, regs[dst], operand);
                    if op != jmp::JA && self.mispredicts() {
                        self.speculate(code, if is_taken { at } else { target }, regs)
                            .map_err(|text| violation(&format!("after a misprediction {text}")))?;
                    }
                    if is_taken {
                        at = target;
                    }
                }
                _ => return Err(violation("class")),
            }
        }
    }

    /// Returns true if exceptions that nothing refers to must be freed: under stress as often as
    /// possible.
    fn is_collection_due(&self) -> bool {
        self.stress.is_some() || self.instance.is_collection_due()
    }

    /// Frees the exceptions that neither the instance, nor the stack from `pointer` on, nor `words`
    /// refer to.
    fn collect<'b>(&mut self, pointer: u64, words: impl Iterator<Item = &'b u64>) {
        let used = usize::try_from(pointer.wrapping_sub(STACK << RANGE)).unwrap_or(0) & !7;
        let stack = self.stack.get(used..).unwrap_or_default().as_chunks().0;
        self.instance.collect(stack.iter().map(|word| u64::from_le_bytes(*word)).chain(words.copied()));
    }

    fn helper(
        &mut self,
        helper: Helper,
        regs: &mut [u64; 11],
        imports: &mut impl Imports,
    ) -> Result<(), SimulationEnd> {
        let args = [regs[1], regs[2], regs[3], regs[4], regs[5]];
        let result = match helper {
            Helper::Trap => {
                let reason = args[1];
                if reason != TrapReason::Stack as u64 {
                    return Err(SimulationEnd::Stopped(InstanceStop::Trap(TrapReason::from_number(reason))));
                }
                if !self.serve() {
                    return Err(SimulationEnd::StackOverflow);
                }
                0
            }
            Helper::Checkpoint => {
                self.serve();
                0
            }
            Helper::CallImport => {
                imports.call(u32::try_from(args[1]).unwrap_or(u32::MAX), &mut self.instance)?;
                0
            }
            _ => self
                .instance
                .help(self.program, &self.compiled.declarations, &self.surroundings, helper, args)
                .map_err(SimulationEnd::Stopped)?,
        };
        regs[0] = result;
        regs[1..6].fill(0x0fed_cba9_8765_4321);
        Ok(())
    }

    /// Counts a step, with `depth` callers; false if the code ignores a request for a checkpoint.
    fn tick(&mut self, depth: u64) -> bool {
        let Some(stress) = &mut self.stress else { return true };
        stress.elapsed += 1;
        if stress.elapsed == stress.period {
            let longest = self.compiled.functions.iter().map(|function| function.code.len() as u64).max();
            // No function but those that run can begin, and each can only go forward.
            stress.patience = (depth + 2) * longest.unwrap_or(0).min(stress.straight);
            self.instance.set(STACK_LIMIT, STACK_LIMIT_RAISED);
            self.instance.set(INTERRUPT, 1);
        }
        stress.elapsed <= stress.period + stress.patience
    }

    /// Serves the request for a checkpoint; false if there is none.
    fn serve(&mut self) -> bool {
        let Some(stress) = self.stress.as_mut().filter(|stress| stress.elapsed >= stress.period) else { return false };
        stress.elapsed = 0;
        self.instance.set(STACK_LIMIT, LIMIT);
        self.instance.set(INTERRUPT, 0);
        true
    }

    /// An imported function by way of a table: its arguments are those of a function.
    fn call_import_directly(
        &mut self,
        index: u32,
        regs: &mut [u64; 11],
        imports: &mut impl Imports,
    ) -> Result<(), SimulationEnd> {
        for number in 0..5 {
            self.instance.set_arg(number, regs[number + 1]);
        }
        imports.call(index, &mut self.instance)?;
        regs[0] = self.instance.arg(0);
        Ok(())
    }

    /// The bytes at `address`, if compiled code may use them.
    fn bytes(&mut self, address: u64, size: usize, pointer: u64, frame: u64) -> Option<&mut [u8]> {
        let (range, offset) = (address >> RANGE, usize::try_from(address & ((1 << RANGE) - 1)).ok()?);
        let end = offset.checked_add(size)?;
        match range {
            STACK => {
                let end = address.checked_add(size as u64)?;
                if end > pointer || address < pointer.wrapping_sub(frame) || !has_room(pointer, frame) {
                    return None;
                }
                self.stack.get_mut(offset..offset + size)
            }
            _ => {
                let index = usize::try_from(range.checked_sub(MEMORY)?).ok()?;
                let moved = usize::try_from(self.surroundings.base(index, &[]) & ((1 << RANGE) - 1)).ok()?;
                self.instance.memory_mut(index).get_mut(offset.checked_sub(moved)?..end - moved)
            }
        }
    }

    fn load(&mut self, address: u64, size: usize, pointer: u64, frame: u64) -> Option<u64> {
        if address >> RANGE == CONTEXT {
            let offset = usize::try_from(address & ((1 << RANGE) - 1)).ok()?;
            let word = *self.instance.context().get(offset / 8)?;
            return match (size, offset % 8) {
                (8, 0) => Some(word),
                (4, 0) => Some(word & u64::from(u32::MAX)),
                _ => None,
            };
        }
        let bytes = self.bytes(address, size, pointer, frame)?;
        let mut value = [0; 8];
        value.get_mut(..size)?.copy_from_slice(bytes);
        Some(u64::from_le_bytes(value))
    }

    fn store(&mut self, address: u64, size: usize, value: u64, pointer: u64, frame: u64) -> Option<()> {
        if address >> RANGE == CONTEXT {
            let offset = address & ((1 << RANGE) - 1);
            if !matches!(size, 4 | 8) || !offset.is_multiple_of(8) || offset < crate::vmctx::ARGS.unsigned_abs().into()
            {
                return None;
            }
            let word = self.instance.context().get_mut(usize::try_from(offset / 8).ok()?)?;
            *word = if size == 4 { (*word >> 32 << 32) | (value << 32 >> 32) } else { value };
            return Some(());
        }
        let bytes = self.bytes(address, size, pointer, frame)?;
        bytes.copy_from_slice(value.to_le_bytes().get(..size)?);
        Some(())
    }
}

/// Set if a frame has room on the stack, and calls from it have.
fn has_room(pointer: u64, frame: u64) -> bool {
    let lowest = if frame > STACK_RED_ZONE.into() { pointer.wrapping_sub(frame) } else { pointer };
    lowest >= LIMIT
}
