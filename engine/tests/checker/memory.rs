// SPDX-License-Identifier: GPL-2.0

//! Accesses to the frame, the context and the memories, and the compares that allow them.

use super::*;

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
