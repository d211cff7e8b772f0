// SPDX-License-Identifier: GPL-2.0

//! Instructions by their kinds.

use super::{
    Insn,
    PSEUDO_CALL,
    R0,
    Reg,
    X,
    class,
    jmp,
    mode,
    width, //
};

/// `dst = dst op src`. `class` is [`class::ALU`] or [`class::ALU64`].
#[must_use]
pub const fn arithmetic(class: u8, op: u8, dst: Reg, src: Reg) -> Insn {
    Insn::new(class | X | op, dst, src, 0, 0)
}

/// `dst = dst op imm`. `class` is [`class::ALU`] or [`class::ALU64`].
#[must_use]
pub const fn arithmetic_imm(class: u8, op: u8, dst: Reg, imm: i32) -> Insn {
    Insn::new(class | op, dst, R0, 0, imm)
}

/// `dst = value`, in two instructions.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "takes the halves apart")]
pub const fn constant(dst: Reg, value: u64) -> [Insn; 2] {
    let (low, high) = ((value as u32).cast_signed(), ((value >> 32) as u32).cast_signed());
    [Insn::new(class::LD | width::DW | mode::IMM, dst, R0, 0, low), Insn::new(0, R0, R0, 0, high)]
}

/// `dst = [base + off]`, zero-extended.
#[must_use]
pub const fn load(width: u8, dst: Reg, base: Reg, off: i16) -> Insn {
    Insn::new(class::LDX | mode::MEM | width, dst, base, off, 0)
}

/// `dst = [base + off]`, sign-extended to 64 bits.
#[must_use]
pub const fn load_signed(width: u8, dst: Reg, base: Reg, off: i16) -> Insn {
    Insn::new(class::LDX | mode::MEMSX | width, dst, base, off, 0)
}

/// `[base + off] = src`.
#[must_use]
pub const fn store(width: u8, base: Reg, off: i16, src: Reg) -> Insn {
    Insn::new(class::STX | mode::MEM | width, base, src, off, 0)
}

/// `[base + off] = imm`.
#[must_use]
pub const fn store_imm(width: u8, base: Reg, off: i16, imm: i32) -> Insn {
    Insn::new(class::ST | mode::MEM | width, base, R0, off, imm)
}

/// Jumps over `off` instructions.
#[must_use]
pub const fn jump(off: i16) -> Insn {
    Insn::new(class::JMP | jmp::JA, R0, R0, off, 0)
}

/// Jumps over `distance` instructions.
#[must_use]
pub const fn jump_far(distance: i32) -> Insn {
    Insn::new(class::JMP32 | jmp::JA, R0, R0, 0, distance)
}

/// Jumps over `off` instructions if `dst op src` holds. `class` is [`class::JMP`] or
/// [`class::JMP32`].
#[must_use]
pub const fn jump_if(class: u8, op: u8, dst: Reg, src: Reg, off: i16) -> Insn {
    Insn::new(class | X | op, dst, src, off, 0)
}

/// Jumps over `off` instructions if `dst op imm` holds. `class` is [`class::JMP`] or
/// [`class::JMP32`].
#[must_use]
pub const fn jump_if_imm(class: u8, op: u8, dst: Reg, imm: i32, off: i16) -> Insn {
    Insn::new(class | op, dst, R0, off, imm)
}

/// Calls a helper by its number.
#[must_use]
pub const fn call_helper(number: i32) -> Insn {
    Insn::new(class::JMP | jmp::CALL, R0, R0, 0, number)
}

/// Calls a function of the module by its index.
#[must_use]
pub const fn call_function(index: i32) -> Insn {
    Insn::new(class::JMP | jmp::CALL, R0, PSEUDO_CALL, 0, index)
}

/// Returns.
#[must_use]
pub const fn exit() -> Insn {
    Insn::new(class::JMP | jmp::EXIT, R0, R0, 0, 0)
}
