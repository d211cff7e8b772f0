// SPDX-License-Identifier: GPL-2.0

//! The checker of compiled code: each rule refuses code that breaks it, each fact lets code do what
//! it is for.
#![allow(missing_docs)]
#![expect(clippy::cast_possible_truncation, reason = "constants of the contract")]

#[path = "common/instructions.rs"]
mod instructions;

use instructions::*;
use kwasmi_engine::{
    checker::{
        CLAIMS_MAX,
        Checker,
        Rule,
        Violation,
        check, //
    },
    compiler,
    ebpf::{
        Insn, R0, R1, R2, R3, R4, R6, R7, R8, R9, R10, Reg, X, alu, class, jmp, mode,
        width::{
            B,
            DW,
            H,
            W, //
        },
    },
    vmctx::{
        ARGS,
        ARGS_MAX,
        Claim,
        FRAME_MAX,
        Fact,
        Function,
        GLOBALS,
        Helper,
        INTERRUPT,
        LIMITS,
        LIMITS_MAX,
        Location,
        STACK_LIMIT,
        STACK_PLUS_MAX,
        STACK_RED_ZONE,
        Shape,
        TrapReason, //
    },
};
use std::time::{
    Duration,
    Instant, //
};

/// Two functions, three globals; memory 1 may have no pages.
fn shape() -> Shape {
    Shape { functions: 2, globals: 3, memories: vec![65536, 0, 131_072], has_masks: false }
}

#[track_caller]
fn accepts(body: &[Insn]) {
    accepts_claims(body, &[]);
}

#[track_caller]
fn accepts_claims(body: &[Insn], claims: &[Claim]) {
    let result = check(&function(64, body, claims), &shape());
    assert_eq!(result, Ok(()), "{body:?}");
}

/// The checker refuses `body` at its instruction `at`.
#[track_caller]
fn refuses(rule: Rule, at: u32, body: &[Insn]) {
    refuses_claims(rule, at, body, &[]);
}

#[track_caller]
fn refuses_claims(rule: Rule, at: u32, body: &[Insn], claims: &[Claim]) {
    let result = check(&function(64, body, claims), &shape());
    assert_eq!(result, Err(Violation { at: at + PROLOGUE, rule }), "{body:?}");
}

/// The checker says `expected` of a function without prologue.
#[track_caller]
fn says(expected: Result<(), (u32, Rule)>, frame: u32, code: &[Insn]) {
    let function = Function { code: code.to_vec(), frame, claims: Vec::new() };
    assert_eq!(check(&function, &shape()), expected.map_err(|(at, rule)| Violation { at, rule }), "{code:?}");
}

fn index(memory: u8, bytes: u32) -> Fact {
    Fact::Index { memory, bytes, is_masked: false }
}

fn masked(memory: u8, bytes: u32) -> Fact {
    Fact::Index { memory, bytes, is_masked: true }
}

/// R2 is an index of memory 0 with 8 bytes, or the function returns: 3 instructions.
fn checked_index() -> Vec<Insn> {
    vec![mov_i(R3, 0), load(DW, R0, R6, LIMITS + 7 * 8), jump(jmp::JGT, R2, R0, END)]
}

fn after(begin: Vec<Insn>, rest: &[Insn]) -> Vec<Insn> {
    [&begin[..], rest].concat()
}

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
fn frame() {
    accepts(&[store(DW, R10, -8, R1), store(DW, R10, -64, R1), load(B, R1, R10, -64), load(B, R1, R10, -1)]);
    accepts(&[load(W, R1, R10, -4), load(H, R1, R10, -2), store_i(W, R10, -60, -1)]);
    for off in [0, -72, 8, i16::MIN, i16::MAX] {
        refuses(Rule::Frame, 0, &[load(DW, R1, R10, off)]);
        refuses(Rule::Frame, 0, &[store(DW, R10, off, R1)]);
        refuses(Rule::Frame, 0, &[store_i(B, R10, off, 1)]);
    }
    refuses(Rule::Frame, 0, &[load(DW, R1, R10, -4)]);
    refuses(Rule::Frame, 0, &[load(W, R1, R10, -2)]);
    refuses(Rule::Frame, 0, &[load(H, R1, R10, -3)]);
    refuses(Rule::Frame, 0, &[load(B, R1, R10, -65)]);
    for frame in [4, 12, FRAME_MAX + 8, u32::MAX - 7] {
        says(Err((0, Rule::FrameSize)), frame, &[exit()]);
    }
    says(Err((0, Rule::Stack)), FRAME_MAX, &[exit()]);
}

#[test]
fn context() {
    let last_arg = ARGS + 8 * (ARGS_MAX as i16 - 1);
    accepts(&[load(DW, R1, R6, INTERRUPT), load(DW, R1, R6, STACK_LIMIT), load(DW, R1, R6, LIMITS)]);
    accepts(&[load(DW, R1, R6, LIMITS + 8 * (LIMITS_MAX as i16 - 1))]);
    for memory in 0..3 {
        accepts(&[base(R1, memory), size(R1, memory), mask(R1, memory)]);
    }
    for off in [ARGS, last_arg, GLOBALS, GLOBALS + 16] {
        accepts(&[load(DW, R1, R6, off), load(W, R1, R6, off), load_signed(W, R1, R6, off)]);
        accepts(&[store(DW, R6, off, R1), store(W, R6, off, R1), store_i(DW, R6, off, 1)]);
        for (width, step) in [(DW, 4), (W, 4), (H, 0), (B, 0), (DW, 1)] {
            refuses(Rule::Context, 0, &[load(width, R1, R6, off + step)]);
            refuses(Rule::Context, 0, &[store(width, R6, off + step, R1)]);
        }
    }
    // Read-only, or not there: a fourth memory and global, and gaps.
    for off in [
        0,
        8,
        16,
        INTERRUPT,
        STACK_LIMIT,
        LIMITS,
        64,
        72,
        80,
        88,
        96,
        104,
        112,
        40,
        GLOBALS + 24,
        i16::MAX - 7,
        -8,
        i16::MIN,
    ] {
        refuses(Rule::Context, 0, &[store(DW, R6, off, R1)]);
        refuses(Rule::Context, 0, &[store_i(DW, R6, off, 1)]);
        refuses(Rule::Context, 0, &[load(W, R1, R6, off)]);
    }
    for off in [112, 120, 128, 40, 48, GLOBALS + 24, i16::MAX - 7, -8, i16::MIN] {
        refuses(Rule::Context, 0, &[load(DW, R1, R6, off)]);
    }
    // The words about sizes of a memory that may be smaller.
    let small = Shape { memories: vec![0], ..shape() };
    let result = check(&function(64, &[load(DW, R1, R6, LIMITS)], &[]), &small);
    assert_eq!(result, Err(Violation { at: PROLOGUE, rule: Rule::Context }));
    let none = Shape::default();
    let result = check(&function(64, &[base(R1, 0)], &[]), &none);
    assert_eq!(result, Err(Violation { at: PROLOGUE, rule: Rule::Context }));
}

#[test]
fn memory_by_base() {
    accepts(&[base(R7, 0), load(DW, R1, R7, 0), store(W, R7, 32764, R1)]);
    accepts(&[base(R7, 0), mov(R1, R7), add_i(R1, 65528), load(DW, R1, R1, 0)]);
    accepts(&[base(R7, 0), mov_i(R1, 65535), add(R1, R7), store_i(B, R1, 0, 1)]);
    accepts(&[base(R7, 2), add_i(R7, 65536), store_i(DW, R7, 32760, 1)]);
    refuses(Rule::Bytes, 1, &[base(R7, 0), load(DW, R1, R7, -8)]);
    refuses(Rule::Bytes, 2, &[base(R7, 0), add_i(R7, 65528), load(DW, R1, R7, 1)]);
    refuses(Rule::Bytes, 2, &[base(R7, 0), add_i(R7, 65529), store(DW, R7, 0, R1)]);
    refuses(Rule::Bytes, 1, &[base(R7, 1), load(B, R1, R7, 0)]);
    refuses(Rule::Address, 2, &[base(R7, 0), add_i(R7, 65536), load(B, R1, R7, 0)]);
    refuses(Rule::Address, 2, &[base(R7, 0), add_i(R7, -1), load(B, R1, R7, 1)]);
    refuses(Rule::Address, 3, &[base(R7, 0), add_i(R7, 8), add_i(R7, -8), load(B, R1, R7, 0)]);
    refuses(Rule::Address, 2, &[base(R7, 0), add(R7, R1), load(B, R1, R7, 0)]);
    refuses(Rule::Address, 3, &[base(R7, 0), mov(R1, R7), add(R7, R1), load(B, R1, R7, 0)]);
    refuses(Rule::Address, 2, &[base(R7, 0), narrow(add_i(R7, 8)), load(B, R1, R7, 0)]);
    refuses(Rule::Address, 2, &[base(R7, 0), narrow(mov(R1, R7)), load(B, R1, R1, 0)]);
    refuses(Rule::Address, 2, &[base(R7, 0), sub_i(R7, 0), load(B, R1, R7, 0)]);
    refuses(Rule::Address, 0, &[load(B, R1, R2, 0)]);
    refuses(Rule::Address, 1, &[mov_i(R1, 0), store(B, R1, 0, R2)]);
    refuses(Rule::Address, 1, &[size(R1, 0), store(B, R1, 0, R2)]);
    refuses(Rule::Address, 1, &[load(DW, R1, R6, STACK_LIMIT), load(DW, R1, R1, 0)]);
}

#[test]
fn memory_by_index() {
    let index = checked_index;
    let rest = |last: Insn| [base(R7, 0), add(R7, R2), last];
    accepts(&after(index(), &rest(load(DW, R1, R7, 0))));
    accepts(&after(index(), &rest(store_i(B, R7, 7, 1))));
    accepts(&after(index(), &[base(R7, 0), add(R2, R7), load(DW, R1, R2, 0)]));
    accepts(&after(index(), &[add_i(R2, 4), base(R7, 0), add(R2, R7), load(W, R1, R2, 0)]));
    accepts(&after(index(), &[base(R7, 0), add(R2, R7), add_i(R2, 4), load(W, R1, R2, 0)]));
    accepts(&after(index(), &[narrow(mov(R3, R2)), base(R7, 0), add(R7, R3), load(DW, R1, R7, 0)]));
    refuses(Rule::Bytes, 5, &after(index(), &rest(load(DW, R1, R7, 1))));
    refuses(Rule::Bytes, 5, &after(index(), &rest(load(B, R1, R7, 8))));
    refuses(Rule::Bytes, 5, &after(index(), &rest(load(B, R1, R7, -1))));
    refuses(Rule::Bytes, 6, &after(index(), &[add_i(R2, 4), base(R7, 0), add(R2, R7), load(DW, R1, R2, 0)]));
    refuses(Rule::Bytes, 6, &after(index(), &[base(R7, 0), add(R2, R7), add_i(R2, 4), load(DW, R1, R2, 0)]));
    // Another memory; twice the base; twice the index; another operation; nothing left.
    refuses(Rule::Address, 5, &after(index(), &[base(R7, 2), add(R7, R2), load(B, R1, R7, 0)]));
    refuses(Rule::Address, 6, &after(index(), &[base(R7, 0), add(R7, R2), add(R7, R2), load(B, R1, R7, 0)]));
    refuses(Rule::Address, 6, &after(index(), &[add(R2, R2), base(R7, 0), add(R7, R2), load(B, R1, R7, 0)]));
    refuses(Rule::Address, 6, &after(index(), &[add_i(R2, 8), base(R7, 0), add(R7, R2), load(B, R1, R7, 0)]));
    refuses(Rule::Address, 6, &after(index(), &[add_i(R2, -1), base(R7, 0), add(R7, R2), load(B, R1, R7, 0)]));
    refuses(Rule::Address, 6, &after(index(), &[sub_i(R2, 1), base(R7, 0), add(R7, R2), load(B, R1, R7, 0)]));
    // A constant whose low half alone would do.
    let far = after(constant(R3, 1 << 32).to_vec(), &[add(R2, R3), base(R7, 0), add(R7, R2), load(B, R1, R7, 0)]);
    refuses(Rule::Address, 8, &after(index(), &far));
    refuses(
        Rule::Address,
        4,
        &[base(R7, 0), constant(R3, 1 << 32)[0], constant(R3, 1 << 32)[1], add(R7, R3), load(B, R1, R7, 0)],
    );
    let far = after(constant(R3, 1 << 32).to_vec(), &[base(R7, 0), add_i(R7, 8), add(R7, R3), load(B, R1, R7, 0)]);
    refuses(Rule::Address, 5, &far);
    for op in [alu::OR, alu::XOR, alu::MUL, alu::LSH, alu::SUB] {
        let body = after(index(), &[op_i(W64, op, R2, 1), base(R7, 0), add(R7, R2), load(B, R1, R7, 0)]);
        refuses(Rule::Address, 6, &body);
    }
    refuses(Rule::Address, 5, &after(index(), &[base(R7, 0), narrow(add(R7, R2)), load(B, R1, R7, 0)]));
    // A constant of more than 32 bits whose low half alone would leave bytes.
    let far = after(index(), &constant(R3, 1 << 32 | 4));
    refuses(Rule::Address, 8, &after(far.clone(), &[add(R2, R3), base(R7, 0), add(R7, R2), load(B, R1, R7, 0)]));
    refuses(Rule::Address, 8, &after(far, &[base(R7, 0), add(R7, R2), add(R7, R3), load(B, R1, R7, 0)]));
}

/// A shape with masks.
fn masking() -> Shape {
    Shape { has_masks: true, ..shape() }
}

#[track_caller]
fn accepts_masked(body: &[Insn], claims: &[Claim]) {
    assert_eq!(check(&function(64, body, claims), &masking()), Ok(()), "{body:?}");
}

/// Without masks the checker accepts `body`; with masks it refuses the access at instruction `at`.
#[track_caller]
fn refuses_masked(at: u32, body: &[Insn]) {
    accepts(body);
    let violation = Violation { at: at + PROLOGUE, rule: Rule::Address };
    assert_eq!(check(&function(64, body, &[]), &masking()), Err(violation), "{body:?}");
}

#[test]
fn masks() {
    let index = checked_index;
    let access = [base(R7, 0), add(R7, R2), load(DW, R1, R7, 0)];
    let with = |middle: &[Insn]| after(index(), &[middle, &access].concat());
    refuses_masked(5, &with(&[]));
    refuses_masked(6, &with(&[mask(R4, 0)]));
    accepts_masked(&with(&[mask(R4, 0), and(R2, R4)]), &[]);
    accepts_masked(&with(&[mask(R4, 0), and(R4, R2), mov(R2, R4)]), &[]);
    accepts_masked(&with(&[mask(R4, 0), and(R2, R4), narrow(mov(R2, R2))]), &[]);
    // One mask for several accesses, from before the check; the fact in a slot.
    accepts_masked(&after(vec![mask(R4, 0)], &with(&[and(R2, R4)])), &[]);
    accepts_masked(&with(&[mask(R4, 0), and(R2, R4), store(DW, R10, -8, R2), load(DW, R2, R10, -8)]), &[]);
    // What the AND gives is still an index of 8 bytes.
    let far = after(index(), &[mask(R4, 0), and(R2, R4), base(R7, 0), add(R7, R2), load(DW, R1, R7, 1)]);
    let result = check(&function(64, &far, &[]), &masking());
    assert_eq!(result, Err(Violation { at: 7 + PROLOGUE, rule: Rule::Bytes }));
    // Half of the mask, another memory's, another operation, another width, a constant; no mask at
    // all.
    let wrong: [&[Insn]; 6] = [
        &[load(W, R4, R10, -8), and(R2, R4)],
        &[mask(R4, 2), and(R2, R4)],
        &[mask(R4, 0), op(W64, alu::OR, R2, R4)],
        &[mask(R4, 0), narrow(and(R2, R4))],
        &[op_i(W64, alu::AND, R2, 0xffff)],
        &[size(R4, 0), and(R2, R4)],
    ];
    for middle in wrong {
        let at = u32::try_from(middle.len()).expect("a short body") + 5;
        let violation = Violation { at: at + PROLOGUE, rule: Rule::Address };
        for shape in [shape(), masking()] {
            assert_eq!(check(&function(64, &with(middle), &[]), &shape), Err(violation), "{middle:?}");
        }
    }
    // The mask of an unchecked value checks nothing.
    let unchecked = [mask(R4, 0), and(R2, R4), base(R7, 0), add(R7, R2), load(B, R1, R7, 0)];
    refuses(Rule::Address, 4, &unchecked);
    // A sum is masked again.
    let sum = [mask(R4, 0), and(R2, R4), add_i(R2, 4)];
    let access = [base(R7, 0), add(R7, R2), load(W, R1, R7, 0)];
    refuses_masked(8, &after(index(), &[&sum[..], &access].concat()));
    accepts_masked(&after(index(), &[&sum[..], &[and(R2, R4)], &access].concat()), &[]);
    // Only an access adds to an address.
    let address = [mask(R4, 0), and(R2, R4), base(R7, 0), add(R7, R2)];
    refuses_masked(8, &after(index(), &[&address[..], &[add_i(R7, 4), load(W, R1, R7, 0)]].concat()));
    accepts_masked(&after(index(), &[&address[..], &[load(W, R1, R7, 4)]].concat()), &[]);
    refuses_masked(3, &[base(R7, 0), add_i(R7, 4), add_i(R7, 4), load(B, R1, R7, 0)]);
    // Bytes that every such memory has need no mask.
    accepts_masked(&[base(R7, 0), add_i(R7, 65528), load(DW, R1, R7, 0), base(R7, 2), store(W, R7, 32764, R1)], &[]);
}

/// A mask is of no use after memories may have grown; a masked index is.
#[test]
fn masks_across_calls() {
    let grow = [mov(R1, R6), mov_i(R2, 0), mov_i(R3, 1), help(Helper::MemoryGrow)];
    let pure = [mov(R1, R6), mov_i(R2, 0), help(Helper::DataDrop)];
    let check8 = [load(DW, R0, R6, LIMITS + 7 * 8), jump(jmp::JGT, R8, R0, END)];
    let access = [base(R7, 0), add(R7, R8), load(DW, R1, R7, 0)];
    let result = |parts: &[&[Insn]], shape: &Shape| check(&function(64, &parts.concat(), &[]), shape);
    for shape in [shape(), masking()] {
        let refused = |parts: &[&[Insn]]| result(parts, &shape).is_err_and(|violation| violation.rule == Rule::Address);
        // Checked against the new size, masked with the old mask: a wrong index.
        assert!(refused(&[&[mask(R9, 0)], &grow, &check8, &[and(R8, R9)], &access]));
        assert!(refused(&[&check8, &[mask(R9, 0)], &grow, &[and(R8, R9)], &access]));
        let slot = [mask(R9, 0), store(DW, R10, -8, R9)];
        assert!(refused(&[&slot, &grow, &check8, &[load(DW, R9, R10, -8), and(R8, R9)], &access]));
        assert_eq!(result(&[&slot, &pure, &check8, &[load(DW, R9, R10, -8), and(R8, R9)], &access], &shape), Ok(()));
        assert_eq!(result(&[&[mask(R9, 0)], &pure, &check8, &[and(R8, R9)], &access], &shape), Ok(()));
        assert_eq!(result(&[&check8, &[mask(R9, 0), and(R8, R9)], &grow, &access], &shape), Ok(()));
        assert_eq!(result(&[&check8, &grow, &[mask(R9, 0), and(R8, R9)], &access], &shape), Ok(()));
    }
}

/// Compares and claims do not mask.
#[test]
fn masks_of_compares_and_claims() {
    let check4 = [load(DW, R0, R6, LIMITS + 3 * 8), jump(jmp::JGT, R2, R0, END)];
    let check8 = [load(DW, R0, R6, LIMITS + 7 * 8), jump(jmp::JGT, R2, R0, END)];
    let mask2 = [mask(R4, 0), and(R2, R4)];
    let access = [base(R7, 0), add(R7, R2), load(DW, R1, R7, 0)];
    // More bytes of a masked index; a bound that is masked itself.
    accepts_masked(&[&check4[..], &mask2, &check8, &access].concat(), &[]);
    let bound = [mov(R9, R2), jump(jmp::JGT, R3, R9, END)];
    let other = [base(R7, 0), add(R7, R3), load(DW, R1, R7, 0)];
    refuses_masked(8, &[&check8[..], &mask2, &bound, &other].concat());
    // Memory 2 is compared last: the mask is that of memory 0.
    let check2 = [size(R0, 2), sub_i(R0, 8), jump(jmp::JGT, R2, R0, END)];
    let access2 = [base(R7, 2), add(R7, R2), load(DW, R1, R7, 0)];
    refuses_masked(9, &[&check8[..], &mask2, &check2, &access2].concat());
    let body = [&check8[..], &mask2, &[mov_i(R0, 0)], &access].concat();
    accepts_masked(&body, &[claim(4, R2, masked(0, 8))]);
    let result = |claim: Claim| check(&function(64, &body, &[claim]), &masking());
    assert_eq!(result(claim(4, R2, index(0, 8))), Err(Violation { at: 7 + PROLOGUE, rule: Rule::Address }));
    assert_eq!(result(claim(4, R2, masked(0, 9))), Err(Violation { at: 4 + PROLOGUE, rule: Rule::Unproven }));
    assert_eq!(result(claim(2, R2, masked(0, 8))), Err(Violation { at: 2 + PROLOGUE, rule: Rule::Unproven }));
    // A constant is masked.
    accepts_masked(&[&[mov_i(R2, 65528), mov_i(R0, 0)][..], &access].concat(), &[claim(1, R2, masked(0, 8))]);
}

#[test]
fn compares() {
    let limit = load(DW, R0, R6, LIMITS);
    let rest = [base(R7, 0), add(R7, R2), load(B, R1, R7, 0)];
    // An index is below the limit on this side of each compare, and on the other it is not.
    for (compare, is_good_if_taken) in [
        (jump(jmp::JGT, R2, R0, 1), false),
        (jump(jmp::JGE, R2, R0, 1), false),
        (jump(jmp::JLT, R2, R0, 1), true),
        (jump(jmp::JLE, R2, R0, 1), true),
        (jump(jmp::JLT, R0, R2, 1), false),
        (jump(jmp::JLE, R0, R2, 1), false),
        (jump(jmp::JGT, R0, R2, 1), true),
        (jump(jmp::JGE, R0, R2, 1), true),
    ] {
        let claims = [claim(3, R2, index(0, 1))];
        let taken = after(vec![limit, compare, exit()], &rest);
        let not_taken = after(vec![limit, Insn { off: 3, ..compare }], &rest);
        if is_good_if_taken {
            accepts_claims(&taken, &claims);
            refuses(Rule::Address, 4, &not_taken);
        } else {
            refuses_claims(Rule::Unproven, 1, &taken, &claims);
            accepts(&not_taken);
        }
        // The low halves say nothing about the rest.
        refuses(Rule::Address, 4, &after(vec![limit, Insn { off: 3, ..narrow(compare) }], &rest));
    }
    for op in [jmp::JEQ, jmp::JNE, jmp::JSET, jmp::JSGT, jmp::JSGE, jmp::JSLT, jmp::JSLE] {
        refuses(Rule::Address, 4, &after(vec![limit, jump(op, R2, R0, 3)], &rest));
        refuses_claims(Rule::Unproven, 1, &[limit, jump(op, R2, R0, 1), exit()], &[claim(3, R2, index(0, 1))]);
    }
    // Compared with the size itself, or with what is no limit.
    refuses(Rule::Address, 4, &after(vec![size(R0, 0), jump(jmp::JGT, R2, R0, 3)], &rest));
    refuses(Rule::Address, 4, &after(vec![mov_i(R0, 5), jump(jmp::JGT, R2, R0, 3)], &rest));
    refuses(Rule::Address, 3, &after(vec![jump_i(jmp::JGT, R2, 5, 3)], &rest));
}

#[test]
fn sizes() {
    let rest = [jump(jmp::JGT, R2, R0, 3), base(R7, 0), add(R7, R2), load(DW, R1, R7, 0)];
    accepts(&after(vec![size(R0, 0), sub_i(R0, 8)], &rest));
    accepts(&after(vec![size(R0, 0), sub_i(R0, 65536)], &rest));
    accepts(&after(vec![size(R0, 0), jump_i(jmp::JLT, R0, 70000, 5), sub_i(R0, 70000)], &rest));
    accepts(&after(vec![size(R0, 0), mov_i(R3, 70000), jump(jmp::JLT, R0, R3, 5), sub_i(R0, 70000)], &rest));
    refuses(Rule::Bytes, 5, &after(vec![size(R0, 0), sub_i(R0, 4)], &rest));
    // The difference may wrap around.
    refuses(Rule::Address, 5, &after(vec![size(R0, 0), sub_i(R0, 65537)], &rest));
    refuses(Rule::Address, 5, &after(vec![size(R0, 0), sub_i(R0, -8)], &rest));
    refuses(Rule::Address, 5, &after(vec![size(R0, 0), sub_i(R0, 0)], &rest));
    refuses(Rule::Address, 5, &after(vec![size(R0, 0), narrow(sub_i(R0, 8))], &rest));
    refuses(Rule::Address, 5, &after(vec![size(R0, 0), add_i(R0, -8)], &rest));
    refuses(Rule::Address, 6, &after(vec![size(R0, 0), jump_i(jmp::JGT, R0, 70000, 5), sub_i(R0, 70000)], &rest));
    refuses(
        Rule::Address,
        6,
        &after(vec![size(R0, 0), narrow(jump_i(jmp::JLT, R0, 70000, 5)), sub_i(R0, 70000)], &rest),
    );
    refuses(Rule::Address, 6, &after(vec![size(R0, 0), jump_i(jmp::JSLT, R0, 70000, 5), sub_i(R0, 70000)], &rest));
    // Another memory: its size, its address, a minimum of no pages.
    refuses(Rule::Address, 5, &after(vec![size(R0, 2), sub_i(R0, 8)], &rest));
    refuses(Rule::Address, 5, &after(vec![size(R0, 1), sub_i(R0, 8)], &rest));
    let rest = [jump(jmp::JGT, R2, R0, 3), base(R7, 1), add(R7, R2), load(DW, R1, R7, 0)];
    accepts(&after(vec![size(R0, 1), jump_i(jmp::JLT, R0, 8, 5), sub_i(R0, 8)], &rest));
    accepts(&after(vec![mov_i(R2, 0), size(R0, 1), jump_i(jmp::JLT, R0, 8, 5), sub_i(R0, 8)], &rest));
    // An immediate is sign-extended.
    refuses(Rule::Address, 6, &after(vec![size(R0, 1), jump_i(jmp::JGE, R0, -1, 5), sub_i(R0, 8)], &rest));
}

#[test]
fn slots() {
    let index = checked_index;
    let rest = [base(R7, 0), add(R7, R2), load(DW, R1, R7, 0)];
    let spill = store(DW, R10, -16, R2);
    let reload = load(DW, R2, R10, -16);
    let spoil = mov_i(R2, -1);
    accepts(&after(index(), &after(vec![spill, spoil, reload], &rest)));
    accepts(&after(index(), &after(vec![spill, store_i(DW, R10, -8, 0), store_i(DW, R10, -24, 0), reload], &rest)));
    accepts(&[base(R7, 0), store(DW, R10, -8, R7), load(DW, R1, R10, -8), load(B, R1, R1, 0)]);
    accepts(&[store_i(DW, R10, -8, 8), load(DW, R1, R10, -8), base(R7, 0), add(R1, R7), load(B, R1, R1, 0)]);
    refuses(Rule::Address, 8, &after(index(), &after(vec![spill, spoil, load(DW, R2, R10, -24)], &rest)));
    for partial in [store(B, R10, -9, R3), store(W, R10, -16, R2), store_i(H, R10, -14, 0), store(DW, R10, -16, R4)] {
        refuses(Rule::Address, 8, &after(index(), &after(vec![spill, partial, reload], &rest)));
    }
    for partial in [load(W, R2, R10, -16), load(B, R2, R10, -16), load_signed(W, R2, R10, -16)] {
        refuses(Rule::Address, 7, &after(index(), &after(vec![spill, partial], &rest)));
    }
    // Another block knows only what is claimed, another function nothing.
    let other = after(index(), &after(vec![spill, spoil, jump_i(jmp::JEQ, R3, 0, 0), reload], &rest));
    refuses(Rule::Address, 9, &other);
    accepts_claims(
        &other,
        &[Claim { at: 6, location: Location::Slot(1), fact: Fact::Index { memory: 0, bytes: 8, is_masked: false } }],
    );
    refuses_claims(Rule::Unproven, 5, &other, &[Claim { at: 6, location: Location::Slot(2), fact: Fact::U32 }]);
    let mut checker = Checker::default();
    assert_eq!(checker.check(&function(64, &after(index(), &[spill]), &[]), &shape()), Ok(()));
    let result = checker.check(&function(64, &after(vec![reload], &rest), &[]), &shape());
    assert_eq!(result, Err(Violation { at: PROLOGUE + 3, rule: Rule::Address }));
}

#[test]
fn calls() {
    accepts(&[call(0), call(1)]);
    for index in [2, -1, i32::MIN, i32::MAX] {
        refuses(Rule::Callee, 0, &[call(index)]);
    }
    for number in [-1, 77, i32::MAX] {
        refuses(Rule::Callee, 0, &[Insn { imm: number, ..help(Helper::Trap) }]);
    }
    for src in [2, 3, 10] {
        refuses(Rule::Callee, 0, &[Insn { regs: src << 4, ..call(0) }]);
    }
    for helper in Helper::ALL {
        accepts(&[mov(R1, R6), help(*helper)]);
        if helper.takes_context() {
            refuses(Rule::Argument, 0, &[help(*helper)]);
            refuses(Rule::Argument, 1, &[mov(R2, R6), help(*helper)]);
            refuses(Rule::Argument, 2, &[mov(R1, R6), load(DW, R1, R10, -8), help(*helper)]);
            // The copy does not survive a call.
            refuses(Rule::Argument, 2, &[mov(R1, R6), help(Helper::I32Clz), help(*helper)]);
        } else {
            accepts(&[help(*helper)]);
        }
    }
}

#[test]
fn facts_and_calls() {
    let rest = [base(R7, 0), add(R7, R8), load(DW, R1, R7, 0)];
    let index = after(checked_index(), &[mov(R8, R2), mov(R3, R2), store(DW, R10, -8, R2)]);
    let moving = [call(0), help(Helper::CallResolved)];
    let pure = [help(Helper::F64Add), help(Helper::I32Clz)];
    let with_context = |helper| vec![mov(R1, R6), help(helper)];
    for insn in moving.into_iter().chain(pure) {
        // An index stays true in registers that calls preserve, and in the frame.
        accepts(&after(index.clone(), &after(vec![insn], &rest)));
        accepts(&after(index.clone(), &after(vec![insn, load(DW, R8, R10, -8)], &rest)));
        refuses(Rule::Address, 10, &after(index.clone(), &after(vec![insn, mov(R8, R3)], &rest)));
    }
    for number in 0..=5 {
        let body = [base(Reg(number), 0), help(Helper::F64Add), load(B, R1, Reg(number), 0)];
        refuses(Rule::Address, 2, &body);
    }
    let by_register = |call: Vec<Insn>| after(vec![base(R7, 0), base(R8, 0)], &after(call, &[load(B, R1, R8, 0)]));
    let by_slot = |call: Vec<Insn>| {
        let rest = [load(DW, R1, R10, -8), load(B, R1, R1, 0)];
        after(vec![base(R7, 0), add_i(R7, 8), store(DW, R10, -8, R7)], &after(call, &rest))
    };
    for insn in pure {
        accepts(&by_register(vec![insn]));
        accepts(&by_slot(vec![insn]));
    }
    accepts(&by_register(with_context(Helper::MemoryFill)));
    for insn in moving {
        refuses(Rule::Address, 3, &by_register(vec![insn]));
        refuses(Rule::Address, 5, &by_slot(vec![insn]));
    }
    for helper in [Helper::MemoryGrow, Helper::Checkpoint, Helper::CallImport, Helper::Trap] {
        refuses(Rule::Address, 4, &by_register(with_context(helper)));
        refuses(Rule::Address, 6, &by_slot(with_context(helper)));
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

#[test]
fn stack_checks() {
    let limit = load(DW, R0, R6, STACK_LIMIT);
    let check = |off| jump(jmp::JLT, R10, R0, off);
    let trap = [mov(R1, R6), mov_i(R2, TrapReason::Stack as i32), help(Helper::Trap)];
    let use_frame = load(DW, R1, R10, -8);
    says(Err((4, Rule::Stack)), 64, &[limit, check(2), use_frame, exit(), exit()]);
    says(Err((0, Rule::Stack)), 0, &[exit()]);
    says(Err((0, Rule::Stack)), 64, &[use_frame, exit()]);
    says(Err((0, Rule::Stack)), 64, &[store_i(DW, R10, -8, 1), exit()]);
    says(Err((0, Rule::Stack)), 64, &[call(0), exit()]);
    says(Err((0, Rule::Stack)), 64, &[help(Helper::F32Add), exit()]);
    says(Err((1, Rule::Stack)), 64, &[mov(R1, R6), help(Helper::Checkpoint), exit()]);
    says(Err((2, Rule::Stack)), 64, &[mov(R1, R6), mov_i(R2, 1), help(Helper::Trap), exit()]);
    // A path around the compare, and the path that it is to keep away.
    says(Err((0, Rule::Stack)), 64, &[jump_i(jmp::JEQ, R1, 0, 2), limit, check(2), use_frame, exit(), exit()]);
    says(Err((1, Rule::Stack)), 64, &[limit, check(-1), exit()]);
    says(Err((4, Rule::Stack)), 64, &[limit, check(2), use_frame, exit(), use_frame, exit()]);
    says(Err((4, Rule::Stack)), 64, &[limit, check(2), use_frame, exit(), call(0), exit()]);
    says(Err((2, Rule::Stack)), 64, &[limit, check(0), use_frame, exit()]);
    says(Err((4, Rule::Stack)), 64, &[limit, check(2), use_frame, exit(), ja(0), exit()]);
    // After the trap the code may begin again, and nothing else.
    let cold = |last: &[Insn]| [&[limit, check(2), use_frame, exit()], &trap[..], last].concat();
    says(Ok(()), 64, &cold(&[exit()]));
    says(Ok(()), 64, &cold(&[ja(-8)]));
    says(Err((7, Rule::Stack)), 64, &cold(&[ja(0), exit()]));
    says(Err((7, Rule::Stack)), 64, &cold(&[use_frame, exit()]));
    says(Err((7, Rule::Stack)), 64, &cold(&[call(0), exit()]));
    says(Err((4, Rule::Stack)), 64, &[limit, check(2), use_frame, exit(), ja(-5)]);
    // The compare must be of this kind, and with the limit.
    says(Err((1, Rule::Value)), 64, &[limit, jump(jmp::JGT, R10, R0, 1), exit(), exit()]);
    says(Err((1, Rule::Value)), 64, &[limit, jump(jmp::JLE, R10, R0, 1), exit(), exit()]);
    says(Err((1, Rule::Value)), 64, &[limit, narrow(check(1)), exit(), exit()]);
    says(Err((1, Rule::Value)), 64, &[mov_i(R0, 0), check(1), exit(), exit()]);
    says(Err((2, Rule::Value)), 64, &[limit, add_i(R0, -8), check(1), exit(), exit()]);
    says(Err((2, Rule::Value)), 64, &[limit, narrow(add_i(R0, 8)), check(1), exit(), exit()]);
    says(Err((2, Rule::Value)), 64, &[limit, sub_i(R0, 8), check(1), exit(), exit()]);
    // A large frame needs as much more room.
    let large = i32::try_from(STACK_RED_ZONE).expect("a small number") + 8;
    let with = |plus: i32| [&[limit, add_i(R0, plus), check(1), exit()], &trap[..], &[exit()]].concat();
    says(Ok(()), STACK_RED_ZONE, &[&[limit, check(1), exit()], &trap[..], &[exit()]].concat());
    says(Err((1, Rule::Stack)), STACK_RED_ZONE + 8, &[limit, check(1), exit(), exit()]);
    says(Ok(()), STACK_RED_ZONE + 8, &with(large));
    says(Err((2, Rule::Stack)), STACK_RED_ZONE + 8, &with(large - 1));
    says(Ok(()), FRAME_MAX, &with(i32::from(i16::MAX)));
    says(Ok(()), FRAME_MAX, &with(STACK_PLUS_MAX.cast_signed()));
    says(Err((2, Rule::Value)), FRAME_MAX, &with(STACK_PLUS_MAX.cast_signed() + 1));
}

/// A loop: head, its block for checkpoints behind it.
fn looping(head: &[Insn], checkpoint: &[Insn]) -> Vec<Insn> {
    let back = -i16::try_from(head.len()).expect("a short loop") - 1;
    let mut body = after(head.to_vec(), &[ja(back), exit()]);
    body.extend_from_slice(checkpoint);
    body
}

#[test]
fn loops() {
    let word = load(DW, R0, R6, INTERRUPT);
    let good = [mov(R1, R6), help(Helper::Checkpoint), ja(-7)];
    accepts(&looping(&[word, jump_i(jmp::JNE, R0, 0, 2)], &good));
    let inline = [word, jump_i(jmp::JEQ, R0, 0, 2), mov(R1, R6), help(Helper::Checkpoint)];
    accepts(&looping(&inline, &[]));
    // From the entry's stack check everything begins anew.
    accepts(&[ja(-3)]);
    refuses(Rule::Loop, 0, &[ja(-1)]);
    refuses(Rule::Loop, 0, &[mov_i(R1, 0), ja(-2)]);
    refuses(Rule::Loop, 0, &[mov_i(R1, 0), ja_far(-2)]);
    refuses(Rule::Loop, 0, &[mov_i(R1, 0), jump_i(jmp::JNE, R1, 0, -2)]);
    let bad_heads = [
        [load(DW, R0, R6, STACK_LIMIT), jump_i(jmp::JNE, R0, 0, 2)],
        [load(W, R0, R6, ARGS), jump_i(jmp::JNE, R0, 0, 2)],
        [load(DW, R0, R10, -8), jump_i(jmp::JNE, R0, 0, 2)],
        [mov_i(R0, 0), jump_i(jmp::JNE, R0, 0, 2)],
        [word, jump_i(jmp::JNE, R1, 0, 2)],
        [word, jump_i(jmp::JNE, R0, 1, 2)],
        [word, jump_i(jmp::JEQ, R0, 0, 2)],
        [word, jump_i(jmp::JGT, R0, 0, 2)],
        [word, narrow(jump_i(jmp::JNE, R0, 0, 2))],
        [word, jump_i(jmp::JNE, R0, 0, -2)],
        [word, mov_i(R1, 0)],
    ];
    for head in bad_heads {
        let result = check(&function(64, &looping(&head, &good), &[]), &shape());
        assert!(matches!(result, Err(Violation { rule: Rule::Loop | Rule::Checkpoint, .. })), "{head:?}: {result:?}");
    }
    let head = [word, jump_i(jmp::JNE, R0, 0, 2)];
    refuses(Rule::Checkpoint, 4, &looping(&head, &[ja(-5)]));
    refuses(Rule::Checkpoint, 4, &looping(&head, &[exit()]));
    refuses(Rule::Checkpoint, 4, &looping(&head, &[jump_i(jmp::JEQ, R1, 0, 0), mov(R1, R6), help(Helper::Checkpoint)]));
    refuses(Rule::Checkpoint, 6, &looping(&head, &[mov(R1, R6), help(Helper::DataDrop), ja(-7)]));
    // The block goes on in another one before it calls.
    let body =
        [word, jump_i(jmp::JNE, R0, 0, 3), ja(-3), exit(), ja(1), mov(R1, R6), mov(R1, R6), help(Helper::Checkpoint)];
    refuses(Rule::Checkpoint, 6, &body);
}

#[test]
fn targets() {
    accepts(&[ja(0), ja_far(1), mov_i(R0, 0), jump_i(jmp::JEQ, R0, 0, 0)]);
    for off in [5, i16::MAX, -4, i16::MIN] {
        refuses(Rule::Target, 0, &[ja(off)]);
        refuses(Rule::Target, 0, &[jump_i(jmp::JEQ, R0, 0, off)]);
        refuses(Rule::Target, 0, &[ja_far(off.into())]);
    }
    refuses(Rule::Target, 0, &[ja_far(i32::MAX)]);
    refuses(Rule::Target, 0, &[ja_far(i32::MIN)]);
    let [low, high] = constant(R1, 1);
    refuses(Rule::Target, 1, &[ja(1), low, high]);
    refuses(Rule::Target, 0, &[low, high, ja(-2)]);
}

#[test]
fn ends() {
    says(Err((0, Rule::End)), 0, &[mov_i(R0, 0)]);
    says(Err((0, Rule::End)), 0, &constant(R1, 1)[..1]);
    says(Err((0, Rule::End)), 0, &constant(R1, 1));
    // A call may return.
    says(Err((2, Rule::End)), 0, &[mov(R1, R6), mov_i(R2, TrapReason::Stack as i32), help(Helper::Trap)]);
    assert_eq!(check(&function(0, &[], &[]), &shape()), Ok(()));
    says(Err((0, Rule::End)), 0, &[]);
}

#[test]
fn claims() {
    let checked = checked_index();
    let rest = [mov_i(R0, 0), base(R7, 0), add(R7, R2), load(DW, R1, R7, 0)];
    let body = after(checked, &rest);
    accepts_claims(&body, &[claim(3, R2, index(0, 8))]);
    accepts_claims(&body, &[claim(3, R2, index(0, 8)), claim(4, R2, index(0, 8))]);
    accepts_claims(&body, &[claim(3, R2, Fact::U32), claim(3, R2, index(0, 8))]);
    refuses_claims(Rule::Bytes, 6, &body, &[claim(3, R2, index(0, 7))]);
    refuses_claims(Rule::Unproven, 3, &body, &[claim(3, R2, index(0, 9))]);
    refuses_claims(Rule::Unproven, 3, &body, &[claim(3, R2, index(2, 8))]);
    refuses_claims(Rule::Unproven, 3, &body, &[claim(3, R2, Fact::Base { memory: 0 })]);
    refuses_claims(Rule::Unproven, 3, &body, &[claim(3, R4, Fact::U32)]);
    // A claim begins a block: what it does not say is not known there.
    refuses_claims(Rule::Address, 6, &body, &[claim(3, R2, index(0, 8)), claim(4, R0, Fact::U32)]);
    refuses_claims(Rule::Unproven, 4, &body, &[claim(3, R2, index(0, 8)), claim(4, R3, Fact::U32)]);
    // Places and facts that cannot be claimed.
    for wrong in [
        claim(3, R6, Fact::U32),
        claim(3, R10, Fact::U32),
        claim(3, Reg(11), Fact::U32),
        claim(3, R2, Fact::Any),
        claim(3, R2, index(0, 0)),
        claim(3, R2, index(3, 1)),
        claim(3, R2, Fact::Base { memory: 3 }),
        claim(3, R2, Fact::Address { memory: 3, bytes: 1 }),
        claim(3, R2, Fact::Address { memory: 0, bytes: 0 }),
        Claim { at: 3, location: Location::Slot(8), fact: Fact::U32 },
    ] {
        refuses_claims(Rule::Claim, 3, &body, &[wrong]);
    }
    // Out of order, in the middle of an instruction, behind the end, at the entry, too many.
    let wrong_order = [claim(4, R0, Fact::U32), claim(3, R2, index(0, 8))];
    let result = check(&function(64, &body, &wrong_order), &shape());
    assert!(result.is_err(), "{result:?}");
    refuses_claims(Rule::Claim, 4, &[constant(R1, 1)[0], constant(R1, 1)[1], mov_i(R0, 0)], &[claim(1, R1, Fact::U32)]);
    refuses_claims(Rule::Claim, 100, &body, &[claim(100, R0, Fact::U32)]);
    let entry = Function { claims: vec![claim(0, R1, Fact::U32)], ..function(64, &[], &[]) };
    assert_eq!(check(&entry, &shape()), Err(Violation { at: 0, rule: Rule::Claim }));
    let many = vec![claim(3, R2, index(0, 8)); CLAIMS_MAX];
    accepts_claims(&body, &many);
    refuses_claims(Rule::Claim, 3, &body, &after_claims(&many));
    // Each fact, by what implies it.
    let next = |before: &[Insn], fact| {
        let body = [before, &[mov_i(R0, 0)]].concat();
        let at = u32::try_from(before.len()).expect("a short body");
        check(&function(64, &body, &[claim(at, R2, fact)]), &shape()).is_ok()
    };
    assert!(next(&[narrow(mov(R2, R3))], Fact::U32));
    assert!(next(&[narrow(add(R2, R3))], Fact::U32));
    assert!(next(&[load(W, R2, R10, -8)], Fact::U32));
    assert!(next(&[load(B, R2, R10, -8)], Fact::U32));
    assert!(next(&[mov_i(R2, 65528)], index(0, 8)));
    assert!(next(&[mov_i(R2, 5)], Fact::U32));
    assert!(next(&[load(DW, R2, R6, LIMITS)], Fact::U32));
    assert!(next(&[base(R2, 0)], Fact::Address { memory: 0, bytes: 65536 }));
    assert!(!next(&[base(R2, 0)], Fact::Address { memory: 0, bytes: 65537 }));
    assert!(!next(&[base(R2, 0)], Fact::Base { memory: 2 }));
    assert!(!next(&[base(R2, 0), add_i(R2, 1)], Fact::Base { memory: 0 }));
    assert!(!next(&[mov_i(R2, 65529)], index(0, 8)));
    assert!(!next(&[mov_i(R2, -1)], Fact::U32));
    assert!(!next(&[size(R2, 0)], Fact::U32));
    assert!(!next(&[load_signed(W, R2, R10, -8)], Fact::U32));
    assert!(!next(&[load(DW, R2, R10, -8)], Fact::U32));
    assert!(!next(&[narrow(mov(R2, R3)), add_i(R2, 0)], Fact::U32));
    assert!(!next(&[Insn { off: 32, ..mov(R2, R3) }], Fact::U32));
    assert!(!next(&[mov(R2, R6)], Fact::U32));
}

fn after_claims(claims: &[Claim]) -> Vec<Claim> {
    let mut more = claims.to_vec();
    more.extend(claims.first());
    more
}

/// The time grows with the size, also for code that is made to be slow.
#[test]
fn hostile_sizes() {
    let time = |count: i16| {
        // Each jump goes to a block that has as many claims as there may be.
        let mut code = vec![load(DW, R0, R6, STACK_LIMIT), add_i(R0, i32::from(i16::MAX))];
        code.extend([jump(jmp::JLT, R10, R0, count + 2), narrow(mov(R4, R4))]);
        code.extend((0..count).rev().map(|rest| jump_i(jmp::JEQ, R3, 0, rest)));
        let at = u32::try_from(code.len()).expect("a short function");
        code.extend([exit(), mov(R1, R6), mov_i(R2, TrapReason::Stack as i32), help(Helper::Trap), exit()]);
        let function = Function { code, frame: FRAME_MAX, claims: vec![claim(at, R4, Fact::U32); CLAIMS_MAX] };
        let once = || {
            let begin = Instant::now();
            assert_eq!(check(&function, &shape()), Ok(()));
            begin.elapsed()
        };
        // Others use the machine, too: the quickest run counts.
        (0..20).map(|_| once()).min().unwrap_or_default()
    };
    let (small, large) = (time(2000), time(20000));
    assert!(large < small * 40 + Duration::from_millis(10), "{small:?} {large:?}");
}

#[test]
fn messages() {
    let result = check(&function(64, &[load(B, R1, R2, 0)], &[]), &shape());
    let text = result.expect_err("a violation").to_string();
    assert_eq!(text, "instruction 2: the address is not known to be in a memory");
}

/// The checker accepts every function that the compiler makes of the modules that `KWASMI_CHECK`
/// lists.
#[test]
fn modules() {
    let list = std::env::var("KWASMI_CHECK").unwrap_or_default();
    let (mut functions, mut insns, mut time) = (0_usize, 0_usize, Duration::ZERO);
    let mut refused = Vec::new();
    for path in list.split_whitespace() {
        let wasm = std::fs::read(path).expect("a file");
        let compiled = match compiler::compile(&wasm, compiler::CompilerOptions::default()) {
            Ok(compiled) => compiled,
            Err(error) => {
                println!("{path}: {error}");
                continue;
            }
        };
        let shape = compiled.declarations.shape();
        let begin = Instant::now();
        let mut checker = Checker::default();
        for (index, function) in compiled.functions.iter().enumerate() {
            if let Err(violation) = checker.check(function, &shape) {
                refused.push(format!("{path}: function {index} {violation}"));
            }
        }
        time += begin.elapsed();
        functions += compiled.functions.len();
        insns += compiled.functions.iter().map(|function| function.code.len()).sum::<usize>();
    }
    let seconds = time.as_secs_f64().max(1e-9);
    println!(
        "{functions} functions, {insns} instructions, {} refused; {:.0} functions/s, {:.1} M instructions/s",
        refused.len(),
        functions as f64 / seconds,
        insns as f64 / seconds / 1e6
    );
    assert!(refused.is_empty(), "{:#?}", &refused[..refused.len().min(20)]);
}
