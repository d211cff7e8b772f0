// SPDX-License-Identifier: GPL-2.0

//! Calls, and the check of the stack at the entry.

use super::*;

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
