// SPDX-License-Identifier: GPL-2.0

//! Compiles functions that call others in tail position, see [`TAIL_CALL`].

use super::{
    Declarations, Error,
    assembler::{
        Assembler,
        Condition,
        RegImm, //
    },
    function::{
        REG_PARAMS,
        args_offset,
        without_stack, //
    },
};
use crate::{
    ebpf::{
        R0,
        R1,
        R6,
        R10,
        Reg,
        jmp,
        width, //
    },
    vmctx::{
        Function,
        Helper,
        INTERRUPT,
        STACK_LIMIT,
        TAIL_CALL, //
    },
};

/// The function that calls the body of function `index`, and then what the body and its successors
/// call in tail position.
pub(super) fn caller(
    declarations: &Declarations,
    index: u32,
    mut asm: Assembler,
) -> Result<(Function, Assembler), Error> {
    let params = u32::try_from(declarations.function_type(index)?.param_words()).unwrap_or(u32::MAX);
    let body = declarations.tail_entry(index).and_then(|body| body.checked_sub(declarations.imported));
    asm.clear();
    asm.origin(None);
    let (entry, stack, head, requested) = (asm.label(), asm.label(), asm.label(), asm.label());
    asm.bind(entry)?;
    asm.load(width::DW, R0, R6, STACK_LIMIT)?;
    asm.jump_if(Condition(jmp::JLT), true, R10, RegImm::Reg(R0), stack)?;
    // The parameters are where the body expects them, and its results where the caller does.
    asm.call_function(body.ok_or(Error::Internal("body"))?)?;
    asm.load(width::DW, R1, R6, TAIL_CALL)?;
    asm.jump_if(Condition(jmp::JNE), true, R1, RegImm::Imm(0), head)?;
    asm.exit()?;
    asm.bind(head)?;
    asm.load(width::DW, R0, R6, INTERRUPT)?;
    asm.jump_if(Condition(jmp::JNE), true, R0, RegImm::Imm(0), requested)?;
    asm.store(width::DW, R6, TAIL_CALL, RegImm::Imm(0))?;
    for (param, reg) in (0..REG_PARAMS).zip(1..) {
        asm.load(width::DW, Reg(reg), R6, args_offset(param)?)?;
    }
    asm.call_helper(Helper::CallResolved)?;
    asm.load(width::DW, R1, R6, TAIL_CALL)?;
    asm.jump_if(Condition(jmp::JNE), true, R1, RegImm::Imm(0), head)?;
    asm.exit()?;
    asm.bind(requested)?;
    asm.pass_context()?;
    asm.call_helper(Helper::Checkpoint)?;
    asm.jump(head)?;
    asm.bind(stack)?;
    without_stack(&mut asm, params, entry)?;
    let function = asm.finish(0)?;
    Ok((function, asm))
}
