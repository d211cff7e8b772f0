// SPDX-License-Identifier: GPL-2.0

//! Masks of indices.

use super::*;

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
    // The result of the AND is still an index of 8 bytes.
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
