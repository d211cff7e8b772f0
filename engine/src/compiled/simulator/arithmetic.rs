// SPDX-License-Identifier: GPL-2.0

//! Results of instructions that compute.

use crate::ebpf::{
    Insn,
    X,
    alu,
    jmp, //
};

pub(super) fn size(insn: Insn) -> usize {
    match insn.code & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "32-bit operations use the low half")]
pub(super) fn arithmetic(insn: Insn, is_wide: bool, dst: u64, src: u64) -> Option<u64> {
    let op = insn.code & 0xf0;
    let is_signed = insn.off == 1;
    let bits = if is_wide { 64 } else { 32 };
    if matches!(op, alu::LSH | alu::RSH | alu::ARSH) && insn.code & X == 0 && !(0..bits).contains(&insn.imm) {
        return None;
    }
    if is_wide {
        return Some(match op {
            alu::ADD => dst.wrapping_add(src),
            alu::SUB => dst.wrapping_sub(src),
            alu::MUL => dst.wrapping_mul(src),
            alu::DIV if is_signed => dst.cast_signed().checked_div(src.cast_signed())?.cast_unsigned(),
            alu::DIV => dst.checked_div(src)?,
            alu::MOD if is_signed => dst.cast_signed().checked_rem(src.cast_signed())?.cast_unsigned(),
            alu::MOD => dst.checked_rem(src)?,
            alu::OR => dst | src,
            alu::AND => dst & src,
            alu::XOR => dst ^ src,
            alu::LSH => dst.wrapping_shl(src as u32),
            alu::RSH => dst.wrapping_shr(src as u32),
            alu::ARSH => dst.cast_signed().wrapping_shr(src as u32).cast_unsigned(),
            alu::NEG => dst.wrapping_neg(),
            alu::MOV => match insn.off {
                8 => i64::from(src as u8 as i8).cast_unsigned(),
                16 => i64::from(src as u16 as i16).cast_unsigned(),
                32 => i64::from(src as u32 as i32).cast_unsigned(),
                _ => src,
            },
            _ => return None,
        });
    }
    let (dst, src) = (dst as u32, src as u32);
    Some(u64::from(match op {
        alu::ADD => dst.wrapping_add(src),
        alu::SUB => dst.wrapping_sub(src),
        alu::MUL => dst.wrapping_mul(src),
        alu::DIV if is_signed => dst.cast_signed().checked_div(src.cast_signed())?.cast_unsigned(),
        alu::DIV => dst.checked_div(src)?,
        alu::MOD if is_signed => dst.cast_signed().checked_rem(src.cast_signed())?.cast_unsigned(),
        alu::MOD => dst.checked_rem(src)?,
        alu::OR => dst | src,
        alu::AND => dst & src,
        alu::XOR => dst ^ src,
        alu::LSH => dst.wrapping_shl(src),
        alu::RSH => dst.wrapping_shr(src),
        alu::ARSH => dst.cast_signed().wrapping_shr(src).cast_unsigned(),
        alu::NEG => dst.wrapping_neg(),
        alu::MOV => match insn.off {
            8 => i32::from(src as u8 as i8).cast_unsigned(),
            16 => i32::from(src as u16 as i16).cast_unsigned(),
            _ => src,
        },
        _ => return None,
    }))
}

#[expect(clippy::cast_possible_truncation, reason = "32-bit jumps compare the low half")]
pub(super) fn holds(op: u8, is_wide: bool, dst: u64, src: u64) -> bool {
    let (dst, src) = if is_wide { (dst, src) } else { (u64::from(dst as u32), u64::from(src as u32)) };
    let signed = |value: u64| if is_wide { value.cast_signed() } else { i64::from(value as u32 as i32) };
    match op {
        jmp::JEQ => dst == src,
        jmp::JNE => dst != src,
        jmp::JGT => dst > src,
        jmp::JGE => dst >= src,
        jmp::JLT => dst < src,
        jmp::JLE => dst <= src,
        jmp::JSET => dst & src != 0,
        jmp::JSGT => signed(dst) > signed(src),
        jmp::JSGE => signed(dst) >= signed(src),
        jmp::JSLT => signed(dst) < signed(src),
        _ => signed(dst) <= signed(src),
    }
}
