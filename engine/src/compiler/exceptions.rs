// SPDX-License-Identifier: GPL-2.0

//! Compiles throws and catches of exceptions, see [`EXCEPTION`].
//!
//! At a landing all locals are in their frame slots, and so are the operands below the try, which
//! are there from its beginning on. Code that may go to a landing stores the locals first;
//! registers hold nothing there.

use super::{
    Error,
    assembler::{
        Condition,
        Label,
        RegImm, //
    },
    calls::HelperArgument,
    constructs::ControlKind,
    function::Compiler,
    registers::{
        Snapshot,
        Value, //
    },
};
use crate::{
    ebpf::{
        R0,
        R1,
        R6,
        jmp,
        width, //
    },
    vmctx::{
        EXCEPTION,
        Helper, //
    },
};
use alloc::vec::Vec;
use wasmparser::{
    BlockType,
    Catch, //
};

/// Target of an exception that is thrown in a try.
pub(super) struct Landing {
    /// The landing. In the clauses of a `try`, what follows if the clauses so far do not catch the
    /// exception.
    label: Label,
    /// Set if something goes there.
    pub(super) is_used: bool,
    /// Number of instructions of the longest path to it from the last checkpoint or call.
    path_length: u32,
    /// The clauses of a `try_table`.
    catches: Vec<Catch>,
}

/// Instructions that a clause usually takes.
const CLAUSE_MAX: u32 = 24;

/// Instructions of a fork or a jump with what it needs.
const FORK_MAX: u32 = 4;

impl Compiler<'_> {
    /// Opens a try, of either form.
    pub(super) fn open_try(&mut self, ty: BlockType, catches: &[Catch]) -> Result<(), Error> {
        self.open(ControlKind::Try, ty)?;
        let label = self.frame.asm.label();
        let mut copy = Vec::new();
        copy.try_reserve_exact(catches.len()).map_err(|_| Error::Memory)?;
        copy.extend_from_slice(catches);
        let index = self.controls.len().checked_sub(1).ok_or(Error::Internal("try"))?;
        let control = self.controls.last_mut().ok_or(Error::Internal("try"))?;
        control.landing = Some(Landing { label, is_used: false, path_length: 0, catches: copy });
        self.tries.try_reserve(1).map_err(|_| Error::Memory)?;
        self.tries.push(index);
        Ok(())
    }

    /// Closes the innermost construct as the body of a try, if it is one.
    pub(super) fn close_try(&mut self) {
        let last = self.controls.len().checked_sub(1);
        if last.is_some() && self.tries.last().copied() == last {
            self.tries.pop();
        }
    }

    /// Returns the label of what follows when an exception is thrown within the `count` outermost
    /// constructs: the landing of the innermost try among them, or else the end of the function.
    fn landing(&mut self, count: usize) -> Label {
        let length = self.path_length().saturating_add(FORK_MAX);
        let tries = self.tries.partition_point(|index| *index < count);
        let innermost = tries.checked_sub(1).and_then(|index| self.tries.get(index).copied());
        let control = innermost.and_then(|index| self.controls.get_mut(index));
        match control.and_then(|control| control.landing.as_mut()) {
            Some(landing) => {
                landing.is_used = true;
                landing.path_length = landing.path_length.max(length);
                landing.label
            }
            None => self.exit(),
        }
    }

    /// Stores the locals that a landing may read, before a call that may throw, if there is a
    /// landing.
    pub(super) fn prepare_landing(&mut self) -> Result<(), Error> {
        if !self.tries.is_empty() && self.declarations.has_exceptions() { self.frame.save_preserved() } else { Ok(()) }
    }

    /// Emits what follows a call: control goes to the landing if an exception is being thrown.
    pub(super) fn land_if_thrown(&mut self) -> Result<(), Error> {
        if !self.declarations.has_exceptions() {
            return Ok(());
        }
        let label = self.landing(self.controls.len());
        self.frame.asm.load(width::DW, R1, R6, EXCEPTION)?;
        self.fork(Condition(jmp::JNE), true, R1, RegImm::Imm(0), label)
    }

    /// Emits a jump to the landing, while an exception is being thrown.
    fn land(&mut self) -> Result<(), Error> {
        if !self.tries.is_empty() {
            self.frame.save_preserved()?;
        }
        let label = self.landing(self.controls.len());
        self.frame.asm.jump(label)?;
        self.diverge()
    }

    /// Compiles `throw`.
    pub(super) fn throw(&mut self, tag: u32) -> Result<(), Error> {
        self.call_bulk(Helper::Throw, &[u64::from(tag)], self.declarations.tag_words(tag)?)?;
        self.land()
    }

    /// Compiles `throw_ref`.
    pub(super) fn throw_ref(&mut self) -> Result<(), Error> {
        self.call_helper(Helper::ThrowRef, &[], 1, false)?;
        self.land()
    }

    /// Compiles `rethrow` of the exception that an enclosing clause of a `try` has caught.
    pub(super) fn rethrow(&mut self, relative_depth: u32) -> Result<(), Error> {
        let target = self.target(relative_depth)?;
        let height = self.controls.get(target).map(|control| control.height).ok_or(Error::Internal("rethrow"))?;
        let slot = self.frame.operand_slot(u32::try_from(height).map_err(|_| Error::TooLarge("operands"))?);
        let reg = self.frame.alloc()?;
        self.frame.asm.load_slot(reg, slot)?;
        self.frame.push(Value::Reg(reg))?;
        self.frame.unlock();
        self.throw_ref()
    }

    /// Begins code that runs while an exception is being thrown, with `height` operands. Paths to
    /// it have at most `length` instructions since the last checkpoint or call.
    fn begin_landing(&mut self, label: Label, height: usize, length: u32) -> Result<(), Error> {
        self.resume(label, &Snapshot::default(), height, length)?;
        self.checkpoint_if_due()
    }

    /// Catches the exception that is being thrown if it has tag `tag`. Otherwise control goes to
    /// the returned label.
    fn test_tag(&mut self, tag: u32, has_ref: bool) -> Result<Label, Error> {
        self.arguments(&[
            HelperArgument::Context,
            HelperArgument::Const(u64::from(tag)),
            HelperArgument::Const(u64::from(has_ref)),
        ])?;
        self.frame.asm.call_helper(Helper::CatchTag)?;
        self.frame.clobber(false)?;
        let next = self.frame.asm.label();
        self.fork(Condition(jmp::JEQ), true, R0, RegImm::Imm(0), next)?;
        Ok(next)
    }

    /// Catches the exception that is being thrown.
    fn catch_any(&mut self, has_ref: bool) -> Result<(), Error> {
        self.arguments(&[HelperArgument::Context, HelperArgument::Const(u64::from(has_ref))])?;
        self.frame.asm.call_helper(Helper::CatchAll)?;
        self.frame.clobber(false)
    }

    /// Compiles a clause of a `try_table`, whose construct is no longer open. Returns false if it
    /// catches every exception.
    fn clause(&mut self, clause: Catch, height: usize) -> Result<bool, Error> {
        let (tag, label, has_ref) = match clause {
            Catch::One { tag, label } => (Some(tag), label, false),
            Catch::OneRef { tag, label } => (Some(tag), label, true),
            Catch::All { label } => (None, label, false),
            Catch::AllRef { label } => (None, label, true),
        };
        let target = self.target(label)?;
        let Some(tag) = tag else {
            self.catch_any(has_ref)?;
            self.push_args(0, usize::from(has_ref))?;
            self.branch(target)?;
            return Ok(false);
        };
        let next = self.test_tag(tag, has_ref)?;
        let length = self.path_length();
        self.push_args(0, self.declarations.tag_words(tag)?.saturating_add(usize::from(has_ref)))?;
        self.branch(target)?;
        self.begin_landing(next, height, length)?;
        Ok(true)
    }

    /// Ends the body or a clause of a try. Returns the index of the try's construct.
    fn end_part(&mut self) -> Result<usize, Error> {
        let last = self.controls.len().checked_sub(1).ok_or(Error::Internal("end"))?;
        if self.is_reachable {
            self.branch(last)?;
            self.diverge()?;
        }
        self.close_try();
        Ok(last)
    }

    /// Ends a try: emits its landing. An exception that it does not catch is thrown within the
    /// construct at `delegate`, if given, or else within the one around the try.
    pub(super) fn end_try(&mut self, delegate: Option<u32>) -> Result<(), Error> {
        self.end_part()?;
        let mut control = self.controls.pop().ok_or(Error::Internal("end"))?;
        let count = match delegate {
            Some(depth) => self.target(depth)?.saturating_add(1),
            None => self.controls.len(),
        };
        if let Some(landing) = control.landing.take().filter(|landing| landing.is_used) {
            self.interrupt(CLAUSE_MAX)?;
            self.begin_landing(landing.label, control.height, landing.path_length)?;
            let mut passes = true;
            for clause in landing.catches {
                crate::poll();
                passes = self.clause(clause, control.height)?;
                if !passes {
                    break;
                }
                self.interrupt(CLAUSE_MAX)?;
            }
            if passes {
                let outer = self.landing(count);
                self.frame.asm.jump(outer)?;
            }
            self.is_reachable = false;
            self.frame.truncate(control.height)?;
        }
        if let Some(state) = control.state {
            self.resume(control.label, &state, control.height, control.path_length)?;
            self.push_results(control.results)?;
        }
        Ok(())
    }

    /// Ends a `try` whose exceptions are thrown within another construct.
    pub(super) fn delegate(&mut self, relative_depth: u32) -> Result<(), Error> {
        self.end_try(Some(relative_depth))
    }

    /// Begins a clause of a `try`: for exceptions with tag `tag`, or for all.
    pub(super) fn catch(&mut self, tag: Option<u32>) -> Result<(), Error> {
        let last = self.end_part()?;
        let control = self.controls.get_mut(last).ok_or(Error::Internal("catch"))?;
        control.kind = ControlKind::Catch;
        let (height, number) = (control.height, control.number);
        let Some(landing) = control.landing.take().filter(|landing| landing.is_used) else {
            // Nothing throws.
            return self.frame.truncate(height);
        };
        let has_ref = u32::try_from(number).is_ok_and(|number| self.frame.analysis.rethrown.contains(&number));
        self.interrupt(CLAUSE_MAX)?;
        self.begin_landing(landing.label, height, landing.path_length)?;
        let mut words = 0;
        if let Some(tag) = tag {
            words = self.declarations.tag_words(tag)?;
            let label = self.test_tag(tag, has_ref)?;
            let path_length = self.path_length();
            let next = Landing { label, is_used: true, path_length, catches: Vec::new() };
            self.controls.get_mut(last).ok_or(Error::Internal("catch"))?.landing = Some(next);
        } else {
            self.catch_any(has_ref)?;
        }
        // A reference to the exception, for `rethrow`, is below the values.
        let first = u32::try_from(words).map_err(|_| Error::TooLarge("values of an exception"))?;
        self.push_args(first, usize::from(has_ref))?;
        self.push_args(0, words)
    }
}
