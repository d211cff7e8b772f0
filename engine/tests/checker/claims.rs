// SPDX-License-Identifier: GPL-2.0

//! Claims about registers and slots.

use super::*;

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
