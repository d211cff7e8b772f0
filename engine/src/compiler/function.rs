// SPDX-License-Identifier: GPL-2.0

//! Compiles a function, operator by operator, and code out of the way.
//!
//! Code that rarely runs, for traps and checkpoints, is out of the way of the other code: at the
//! end of the function, or, if jumps to the end might be too far, at places in between that the
//! other code jumps over.
//!
//! A fork is a conditional jump that can be made to reach far: it then becomes two instructions.

use super::{
    CompilerOptions,
    Declarations,
    Error,
    REACH,
    WordMap,
    analysis::{
        FIRST_POSITION,
        analyse, //
    },
    assembler::{
        Assembler,
        Condition,
        Label,
        RegImm, //
    },
    checkpoints::{
        self,
        PathLength,
        STRAIGHT_MAX, //
    },
    compares::Compare,
    constructs::{
        Control,
        ControlKind, //
    },
    registers::{
        Frame,
        Holder,
        Snapshot, //
    }, //
};
use crate::{
    ebpf::{
        R0,
        R2,
        R6,
        R10,
        Reg,
        alu,
        jmp,
        width, //
    },
    vmctx::{
        ARGS,
        Function,
        Helper,
        STACK_LIMIT,
        STACK_RED_ZONE,
        TrapReason, //
    },
};
use alloc::vec::Vec;
use wasmparser::{
    FunctionBody,
    Operator,
    OperatorsReader, //
};

/// Parameters that are passed in registers.
pub(super) const REG_PARAMS: u32 = 5;

/// Offset of word `index` of the arguments in the context.
pub(super) fn args_offset(index: u32) -> Result<i16, Error> {
    i16::try_from(index)
        .ok()
        .and_then(|index| index.checked_mul(8))
        .and_then(|bytes| ARGS.checked_add(bytes))
        .ok_or(Error::TooLarge("parameters or results"))
}

/// Code out of the way that is not emitted yet.
#[expect(clippy::large_enum_variant, reason = "a function has a trap at most for each reason, and more checkpoints")]
pub(super) enum Cold {
    /// The call of the checkpoint that begins at `head`, in `state`.
    Checkpoint { label: Label, head: Label, state: Snapshot },
    /// A trap.
    Trap { label: Label, reason: TrapReason },
}

/// A function that is being compiled.
pub(super) struct Compiler<'a> {
    pub(super) declarations: &'a Declarations,
    pub(super) locals: &'a WordMap,
    /// Positions of the operators that drop or select a `v128`, ascending.
    vectors: &'a [u32],
    pub(super) frame: Frame,
    /// Index of the function among all functions.
    pub(super) index: u32,
    /// The function's first instruction.
    pub(super) entry: Option<Label>,
    reader: OperatorsReader<'a>,
    /// The operator after the present one.
    pub(super) next: Option<Operator<'a>>,
    /// Offset of that operator in the module.
    offset: usize,
    /// Constructs that are open, the outermost first.
    pub(super) controls: Vec<Control>,
    pub(super) cold: Vec<Cold>,
    /// The compare that was the last operator: it has not been emitted.
    pub(super) compare: Option<Compare>,
    /// Set if the present operator can be reached.
    pub(super) is_reachable: bool,
    /// Constructs that were opened in unreachable code.
    skipped: u32,
    /// Indices in [`Compiler::controls`] of the tries whose bodies are open, ascending.
    pub(super) tries: Vec<usize>,
    /// Code out of the way that returns to the caller while an exception is being thrown, until it
    /// is emitted.
    exit: Option<Label>,
    /// Number of loops so far.
    pub(super) loops: usize,
    /// Number of blocks, loops and `if`s so far.
    pub(super) constructs: usize,
    /// Number of instructions that conditional jumps reach over.
    reach: u16,
    /// Numbers of the forks that must reach far, ascending; `None` if no conditional jump was too
    /// far in the earlier attempt.
    far: Option<&'a [u32]>,
    /// Number of forks so far.
    forks: u32,
    /// Label of the code for a stack that is used up, and the number of parameters, until the code
    /// is emitted.
    stack: Option<(Label, u32)>,
    /// Number of instructions when code out of the way was emitted last.
    island: u32,
    pub(super) path: PathLength,
    /// Number of instructions that a path may execute without a checkpoint.
    pub(super) straight: u32,
}

/// Most instructions of one [`Cold`].
const COLD_MAX: usize = 32;

/// Instructions that a target of a `br_table` usually takes.
const TARGET_MAX: u32 = 8;

/// Most attempts to compile a function.
const ATTEMPTS: u32 = 8;

/// A compiled function.
pub(super) struct Translated {
    pub(super) function: Function,
    /// The assembler, for another function.
    pub(super) assembler: Assembler,
    /// Set if the function calls others in tail position.
    pub(super) calls_tails: bool,
}

/// Compiles function `index`, whose body has been validated; the operators at `vectors` drop or
/// select a `v128`.
pub(super) fn compile(
    declarations: &Declarations,
    index: u32,
    body: &FunctionBody<'_>,
    vectors: &[u32],
    options: CompilerOptions,
    mut asm: Assembler,
) -> Result<Translated, Error> {
    let reach = options.reach.min(REACH);
    let ty = declarations.function_type(index)?;
    let mut words = WordMap::default();
    for ty in &ty.params {
        words.add(*ty, 1)?;
    }
    let params = words.count();
    for group in body.get_locals_reader()? {
        let (count, ty) = group?;
        words.add(ty, count)?;
    }
    let locals = words.count();
    // The size of the frame, and which jumps are too far, are known only once the function is
    // compiled.
    let mut is_large = false;
    let mut far: Option<Vec<u32>> = None;
    for attempt in 1..=ATTEMPTS {
        let is_tail = |callee| callee != index && callee >= declarations.imported;
        let analysis = analyse(body.get_operators_reader()?, params, &words, is_tail)?;
        let calls_tails = analysis.calls_tails;
        let frame = Frame::new(asm, analysis, locals)?;
        let mut compiler = Compiler {
            declarations,
            locals: &words,
            vectors,
            frame,
            index,
            entry: None,
            reader: body.get_operators_reader()?,
            next: None,
            offset: 0,
            controls: Vec::new(),
            cold: Vec::new(),
            compare: None,
            is_reachable: true,
            skipped: 0,
            tries: Vec::new(),
            exit: None,
            loops: 0,
            constructs: 0,
            reach,
            far: far.as_deref(),
            forks: 0,
            stack: None,
            island: 0,
            path: PathLength::default(),
            straight: options.straight.min(STRAIGHT_MAX),
        };
        compiler.run(params, locals, ty.result_words(), is_large)?;
        let size = compiler.frame.size();
        asm = compiler.frame.asm;
        if size > STACK_RED_ZONE && !is_large {
            is_large = true;
            continue;
        }
        match asm.far_forks(reach) {
            Some(more) if attempt < ATTEMPTS && (far.is_none() || !more.is_empty()) => {
                let far = far.get_or_insert_default();
                far.extend(more);
                far.sort_unstable();
                far.dedup();
            }
            _ => {
                let function = asm.finish(size)?;
                return Ok(Translated { function, assembler: asm, calls_tails });
            }
        }
    }
    Err(Error::Internal("frame size"))
}

/// Emits the code for a stack that is used up: the function keeps its arguments in the context,
/// asks the engine for stack, and begins again. The engine ends the guest, unless the host raised
/// the stack limit to request a checkpoint.
pub(super) fn without_stack(asm: &mut Assembler, params: u32, entry: Label) -> Result<(), Error> {
    for (param, reg) in (0..params.min(REG_PARAMS)).zip(1..) {
        asm.store(width::DW, R6, args_offset(param)?, RegImm::Reg(Reg(reg)))?;
    }
    asm.pass_context()?;
    asm.constant(R2, TrapReason::Stack as u64)?;
    asm.call_helper(Helper::Trap)?;
    for (param, reg) in (0..params.min(REG_PARAMS)).zip(1..) {
        asm.load(width::DW, Reg(reg), R6, args_offset(param)?)?;
    }
    asm.jump(entry)
}

impl<'a> Compiler<'a> {
    /// Compiles the function. A function that `is_large` has a frame of more than
    /// [`STACK_RED_ZONE`] bytes.
    fn run(&mut self, params: u32, locals: u32, results: usize, is_large: bool) -> Result<(), Error> {
        let entry = self.frame.asm.label();
        let stack = self.frame.asm.label();
        self.frame.asm.origin(None);
        self.frame.asm.bind(entry)?;
        self.entry = Some(entry);
        self.frame.asm.load(width::DW, R0, R6, STACK_LIMIT)?;
        if is_large {
            // The size is not known yet; it is at most this.
            self.frame.asm.alu(alu::ADD, true, R0, RegImm::Imm(i32::from(i16::MAX)))?;
        }
        self.frame.asm.jump_if(Condition(jmp::JLT), true, R10, RegImm::Reg(R0), stack)?;
        self.stack = Some((stack, params));
        self.enter(params, locals)?;
        let label = self.frame.asm.label();
        self.controls.push(Control {
            kind: ControlKind::Function,
            label,
            state: Some(Snapshot::default()),
            height: 0,
            params: 0,
            results,
            position: u32::MAX,
            path_length: 0,
            otherwise: None,
            landing: None,
            number: usize::MAX,
        });
        self.frame.position = FIRST_POSITION.saturating_sub(1);
        self.advance()?;
        let mut polled = self.offset;
        while let Some(operator) = self.next.take() {
            super::poll(&mut polled, self.offset);
            self.frame.position = self.frame.position.saturating_add(1);
            let offset = self.offset;
            self.advance()?;
            if let Operator::BrTable { targets } = &operator {
                self.interrupt(targets.len().saturating_mul(TARGET_MAX))?;
            }
            self.frame.asm.origin(Some(offset));
            self.operator(&operator)?;
            self.interrupt(0)?;
            self.checkpoint_if_due()?;
        }
        self.out_of_the_way()
    }

    /// Emits the code out of the way here if jumps to it might be too far after `more` further
    /// instructions.
    pub(super) fn interrupt(&mut self, more: u32) -> Result<(), Error> {
        if self.far.is_none() || self.compare.is_some() {
            return Ok(());
        }
        let pending = u32::try_from(self.cold.len().saturating_mul(COLD_MAX)).unwrap_or(u32::MAX);
        if self.frame.asm.here().saturating_sub(self.island).saturating_add(pending).saturating_add(more)
            < u32::from(self.reach / 3)
        {
            return Ok(());
        }
        if !self.is_reachable {
            return self.out_of_the_way();
        }
        let over = self.frame.asm.label();
        self.frame.asm.jump(over)?;
        let length = self.path_length();
        self.out_of_the_way()?;
        self.set_path_length(length);
        self.frame.asm.bind(over)?;
        self.frame.claim();
        Ok(())
    }

    /// Emits a fork: jumps to `label`, which may be far, if `dst condition source` holds.
    pub(super) fn fork(
        &mut self,
        condition: Condition,
        is_wide: bool,
        dst: Reg,
        source: RegImm,
        label: Label,
    ) -> Result<(), Error> {
        let number = self.forks;
        self.forks = number.saturating_add(1);
        let asm = &mut self.frame.asm;
        if self.far.is_none_or(|far| far.binary_search(&number).is_err()) {
            asm.note_fork(label, number);
            return asm.jump_if(condition, is_wide, dst, source, label);
        }
        let near = asm.label();
        asm.jump_if(condition.inverse(), is_wide, dst, source, near)?;
        asm.jump(label)?;
        asm.bind(near)?;
        self.frame.claim();
        Ok(())
    }

    /// Reads the next operator.
    fn advance(&mut self) -> Result<(), Error> {
        self.offset = self.reader.original_position();
        self.next = if self.reader.eof() { None } else { Some(self.reader.read()?) };
        Ok(())
    }

    /// Returns the word of the local to which the next operator assigns the result, unless it is a
    /// `v128`.
    pub(super) fn next_local(&self) -> Option<u32> {
        match self.next {
            Some(Operator::LocalSet { local_index } | Operator::LocalTee { local_index }) => {
                self.locals.locate(local_index).filter(|(_, is_vector)| !is_vector).map(|(word, _)| word)
            }
            _ => None,
        }
    }

    /// Returns the words of the local to which the next operator assigns the result, if it is a
    /// `v128`.
    pub(super) fn next_vector(&self) -> [Option<u32>; 2] {
        let local = match self.next {
            Some(Operator::LocalSet { local_index } | Operator::LocalTee { local_index }) => {
                self.locals.locate(local_index).filter(|(_, is_vector)| *is_vector)
            }
            _ => None,
        };
        local.map_or([None; 2], |(word, _)| [Some(word), Some(word.saturating_add(1))])
    }

    /// Returns true if the present operator drops or selects a `v128`.
    pub(super) fn is_vector(&self) -> bool {
        self.vectors.binary_search(&self.frame.position).is_ok()
    }

    /// Emits what brings parameters and locals into their places at the beginning of the function.
    fn enter(&mut self, params: u32, locals: u32) -> Result<(), Error> {
        let frame = &mut self.frame;
        for (param, reg) in (0..params.min(REG_PARAMS)).zip(1..) {
            if frame.is_live(param) {
                frame.hold(Reg(reg), Holder::Local { local: param, is_dirty: true })?;
            }
        }
        for param in 0..params.min(REG_PARAMS) {
            frame.settle(param)?;
        }
        for param in REG_PARAMS..params {
            if frame.is_live(param) {
                frame.asm.load(width::DW, R0, R6, args_offset(param)?)?;
                frame.asm.store_slot(param, RegImm::Reg(R0))?;
            }
        }
        for local in params..locals {
            if frame.analysis.locals.get(local as usize).is_some_and(|lifetime| lifetime.needs_zero) {
                frame.asm.store_slot(local, RegImm::Imm(0))?;
            }
        }
        Ok(())
    }

    /// Emits the code out of the way.
    fn out_of_the_way(&mut self) -> Result<(), Error> {
        let cold = core::mem::take(&mut self.cold);
        let asm = &mut self.frame.asm;
        asm.origin(None);
        if let Some((stack, params)) = self.stack.take() {
            asm.bind(stack)?;
            without_stack(asm, params, self.entry.ok_or(Error::Internal("entry"))?)?;
        }
        if let Some(exit) = self.exit.take() {
            asm.bind(exit)?;
            asm.exit()?;
        }
        for item in cold {
            match item {
                Cold::Checkpoint { label, head, state } => checkpoints::call(asm, label, head, &state)?,
                Cold::Trap { label, reason } => {
                    asm.bind(label)?;
                    asm.pass_context()?;
                    asm.constant(R2, reason as u64)?;
                    asm.call_helper(Helper::Trap)?;
                    asm.exit()?;
                }
            }
        }
        self.island = self.frame.asm.here();
        Ok(())
    }

    /// Returns the label of the code that traps with `reason`.
    pub(super) fn trap(&mut self, reason: TrapReason) -> Label {
        let known = self.cold.iter().find_map(|item| match item {
            Cold::Trap { label, reason: other } if *other == reason => Some(*label),
            _ => None,
        });
        known.unwrap_or_else(|| {
            let label = self.frame.asm.label();
            self.cold.push(Cold::Trap { label, reason });
            label
        })
    }

    /// Returns the label of the code that returns to the caller while an exception is being thrown.
    pub(super) fn exit(&mut self) -> Label {
        let asm = &mut self.frame.asm;
        *self.exit.get_or_insert_with(|| asm.label())
    }

    /// Ends the reachable part of the present construct.
    pub(super) fn diverge(&mut self) -> Result<(), Error> {
        let height = self.controls.last().map_or(0, |control| control.height);
        self.frame.truncate(height)?;
        self.compare = None;
        self.is_reachable = false;
        Ok(())
    }

    fn operator(&mut self, operator: &Operator<'a>) -> Result<(), Error> {
        if !self.is_reachable {
            return self.skip(operator);
        }
        if self.compare.is_some()
            && !matches!(
                operator,
                Operator::BrIf { .. }
                    | Operator::If { .. }
                    | Operator::I32Eqz
                    | Operator::Select
                    | Operator::TypedSelect { .. }
            )
        {
            return Err(Error::Internal("compare left over"));
        }
        match operator {
            Operator::Block { blockty } => self.open(ControlKind::Block, *blockty),
            Operator::Loop { blockty } => self.open(ControlKind::Loop, *blockty),
            Operator::If { blockty } => self.open(ControlKind::If, *blockty),
            Operator::Else => self.otherwise(),
            Operator::End => self.end(),
            Operator::Br { relative_depth } => {
                let target = self.target(*relative_depth)?;
                self.branch(target)?;
                self.diverge()
            }
            Operator::BrIf { relative_depth } => self.branch_if(*relative_depth),
            Operator::BrTable { targets } => self.branch_table(targets),
            Operator::Return => {
                self.branch(0)?;
                self.diverge()
            }
            Operator::ReturnCall { function_index } => self.return_call(*function_index),
            Operator::ReturnCallIndirect { type_index, table_index } => {
                self.return_call_indirect(*type_index, *table_index)
            }
            Operator::Unreachable => {
                let label = self.trap(TrapReason::Unreachable);
                self.frame.asm.jump(label)?;
                self.diverge()
            }
            Operator::Nop => Ok(()),
            Operator::TryTable { try_table } => self.open_try(try_table.ty, &try_table.catches),
            Operator::Try { blockty } => self.open_try(*blockty, &[]),
            Operator::Catch { tag_index } => self.catch(Some(*tag_index)),
            Operator::CatchAll => self.catch(None),
            Operator::Delegate { relative_depth } => self.delegate(*relative_depth),
            Operator::Throw { tag_index } => self.throw(*tag_index),
            Operator::ThrowRef => self.throw_ref(),
            Operator::Rethrow { relative_depth } => self.rethrow(*relative_depth),
            _ => self.plain(operator),
        }
    }

    /// Skips an unreachable operator.
    fn skip(&mut self, operator: &Operator<'a>) -> Result<(), Error> {
        match operator {
            Operator::Block { .. }
            | Operator::If { .. }
            | Operator::Loop { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. } => {
                self.skipped = self.skipped.saturating_add(1);
                self.constructs = self.constructs.saturating_add(1);
                if matches!(operator, Operator::Loop { .. }) {
                    self.loops = self.loops.saturating_add(1);
                }
                Ok(())
            }
            Operator::End | Operator::Delegate { .. } if self.skipped > 0 => {
                self.skipped = self.skipped.saturating_sub(1);
                Ok(())
            }
            Operator::Else | Operator::Catch { .. } | Operator::CatchAll if self.skipped > 0 => Ok(()),
            Operator::Else => self.otherwise(),
            Operator::End => self.end(),
            Operator::Catch { tag_index } => self.catch(Some(*tag_index)),
            Operator::CatchAll => self.catch(None),
            Operator::Delegate { relative_depth } => self.delegate(*relative_depth),
            _ => Ok(()),
        }
    }
}
