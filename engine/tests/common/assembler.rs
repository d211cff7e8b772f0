// SPDX-License-Identifier: GPL-2.0

//! A tiny assembler for tests: an instruction per function.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses some of it")]

use kwasmi_engine::{
    ebpf::{
        Insn,
        PSEUDO_CALL,
        R0,
        R1,
        R2,
        R6,
        R10,
        Reg,
        X,
        alu,
        class,
        jmp,
        mode,
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

pub const W64: u8 = class::ALU64;
pub const W32: u8 = class::ALU;

pub fn op(width: u8, op: u8, dst: Reg, src: Reg) -> Insn {
    Insn::new(width | X | op, dst, src, 0, 0)
}

pub fn op_i(width: u8, op: u8, dst: Reg, imm: i32) -> Insn {
    Insn::new(width | op, dst, R0, 0, imm)
}

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

pub fn load(width: u8, dst: Reg, base: Reg, off: i16) -> Insn {
    Insn::new(class::LDX | mode::MEM | width, dst, base, off, 0)
}

pub fn load_signed(width: u8, dst: Reg, base: Reg, off: i16) -> Insn {
    Insn::new(class::LDX | mode::MEMSX | width, dst, base, off, 0)
}

pub fn store(width: u8, base: Reg, off: i16, src: Reg) -> Insn {
    Insn::new(class::STX | mode::MEM | width, base, src, off, 0)
}

pub fn store_i(width: u8, base: Reg, off: i16, imm: i32) -> Insn {
    Insn::new(class::ST | mode::MEM | width, base, R0, off, imm)
}

pub fn jump(op: u8, dst: Reg, src: Reg, off: i16) -> Insn {
    Insn::new(class::JMP | X | op, dst, src, off, 0)
}

pub fn jump_i(op: u8, dst: Reg, imm: i32, off: i16) -> Insn {
    Insn::new(class::JMP | op, dst, R0, off, imm)
}

pub fn narrow(insn: Insn) -> Insn {
    let class = if insn.class() == class::JMP { class::JMP32 } else { class::ALU };
    Insn { code: insn.code & !7 | class, ..insn }
}

pub fn ja(off: i16) -> Insn {
    jump_i(jmp::JA, R0, 0, off)
}

pub fn ja_far(distance: i32) -> Insn {
    Insn::new(class::JMP32 | jmp::JA, R0, R0, 0, distance)
}

pub fn constant(dst: Reg, value: u64) -> [Insn; 2] {
    let [low, high] = [value << 32 >> 32, value >> 32].map(|half| u32::try_from(half).expect("a half").cast_signed());
    [Insn::new(class::LD | width::DW | mode::IMM, dst, R0, 0, low), Insn { imm: high, ..Insn::default() }]
}

pub fn help(helper: Helper) -> Insn {
    Insn::new(class::JMP | jmp::CALL, R0, R0, 0, helper as i32)
}

pub fn call(function: i32) -> Insn {
    Insn::new(class::JMP | jmp::CALL, R0, PSEUDO_CALL, 0, function)
}

pub fn exit() -> Insn {
    Insn::new(class::JMP | jmp::EXIT, R0, R0, 0, 0)
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
