// SPDX-License-Identifier: GPL-2.0

//! Loops, targets of jumps, and ends of functions.

use super::*;

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
