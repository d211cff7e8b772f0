// SPDX-License-Identifier: GPL-2.0

//! Compiles calls of functions and helpers.

use super::{
    Error,
    assembler::RegImm,
    function::{
        Compiler,
        REG_PARAMS,
        args_offset, //
    },
    registers::{
        Operand,
        Value,
        immediate, //
    },
};
use crate::{
    ebpf::{
        R0,
        R6,
        Reg,
        width, //
    },
    vmctx::{
        Effect,
        Helper,
        TAIL_CALL, //
    },
};
use alloc::vec::Vec;

/// An argument that goes into a register.
#[derive(Clone, Copy)]
pub(super) enum HelperArgument {
    Context,
    Const(u64),
    Operand(Operand),
}

impl Compiler<'_> {
    /// Calls function `index`, imported or not.
    pub(super) fn call(&mut self, index: u32) -> Result<(), Error> {
        let ty = self.declarations.function_type(index)?;
        let (params, results) = (ty.param_words(), ty.result_words());
        match index.checked_sub(self.declarations.imported) {
            Some(defined) => {
                self.pass(params)?;
                self.prepare_landing()?;
                self.frame.asm.call_function(defined)?;
                self.frame.clobber(true)?;
                self.set_path_length(0);
                self.land_if_thrown()?;
                self.take_results(results, 0)
            }
            None => {
                self.pass_all(params, 0)?;
                self.arguments(&[HelperArgument::Context, HelperArgument::Const(u64::from(index))])?;
                self.frame.asm.call_helper(Helper::CallImport)?;
                self.frame.clobber(true)?;
                self.set_path_length(0);
                if results > 0 {
                    self.frame.asm.load(width::DW, R0, R6, args_offset(0)?)?;
                }
                self.take_results(results, 0)
            }
        }
    }

    /// Calls an element of a table.
    pub(super) fn call_indirect(&mut self, type_index: u32, table: u32) -> Result<(), Error> {
        let (params, results) = self.resolve(type_index, table)?;
        self.pass(params)?;
        self.prepare_landing()?;
        self.frame.asm.call_helper(Helper::CallResolved)?;
        self.frame.clobber(true)?;
        self.set_path_length(0);
        self.land_if_thrown()?;
        self.take_results(results, 0)
    }

    /// Looks up an element of a table as a function; returns the numbers of its parameters and
    /// results.
    fn resolve(&mut self, type_index: u32, table: u32) -> Result<(usize, usize), Error> {
        let ty = self.declarations.types.get(type_index as usize).ok_or(Error::Internal("type index"))?;
        let (params, results) = (ty.param_words(), ty.result_words());
        let id = self.declarations.type_ids.get(type_index as usize).copied().ok_or(Error::Internal("type index"))?;
        let element = self.frame.pop()?;
        self.arguments(&[
            HelperArgument::Context,
            HelperArgument::Const(u64::from(table)),
            HelperArgument::Operand(element),
            HelperArgument::Const(u64::from(id)),
        ])?;
        self.frame.asm.call_helper(Helper::Resolve)?;
        self.frame.clobber(false)?;
        Ok((params, results))
    }

    /// Calls function `index` in tail position.
    pub(super) fn return_call(&mut self, index: u32) -> Result<(), Error> {
        if index < self.declarations.imported {
            // An imported function calls nothing in tail position.
            self.call(index)?;
            self.branch(0)?;
            return self.diverge();
        }
        let params = self.declarations.function_type(index)?.param_words();
        if index == self.index {
            // The function begins again, with the comparison of the stack limit, which is a
            // checkpoint.
            self.pass(params)?;
            self.frame.asm.jump(self.entry.ok_or(Error::Internal("entry"))?)?;
            return self.diverge();
        }
        self.leave_to(u64::from(index).saturating_add(1), params)
    }

    /// Calls an element of a table in tail position.
    pub(super) fn return_call_indirect(&mut self, type_index: u32, table: u32) -> Result<(), Error> {
        let (params, _) = self.resolve(type_index, table)?;
        self.leave_to(0, params)
    }

    /// Returns to the caller of the body with a tail call of what [`Helper::ResolveTail`] makes of
    /// `function`.
    fn leave_to(&mut self, function: u64, params: usize) -> Result<(), Error> {
        self.arguments(&[HelperArgument::Context, HelperArgument::Const(function)])?;
        self.frame.asm.call_helper(Helper::ResolveTail)?;
        self.frame.clobber(false)?;
        self.pass_all(params, 0)?;
        self.frame.asm.store(width::DW, R6, TAIL_CALL, RegImm::Imm(1))?;
        self.frame.asm.exit()?;
        self.diverge()
    }

    /// Calls a helper with constants and the topmost `operands` operands; pushes its result if it
    /// has one.
    pub(super) fn call_helper(
        &mut self,
        helper: Helper,
        constants: &[u64],
        operands: usize,
        has_result: bool,
    ) -> Result<(), Error> {
        let mut popped = [None; 3];
        for place in popped.iter_mut().take(operands).rev() {
            *place = Some(self.frame.pop()?);
        }
        let mut arguments = Vec::new();
        if helper.takes_context() {
            arguments.push(HelperArgument::Context);
        }
        arguments.extend(constants.iter().copied().map(HelperArgument::Const));
        arguments.extend(popped.iter().flatten().copied().map(HelperArgument::Operand));
        self.arguments(&arguments)?;
        self.frame.asm.call_helper(helper)?;
        self.note_helper(helper);
        self.frame.clobber(helper.effect() != Effect::Pure)?;
        if has_result { self.frame.push(Value::Reg(R0)) } else { Ok(()) }
    }

    /// Calls a helper whose `operands` operands go into the context.
    pub(super) fn call_bulk(&mut self, helper: Helper, constants: &[u64], operands: usize) -> Result<(), Error> {
        self.pass_all(operands, 0)?;
        self.call_helper(helper, constants, 0, false)
    }

    /// Passes the topmost `count` operands to a function.
    fn pass(&mut self, count: usize) -> Result<(), Error> {
        let in_registers = count.min(REG_PARAMS as usize);
        self.pass_all(count.saturating_sub(in_registers), REG_PARAMS)?;
        let mut popped = [None; REG_PARAMS as usize];
        for place in popped.iter_mut().take(in_registers).rev() {
            *place = Some(self.frame.pop()?);
        }
        let arguments: Vec<HelperArgument> = popped.iter().flatten().copied().map(HelperArgument::Operand).collect();
        self.arguments(&arguments)
    }

    /// Stores the topmost `count` operands into the context, as arguments from index `first` on.
    pub(super) fn pass_all(&mut self, count: usize, first: u32) -> Result<(), Error> {
        for index in (0..count).rev() {
            let index = u32::try_from(index).ok().and_then(|index| index.checked_add(first));
            let off = args_offset(index.ok_or(Error::Internal("argument"))?)?;
            let operand = self.frame.pop()?;
            let source = self.frame.source_or_imm(operand, true)?;
            self.frame.asm.store(width::DW, R6, off, source)?;
            self.frame.unlock();
        }
        Ok(())
    }

    /// Puts arguments into R1 and the following registers, and saves what a call destroys.
    pub(super) fn arguments(&mut self, arguments: &[HelperArgument]) -> Result<(), Error> {
        self.frame.save()?;
        let mut moves: Vec<(Reg, Reg)> = Vec::new();
        let mut rest: Vec<(Reg, HelperArgument)> = Vec::new();
        for (number, argument) in (1..).zip(arguments) {
            let target = Reg(number);
            let source = match argument {
                HelperArgument::Operand(Operand { value: Value::Reg(reg), .. }) => Some(*reg),
                HelperArgument::Operand(Operand { value: Value::Local(local), .. }) => self.frame.now.reg_of(*local),
                _ => None,
            };
            match source {
                Some(source) if source == target => {}
                Some(source) => moves.push((target, source)),
                None => rest.push((target, *argument)),
            }
        }
        while !moves.is_empty() {
            let free = moves.iter().position(|(to, _)| !moves.iter().any(|(_, from)| from == to));
            if let Some(free) = free {
                let (to, from) = moves.swap_remove(free);
                self.frame.asm.mov(to, from)?;
                continue;
            }
            // Only cycles among R1 to R5 are left: R0 breaks one.
            let Some((_, first)) = moves.first().copied() else { break };
            self.frame.asm.mov(R0, first)?;
            for (_, from) in &mut moves {
                if *from == first {
                    *from = R0;
                }
            }
        }
        for (target, argument) in rest {
            match argument {
                HelperArgument::Context => self.frame.asm.mov(target, R6)?,
                HelperArgument::Const(value) => self.frame.asm.constant(target, value)?,
                HelperArgument::Operand(operand) => match operand.value {
                    Value::Const(value) => self.frame.asm.constant(target, value)?,
                    Value::Local(local) => self.frame.asm.load_slot(target, local)?,
                    Value::Slot => {
                        let slot = self.frame.operand_slot(operand.depth);
                        self.frame.asm.load_slot(target, slot)?;
                    }
                    Value::Reg(_) => return Err(Error::Internal("argument")),
                },
            }
        }
        self.frame.unlock();
        Ok(())
    }

    /// Pushes the results of a call: the first is in R0, the rest in the context from index `first`
    /// plus 1 on.
    fn take_results(&mut self, results: usize, first: u32) -> Result<(), Error> {
        let Some(rest) = results.checked_sub(1) else { return Ok(()) };
        self.frame.push(Value::Reg(R0))?;
        self.push_args(first.saturating_add(1), rest)?;
        self.frame.unlock();
        Ok(())
    }

    /// Pushes `count` words of the context's arguments, from index `first` on, in their frame
    /// slots.
    pub(super) fn push_args(&mut self, first: u32, count: usize) -> Result<(), Error> {
        for index in (first..).take(count) {
            let off = args_offset(index)?;
            let depth = u32::try_from(self.frame.stack.len()).map_err(|_| Error::TooLarge("operands"))?;
            let slot = self.frame.operand_slot(depth);
            let reg = self.frame.alloc()?;
            self.frame.asm.load(width::DW, reg, R6, off)?;
            self.frame.asm.store_slot(slot, RegImm::Reg(reg))?;
            self.frame.release(reg)?;
            self.frame.push(Value::Slot)?;
        }
        Ok(())
    }

    /// Loads or stores a global.
    pub(super) fn global(&mut self, index: u32, is_set: bool) -> Result<(), Error> {
        let (word, is_vector) = self.declarations.globals.locate(index).ok_or(Error::Internal("global"))?;
        let high = is_vector.then(|| word.saturating_add(1));
        if is_set {
            // The high word is the top operand.
            for word in high.into_iter().chain([word]) {
                self.global_word(word, true)?;
            }
            return Ok(());
        }
        for word in [word].into_iter().chain(high) {
            self.global_word(word, false)?;
        }
        Ok(())
    }

    /// Loads or stores a word of the globals.
    fn global_word(&mut self, word: u32, is_set: bool) -> Result<(), Error> {
        let off = i16::try_from(word)
            .ok()
            .and_then(|index| index.checked_mul(8))
            .and_then(|bytes| crate::vmctx::GLOBALS.checked_add(bytes))
            .ok_or(Error::TooLarge("globals"))?;
        if is_set {
            let operand = self.frame.pop()?;
            let source = match operand.value {
                Value::Const(value) => match immediate(value, true) {
                    Some(imm) => RegImm::Imm(imm),
                    None => RegImm::Reg(self.frame.source(operand)?),
                },
                _ => RegImm::Reg(self.frame.source(operand)?),
            };
            self.frame.asm.store(width::DW, R6, off, source)?;
            self.frame.unlock();
            return Ok(());
        }
        let dst = self.destination(&[])?;
        self.frame.asm.load(width::DW, dst, R6, off)?;
        self.finish_result(dst)
    }
}
