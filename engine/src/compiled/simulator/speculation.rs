// SPDX-License-Identifier: GPL-2.0

//! Execution after a mispredicted jump.

use super::{
    super::instance::Surroundings as _,
    CONTEXT,
    MEMORY,
    RANGE,
    STACK,
    Simulator,
    Stress,
    arithmetic::{
        arithmetic,
        holds,
        size, //
    }, //
};
use crate::{
    ebpf::{
        Insn,
        X,
        class,
        jmp,
        mode, //
    },
    vmctx::{
        SPECULATION_PAD,
        index_mask, //
    },
};
use alloc::{
    format,
    string::String,
    vec::Vec, //
};

/// Most instructions that a processor executes after a misprediction.
const SPECULATION: usize = 40;

impl Simulator<'_> {
    /// Set if the processor mispredicts this jump.
    pub(super) fn mispredicts(&mut self) -> bool {
        self.compiled.declarations.has_masks && self.stress.as_mut().is_some_and(Stress::chooses)
    }

    /// Executes the instructions from `at` on, as a processor does that has mispredicted a jump, up
    /// to a call, an exit or a limit. It may mispredict further jumps. Changes nothing.
    ///
    /// # Errors
    ///
    /// The access that reads what the guest may not.
    pub(super) fn speculate(&mut self, code: &[Insn], mut at: usize, mut regs: [u64; 11]) -> Result<(), String> {
        let mut stores: Vec<(u64, usize, u64)> = Vec::new();
        for _ in 0..SPECULATION {
            let Some(insn) = code.get(at).copied() else { break };
            at += 1;
            let (dst, src) = (usize::from(insn.dst().0), usize::from(insn.src().0));
            if dst > 10 || src > 10 {
                break;
            }
            let operand = if insn.code & X != 0 { regs[src] } else { i64::from(insn.imm).cast_unsigned() };
            match insn.class() {
                class::ALU | class::ALU64 => {
                    let Some(value) = arithmetic(insn, insn.class() == class::ALU64, regs[dst], operand) else { break };
                    regs[dst] = value;
                }
                class::LD => {
                    let Some(high) = code.get(at) else { break };
                    at += 1;
                    regs[dst] = u64::from(insn.imm.cast_unsigned()) | u64::from(high.imm.cast_unsigned()) << 32;
                }
                class::LDX => {
                    let address = regs[src].wrapping_add_signed(i64::from(insn.off));
                    let size = size(insn);
                    let stored = stores.iter().rev().find(|store| (store.0, store.1) == (address, size));
                    let value = match stored {
                        Some((_, _, value)) => *value,
                        None => self.peek(address, size).ok_or_else(|| format!("load at {address:x}"))?,
                    };
                    let unused = 64 - 8 * u32::try_from(size).unwrap_or(8);
                    regs[dst] = if insn.code & 0xe0 == mode::MEMSX {
                        ((value << unused).cast_signed() >> unused).cast_unsigned()
                    } else {
                        value << unused >> unused
                    };
                }
                class::ST | class::STX => {
                    let address = regs[dst].wrapping_add_signed(i64::from(insn.off));
                    let size = size(insn);
                    self.peek(address, size).ok_or_else(|| format!("store at {address:x}"))?;
                    let value = if insn.class() == class::ST { i64::from(insn.imm).cast_unsigned() } else { regs[src] };
                    stores.push((address, size, value));
                }
                _ => {
                    let op = insn.code & 0xf0;
                    let is_wide = insn.class() == class::JMP;
                    let distance = match op {
                        jmp::CALL | jmp::EXIT => break,
                        jmp::JA if !is_wide => i64::from(insn.imm),
                        _ => i64::from(insn.off),
                    };
                    if op == jmp::JA || holds(op, is_wide, regs[dst], operand) != self.mispredicts() {
                        let target = i64::try_from(at).unwrap_or(0) + distance;
                        at = usize::try_from(target).unwrap_or(usize::MAX);
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the value that a load reads during speculation: 0 where no memory is mapped. `None`
    /// if a guest may not read there.
    fn peek(&mut self, address: u64, size: usize) -> Option<u64> {
        let (range, offset) = (address >> RANGE, address & ((1 << RANGE) - 1));
        let bytes = match range {
            CONTEXT => {
                let context = self.instance.context();
                let word = context.get(usize::try_from(offset / 8).ok()?)?;
                return Some(word >> (8 * (offset % 8)));
            }
            STACK => self.stack.as_slice(),
            _ => {
                let index = usize::try_from(range.checked_sub(MEMORY)?).ok()?;
                let offset = offset.checked_sub(self.surroundings.base(index, &[]) & ((1 << RANGE) - 1))?;
                let memory = self.instance.memory(index);
                let end = offset.checked_add(size as u64)?;
                let power = index_mask(memory.len() as u64) + 1;
                if index >= self.program.memories.len() || end > power + SPECULATION_PAD {
                    return None;
                }
                return Some(read(memory, offset, size));
            }
        };
        Some(read(bytes, offset, size))
    }
}

/// The bytes at `offset` as a number; 0 if they are not there.
fn read(bytes: &[u8], offset: u64, size: usize) -> u64 {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let bytes = bytes.get(start..).and_then(|bytes| bytes.get(..size)).unwrap_or_default();
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}
