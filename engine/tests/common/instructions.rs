// SPDX-License-Identifier: GPL-2.0

//! Short names for instructions, for tests.

#![allow(dead_code, missing_docs, unreachable_pub, unused_imports, reason = "each test uses some of it")]

use kwasmi_engine::{
    ebpf::{
        Insn,
        R0,
        R1,
        R2,
        R6,
        R10,
        Reg,
        alu,
        class,
        encode,
        jmp,
        width, //
    },
    vmctx::{
        Claim,
        Fact,
        Function,
        Helper,
        Location,
        MemoryField,
        STACK_LIMIT,
        TrapReason,
        memory_offset, //
    },
};

pub use kwasmi_engine::ebpf::encode::{
    arithmetic as op,
    arithmetic_imm as op_i,
    call_function as call,
    constant,
    exit,
    jump as ja,
    jump_far as ja_far,
    load,
    load_signed,
    store,
    store_imm as store_i, //
};

pub const W64: u8 = class::ALU64;
pub const W32: u8 = class::ALU;

pub fn mov(dst: Reg, src: Reg) -> Insn {
    op(W64, alu::MOV, dst, src)
}

pub fn mov_i(dst: Reg, imm: i32) -> Insn {
    op_i(W64, alu::MOV, dst, imm)
}

pub fn add(dst: Reg, src: Reg) -> Insn {
    op(W64, alu::ADD, dst, src)
}

pub fn add_i(dst: Reg, imm: i32) -> Insn {
    op_i(W64, alu::ADD, dst, imm)
}

pub fn sub_i(dst: Reg, imm: i32) -> Insn {
    op_i(W64, alu::SUB, dst, imm)
}

pub fn jump(op: u8, dst: Reg, src: Reg, off: i16) -> Insn {
    encode::jump_if(class::JMP, op, dst, src, off)
}

pub fn jump_i(op: u8, dst: Reg, imm: i32, off: i16) -> Insn {
    encode::jump_if_imm(class::JMP, op, dst, imm, off)
}

pub fn narrow(insn: Insn) -> Insn {
    let class = if insn.class() == class::JMP { class::JMP32 } else { class::ALU };
    Insn { code: insn.code & !7 | class, ..insn }
}

pub fn help(helper: Helper) -> Insn {
    encode::call_helper(helper as i32)
}

pub fn base(dst: Reg, memory: u32) -> Insn {
    load(width::DW, dst, R6, memory_offset(memory, MemoryField::Base))
}

pub fn size(dst: Reg, memory: u32) -> Insn {
    load(width::DW, dst, R6, memory_offset(memory, MemoryField::Size))
}

pub fn mask(dst: Reg, memory: u32) -> Insn {
    load(width::DW, dst, R6, memory_offset(memory, MemoryField::Mask))
}

pub fn and(dst: Reg, src: Reg) -> Insn {
    op(W64, alu::AND, dst, src)
}

pub fn claim(at: u32, reg: Reg, fact: Fact) -> Claim {
    Claim { at, location: Location::Reg(reg), fact }
}

/// Number of instructions before the body.
pub const PROLOGUE: u32 = 2;

/// Distance of a jump to the exit behind the body.
pub const END: i16 = 30000;

/// A function: stack check, body, exit, and the code for a stack that is used up. Claims count from
/// the body.
pub fn function(frame: u32, body: &[Insn], claims: &[Claim]) -> Function {
    let len = i16::try_from(body.len()).expect("a short body");
    let mut code = vec![load(width::DW, R0, R6, STACK_LIMIT), jump(jmp::JLT, R10, R0, len + 1)];
    for (insn, rest) in body.iter().zip((0..len).rev()) {
        code.push(Insn { off: if insn.off == END { rest } else { insn.off }, ..*insn });
    }
    code.push(exit());
    code.extend([mov(R1, R6), mov_i(R2, TrapReason::Stack as i32), help(Helper::Trap)]);
    code.push(ja(-i16::try_from(code.len()).expect("a short body") - 1));
    let claims = claims.iter().map(|claim| Claim { at: claim.at + PROLOGUE, ..*claim }).collect();
    Function { code, frame, claims }
}
