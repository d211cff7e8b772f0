// SPDX-License-Identifier: GPL-2.0

//! Operations, fields and registers of instructions.

use super::*;

#[test]
fn operations() {
    for code in 0..=255 {
        let insn = Insn { code, ..Insn::default() };
        let result = check(&function(64, &[insn], &[]), &shape());
        let is_known = match code & 7 {
            class::LD => code == class::LD | mode::IMM | DW,
            class::LDX => matches!(code & 0xe0, mode::MEM) || code & 0xe0 == mode::MEMSX && code & DW != DW,
            class::ST | class::STX => code & 0xe0 == mode::MEM,
            class::ALU | class::ALU64 => code & 0xf0 <= alu::ARSH && code & 0xf8 != alu::NEG | X,
            class::JMP => code & 0xf0 <= jmp::JSLE && !matches!(code & 0xf8, 0x08 | 0x88 | 0x98),
            _ => code & 0xf0 <= jmp::JSLE && !matches!(code & 0xf8, 0x08 | 0x80 | 0x88 | 0x90 | 0x98),
        };
        let is_refused = matches!(result, Err(Violation { rule: Rule::Operation, .. }));
        // Half an instruction ends the function in the middle of the next one.
        assert_eq!(!is_known, is_refused, "{code:02x}: {result:?}");
    }
    accepts(&constant(R1, u64::MAX));
    accepts(&[
        op(W64, alu::MUL, R1, R2),
        op_i(W32, alu::OR, R1, -1),
        op(W64, alu::ARSH, R1, R2),
        op_i(W64, alu::NEG, R1, 0),
        Insn { off: 8, ..op(W32, alu::MOV, R1, R2) },
        Insn { off: 32, ..mov(R1, R2) },
        Insn { off: 1, ..op_i(W64, alu::DIV, R1, 7) },
        load_signed(W, R0, R10, -4),
    ]);
}

#[test]
fn fields() {
    let wrong = [
        Insn { imm: 1, ..mov(R1, R2) },
        Insn { off: 1, ..mov(R1, R2) },
        Insn { off: 8, ..mov_i(R1, 2) },
        Insn { off: 32, ..op(W32, alu::MOV, R1, R2) },
        Insn { off: -1, ..mov(R1, R2) },
        Insn { regs: 0x21, ..mov_i(R1, 2) },
        Insn { off: 1, ..add(R1, R2) },
        Insn { off: 2, ..op_i(W64, alu::DIV, R1, 2) },
        op_i(W64, alu::NEG, R1, 1),
        Insn { imm: 1, ..load(DW, R0, R10, -8) },
        Insn { imm: 1, ..store(DW, R10, -8, R1) },
        Insn { regs: 0x1a, ..store_i(DW, R10, -8, 1) },
        Insn { imm: 1, ..ja(0) },
        Insn { regs: 1, ..ja(0) },
        Insn { off: 1, ..ja_far(0) },
        Insn { imm: 1, ..jump(jmp::JEQ, R1, R2, 0) },
        Insn { regs: 0x21, ..jump_i(jmp::JEQ, R1, 2, 0) },
        Insn { off: 1, ..exit() },
        Insn { imm: 1, ..exit() },
        Insn { regs: 1, ..exit() },
        Insn { off: 1, ..call(0) },
        Insn { regs: 0x11, ..call(0) },
        Insn { regs: 1, ..help(Helper::F32Add) },
    ];
    for insn in wrong {
        refuses(Rule::Field, 0, &[insn, mov_i(R0, 0)]);
    }
    let [low, high] = constant(R1, 1);
    refuses(Rule::Field, 0, &[Insn { regs: 0x11, ..low }, high]);
    refuses(Rule::Field, 0, &[Insn { off: 1, ..low }, high]);
    refuses(Rule::Field, 0, &[low, Insn { regs: 1, ..high }]);
    refuses(Rule::Field, 0, &[low, Insn { off: 1, ..high }]);
    refuses(Rule::Field, 0, &[low, mov_i(R1, 0)]);
    refuses(Rule::Operation, 0, &[Insn { code: class::LD | W, ..low }, high]);
}

#[test]
fn registers() {
    for number in 11..=15 {
        refuses(Rule::Register, 0, &[mov_i(Reg(number), 0)]);
        refuses(Rule::Register, 0, &[mov(R1, Reg(number))]);
        refuses(Rule::Register, 0, &[load(DW, R1, Reg(number), 0)]);
        refuses(Rule::Register, 0, &[jump_i(jmp::JEQ, Reg(number), 0, 0)]);
    }
    for fixed in [R6, R10] {
        refuses(Rule::Fixed, 0, &[mov_i(fixed, 0)]);
        refuses(Rule::Fixed, 0, &[mov(fixed, R1)]);
        refuses(Rule::Fixed, 0, &[narrow(mov(fixed, R1))]);
        refuses(Rule::Fixed, 0, &[add_i(fixed, 8)]);
        refuses(Rule::Fixed, 0, &[op_i(W64, alu::NEG, fixed, 0)]);
        refuses(Rule::Fixed, 0, &[load(DW, fixed, R10, -8)]);
        refuses(Rule::Fixed, 0, &constant(fixed, 0));
    }
}

#[test]
fn addresses_are_no_values() {
    refuses(Rule::Value, 0, &[mov(R1, R10)]);
    refuses(Rule::Value, 0, &[store(DW, R10, -8, R10)]);
    refuses(Rule::Value, 0, &[store(DW, R6, ARGS, R10)]);
    refuses(Rule::Value, 0, &[add(R1, R10)]);
    refuses(Rule::Value, 0, &[jump_i(jmp::JEQ, R10, 0, 0)]);
    refuses(Rule::Value, 0, &[jump(jmp::JLT, R1, R10, 0)]);
    refuses(Rule::Value, 0, &[jump(jmp::JLT, R10, R1, 0)]);
    refuses(Rule::Value, 0, &[store(DW, R10, -8, R6)]);
    refuses(Rule::Value, 0, &[add(R1, R6)]);
    refuses(Rule::Value, 0, &[narrow(mov(R1, R6))]);
    refuses(Rule::Value, 0, &[Insn { off: 32, ..mov(R1, R6) }]);
    refuses(Rule::Value, 0, &[jump_i(jmp::JEQ, R6, 0, 0)]);
    refuses(Rule::Value, 1, &[mov(R1, R6), add_i(R1, 8)]);
    refuses(Rule::Value, 1, &[mov(R1, R6), store(DW, R10, -8, R1)]);
    accepts(&[mov(R1, R6), load(DW, R2, R1, ARGS), store(DW, R1, ARGS, R2), mov_i(R1, 0)]);
}

#[test]
fn shifts() {
    for op in [alu::LSH, alu::RSH, alu::ARSH] {
        accepts(&[op_i(W64, op, R1, 0), op_i(W64, op, R1, 63), op_i(W32, op, R1, 31)]);
        for (width, bits) in [(W64, 64), (W64, -1), (W32, 32), (W32, 63), (W32, -1)] {
            refuses(Rule::Shift, 0, &[op_i(width, op, R1, bits)]);
        }
    }
}

#[test]
fn divisors() {
    let divide = |width, op, off, src| Insn { off, ..self::op(width, op, R1, src) };
    let divide_i = |width, op, off, imm| Insn { off, ..op_i(width, op, R1, imm) };
    for op in [alu::DIV, alu::MOD] {
        for width in [W32, W64] {
            for off in [0, 1] {
                accepts(&[divide_i(width, op, off, 2), divide_i(width, op, off, -2)]);
                refuses(Rule::Divisor, 0, &[divide_i(width, op, off, 0)]);
                refuses(Rule::Divisor, 0, &[divide(width, op, off, R2)]);
                let narrow_if = |insn| if width == W32 { narrow(insn) } else { insn };
                let not_zero = narrow_if(jump_i(jmp::JEQ, R2, 0, END));
                let not_minus = narrow_if(jump_i(jmp::JEQ, R2, -1, END));
                let insn = divide(width, op, off, R2);
                accepts(&[not_zero, not_minus, insn]);
                refuses(Rule::Divisor, 1, &[not_minus, insn, mov_i(R0, 0)]);
                if off == 1 {
                    refuses(Rule::Divisor, 0, &[divide_i(width, op, off, -1)]);
                    refuses(Rule::Divisor, 1, &[not_zero, insn, mov_i(R0, 0)]);
                } else {
                    accepts(&[divide_i(width, op, off, -1)]);
                    accepts(&[not_zero, insn, mov_i(R0, 0)]);
                }
                // The other side of the compare, another register, another value, and a register
                // written since.
                let other_side = Insn { code: not_zero.code & 0x0f | jmp::JNE, ..not_zero };
                refuses(Rule::Divisor, 2, &[other_side, not_minus, insn]);
                refuses(Rule::Divisor, 2, &[not_zero, not_minus, divide(width, op, off, R3)]);
                refuses(Rule::Divisor, 1, &[Insn { imm: 1, ..not_zero }, insn, mov_i(R0, 0)]);
                refuses(Rule::Divisor, 3, &[not_zero, not_minus, add_i(R2, 1), insn]);
                refuses(Rule::Divisor, 3, &[not_zero, not_minus, mov(R2, R3), insn]);
                accepts(&[not_zero, not_minus, mov(R4, R2), divide(width, op, off, R4)]);
                accepts(&[mov_i(R2, 5), insn]);
                refuses(Rule::Divisor, 1, &[mov_i(R2, 0), insn]);
                // Facts about divisors end with the block, and cannot be claimed.
                let block = jump_i(jmp::JEQ, R3, 0, 0);
                refuses(Rule::Divisor, 3, &[not_zero, not_minus, block, insn]);
            }
        }
        // Facts of one width are none of the other.
        let (zero, minus) = (jump_i(jmp::JEQ, R2, 0, END), jump_i(jmp::JEQ, R2, -1, END));
        refuses(Rule::Divisor, 2, &[zero, minus, divide(W32, op, 0, R2)]);
        accepts(&[narrow(zero), narrow(minus), divide(W64, op, 1, R2)]);
        accepts(&[narrow(zero), narrow(minus), narrow(mov(R3, R2)), divide(W64, op, 1, R3)]);
        refuses(Rule::Divisor, 3, &[zero, minus, narrow(mov(R3, R2)), divide(W64, op, 0, R3)]);
        // All low bits are 0, or 1.
        refuses(Rule::Divisor, 2, &after(constant(R2, 1 << 32).to_vec(), &[divide(W32, op, 0, R2)]));
        refuses(Rule::Divisor, 1, &[narrow(mov_i(R2, -1)), divide(W32, op, 1, R2)]);
        accepts(&[narrow(mov_i(R2, -1)), divide(W64, op, 1, R2)]);
        refuses(Rule::Divisor, 1, &[mov_i(R2, -1), divide(W64, op, 1, R2)]);
    }
}
