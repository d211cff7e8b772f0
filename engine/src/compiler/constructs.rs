// SPDX-License-Identifier: GPL-2.0

//! Compiles the beginnings and ends of constructs: blocks, loops, `if`s, and the function.

use super::{
    Error,
    assembler::{
        Label,
        RegImm, //
    },
    exceptions::Landing,
    function::{
        Compiler,
        args_offset, //
    },
    registers::{
        Snapshot,
        Value, //
    },
    value_words::size, //
};
use crate::ebpf::{
    R0,
    R6,
    width, //
};
use wasmparser::BlockType;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlKind {
    Function,
    Block,
    Loop,
    If,
    Else,
    /// The body of a try, of either form.
    Try,
    /// A clause of a `try`.
    Catch,
}

/// An open construct: a function, block, loop, `if` or try whose `end` has not been compiled.
pub(super) struct Control {
    pub(super) kind: ControlKind,
    pub(super) label: Label,
    /// State at the label, decided by the first branch to it.
    pub(super) state: Option<Snapshot>,
    /// Height of the operand stack below the parameters.
    pub(super) height: usize,
    /// Number of words of the parameters.
    pub(super) params: usize,
    /// Number of words of the results.
    pub(super) results: usize,
    /// Position after which the label's state is used: for a loop its beginning.
    pub(super) position: u32,
    /// Number of instructions of the longest path to the label from the last checkpoint or call.
    pub(super) path_length: u32,
    /// Label, state and length of the path of an `if` whose condition is 0.
    pub(super) otherwise: Option<(Label, Snapshot, u32)>,
    /// Target of an exception in a try, until the code of the landing is emitted.
    pub(super) landing: Option<Landing>,
    /// Number among the constructs of the function.
    pub(super) number: usize,
}

impl Control {
    /// Returns true if something goes to the landing.
    pub(super) fn has_landing(&self) -> bool {
        self.landing.as_ref().is_some_and(|landing| landing.is_used)
    }

    /// Returns the number of words that a branch carries.
    pub(super) fn arity(&self) -> usize {
        if self.kind == ControlKind::Loop { self.params } else { self.results }
    }
}

impl Compiler<'_> {
    /// Returns the numbers of words of the parameters and of the results.
    fn block_type(&self, ty: BlockType) -> Result<(usize, usize), Error> {
        Ok(match ty {
            BlockType::Empty => (0, 0),
            BlockType::Type(ty) => (0, size(ty)),
            BlockType::FuncType(index) => {
                let ty = self.declarations.types.get(index as usize).ok_or(Error::Internal("type index"))?;
                (ty.param_words(), ty.result_words())
            }
        })
    }

    /// Returns the index in [`Compiler::controls`] of the construct that a branch targets.
    pub(super) fn target(&self, relative_depth: u32) -> Result<usize, Error> {
        self.controls
            .len()
            .checked_sub(1)
            .and_then(|last| last.checked_sub(relative_depth as usize))
            .ok_or(Error::Internal("branch depth"))
    }

    /// Compiles the beginning of a construct.
    pub(super) fn open(&mut self, kind: ControlKind, ty: BlockType) -> Result<(), Error> {
        let (params, results) = self.block_type(ty)?;
        let condition = if kind == ControlKind::If { Some(self.condition()?) } else { None };
        self.frame.spill_all(params)?;
        let height = self.frame.stack.len().checked_sub(params).ok_or(Error::Internal("block parameters"))?;
        let number = self.constructs;
        let position = self.frame.analysis.ends.get(number).copied().unwrap_or(u32::MAX);
        self.constructs = number.saturating_add(1);
        let label = self.frame.asm.label();
        let (state, otherwise, landing) = (None, None, None);
        let path_length = 0;
        let mut control =
            Control { kind, label, state, height, params, results, position, path_length, otherwise, landing, number };
        if let Some(compare) = condition {
            let otherwise = self.frame.asm.label();
            self.jump_if(&compare.inverse(), otherwise)?;
            self.frame.unlock();
            control.otherwise = Some((otherwise, self.frame.now, self.path_length()));
        }
        if kind != ControlKind::Loop {
            self.controls.push(control);
            return Ok(());
        }
        let number = self.loops;
        self.loops = self.loops.saturating_add(1);
        control.position = self.frame.position;
        let head = self.frame.enter_loop(number);
        control.state = Some(head);
        self.controls.push(control);
        self.transfer(self.controls.len().saturating_sub(1))?;
        self.frame.now = head;
        self.checkpoint(label)
    }

    /// Compiles `else`.
    pub(super) fn otherwise(&mut self) -> Result<(), Error> {
        let last = self.controls.len().checked_sub(1).ok_or(Error::Internal("else"))?;
        if self.is_reachable {
            self.branch(last)?;
        }
        let control = self.controls.get_mut(last).ok_or(Error::Internal("else"))?;
        let (label, state, length) = control.otherwise.take().ok_or(Error::Internal("else without if"))?;
        control.kind = ControlKind::Else;
        let (height, params) = (control.height, control.params);
        self.resume(label, &state, height, length)?;
        for _ in 0..params {
            self.frame.push(Value::Slot)?;
        }
        Ok(())
    }

    /// Continues at `label` in `state`, with `height` operands. Paths to the label have at most
    /// `length` instructions since the last checkpoint or call.
    pub(super) fn resume(&mut self, label: Label, state: &Snapshot, height: usize, length: u32) -> Result<(), Error> {
        self.frame.truncate(height)?;
        self.frame.now = *state;
        self.frame.asm.bind(label)?;
        self.set_path_length(length);
        self.frame.claim();
        self.is_reachable = true;
        Ok(())
    }

    /// Compiles `end`.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        let last = self.controls.len().checked_sub(1).ok_or(Error::Internal("end"))?;
        let control = self.controls.get_mut(last).ok_or(Error::Internal("end"))?;
        let (kind, height, params, results) = (control.kind, control.height, control.params, control.results);
        match kind {
            ControlKind::Loop => {
                self.controls.pop();
                self.frame.leave_loop();
                return Ok(());
            }
            ControlKind::If => {
                // The path without an else ends with the parameters as results.
                let (label, state, length) = control.otherwise.take().ok_or(Error::Internal("if"))?;
                control.kind = ControlKind::Else;
                if control.state.is_none() && results == 0 {
                    let now = core::mem::replace(&mut self.frame.now, state);
                    self.decide(last)?;
                    self.frame.now = now;
                }
                if self.is_reachable {
                    self.branch(last)?;
                }
                self.resume(label, &state, height, length)?;
                for _ in 0..params {
                    self.frame.push(Value::Slot)?;
                }
            }
            ControlKind::Try | ControlKind::Catch if kind == ControlKind::Catch || control.has_landing() => {
                return self.end_try(None);
            }
            ControlKind::Block | ControlKind::Else | ControlKind::Try if control.state.is_none() => {
                // Nothing branches here.
                self.close_try();
                self.controls.pop();
                return Ok(());
            }
            ControlKind::Function | ControlKind::Block | ControlKind::Else | ControlKind::Try | ControlKind::Catch => {
                self.close_try()
            }
        }
        if self.is_reachable {
            self.frame.place_results(results)?;
            // An `if` whose other path does not come here has no state yet.
            self.decide(last)?;
            self.transfer(last)?;
            self.note_path(last);
        }
        let control = self.controls.pop().ok_or(Error::Internal("end"))?;
        let state = control.state.unwrap_or_default();
        self.resume(control.label, &state, height, control.path_length)?;
        self.push_results(results)?;
        if kind == ControlKind::Function {
            self.leave(results)?;
        }
        Ok(())
    }

    pub(super) fn push_results(&mut self, results: usize) -> Result<(), Error> {
        if results == 1 {
            return self.frame.push(Value::Reg(R0));
        }
        for _ in 0..results {
            self.frame.push(Value::Slot)?;
        }
        Ok(())
    }

    /// Returns from the function; the results are the operands.
    fn leave(&mut self, results: usize) -> Result<(), Error> {
        if results > 1 {
            for index in (0..results).rev() {
                let operand = self.frame.pop()?;
                let slot = self.frame.operand_slot(operand.depth);
                self.frame.asm.load_slot(R0, slot)?;
                if index > 0 {
                    let index = u32::try_from(index).unwrap_or(u32::MAX);
                    self.frame.asm.store(width::DW, R6, args_offset(index)?, RegImm::Reg(R0))?;
                }
            }
        }
        self.frame.asm.exit()?;
        self.frame.truncate(0)?;
        self.is_reachable = false;
        Ok(())
    }
}
