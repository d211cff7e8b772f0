// SPDX-License-Identifier: GPL-2.0

//! Checkpoints in loops and in straight-line code.
//!
//! Each loop begins with a checkpoint, and so does each function, by the comparison of the stack
//! limit. Between them code only goes forward, but functions of a deep recursion may all return
//! through long straight-line code. A function therefore has a further checkpoint wherever a path
//! would otherwise execute more than a number of instructions since the last checkpoint or call.

use super::{
    Error,
    assembler::{
        Assembler,
        Condition,
        Label,
        RegImm, //
    },
    function::{
        Cold,
        Compiler, //
    },
    registers::{
        Holder,
        Snapshot,
        claim, //
    },
};
use crate::{
    ebpf::{
        R6,
        R7,
        Reg,
        jmp,
        width, //
    },
    vmctx::{
        Helper,
        INTERRUPT,
        MemoryField,
        memory_offset, //
    },
};

/// Most instructions that a path executes after a checkpoint or call, besides those of one
/// operator, before the next checkpoint or call. A call of a helper counts as several.
pub(super) const STRAIGHT_MAX: u32 = 1024;

/// Number of instructions that a call of a helper counts as. Helpers that compute do not look for
/// requests; one of them takes about as long as so many eBPF instructions.
const HELPER_COST: u32 = 32;

/// Number of instructions that a call of [`Helper::Simd`] counts as: it computes up to 16 lanes.
const SIMD_COST: u32 = 128;

/// Number of instructions of the longest path from the last checkpoint or call to the present
/// place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PathLength {
    /// Length at `at`.
    length: u32,
    /// Index of an instruction.
    at: u32,
}

impl Compiler<'_> {
    /// Returns the number of instructions of the longest path from the last checkpoint or call.
    pub(super) fn path_length(&self) -> u32 {
        self.path.length.saturating_add(self.frame.asm.here().saturating_sub(self.path.at))
    }

    /// Sets the number of instructions of the longest path from the last checkpoint or call.
    pub(super) fn set_path_length(&mut self, length: u32) {
        self.path = PathLength { length, at: self.frame.asm.here() };
    }

    /// Notes that the path to this place continues at the label of construct `target`.
    pub(super) fn note_path(&mut self, target: usize) {
        let length = self.path_length();
        if let Some(control) = self.controls.get_mut(target) {
            control.path_length = control.path_length.max(length);
        }
    }

    /// Counts the call of a helper.
    pub(super) fn note_helper(&mut self, helper: Helper) {
        let cost = if helper == Helper::Simd { SIMD_COST } else { HELPER_COST };
        self.set_path_length(self.path_length().saturating_add(cost));
    }

    /// Emits a checkpoint if the longest path to this place is too long without one.
    pub(super) fn checkpoint_if_due(&mut self) -> Result<(), Error> {
        if !self.is_reachable || self.compare.is_some() || self.path_length() <= self.straight {
            return Ok(());
        }
        self.frame.save()?;
        self.frame.clobber(true)?;
        let head = self.frame.asm.label();
        self.checkpoint(head)
    }

    /// Emits a checkpoint, which begins at the label `head`.
    pub(super) fn checkpoint(&mut self, head: Label) -> Result<(), Error> {
        self.frame.asm.bind(head)?;
        self.frame.claim();
        let word = self.frame.alloc()?;
        let label = self.frame.asm.label();
        self.frame.asm.load(width::DW, word, R6, INTERRUPT)?;
        self.frame.asm.jump_if(Condition(jmp::JNE), true, word, RegImm::Imm(0), label)?;
        self.frame.unlock();
        self.set_path_length(0);
        let state = self.frame.now;
        self.cold.push(Cold::Checkpoint { label, head, state });
        Ok(())
    }
}

/// Emits the code at `label`, which calls the engine for the checkpoint at `head`, in `state`.
pub(super) fn call(asm: &mut Assembler, label: Label, head: Label, state: &Snapshot) -> Result<(), Error> {
    asm.bind(label)?;
    claim(asm, state);
    let saved = |reg: &u8| match state.cell(Reg(*reg)).holder {
        Holder::Local { local, is_dirty } => Some((local, is_dirty || state.cell(Reg(*reg)).bytes > 0)),
        _ => None,
    };
    for reg in 0..6 {
        if let Some((local, true)) = saved(&reg) {
            asm.store_slot(local, RegImm::Reg(Reg(reg)))?;
        }
    }
    asm.pass_context()?;
    asm.call_helper(Helper::Checkpoint)?;
    for reg in 0..6 {
        if let Some((local, _)) = saved(&reg) {
            asm.load_slot(Reg(reg), local)?;
        }
    }
    if state.has_base {
        asm.load(width::DW, R7, R6, memory_offset(0, MemoryField::Base))?;
    }
    asm.jump(head)
}
