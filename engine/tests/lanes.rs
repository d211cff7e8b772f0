// SPDX-License-Identifier: GPL-2.0

//! Compiled operators on integer lanes, in the simulator, against arithmetic on each lane in Rust.
#![cfg(feature = "simulator")]
#![allow(missing_docs)]
#![expect(clippy::cast_possible_truncation, reason = "words and lanes of vectors")]

mod simulation;

use kwasmi_engine::{
    compiled::simulator::{
        SimulationEnd,
        Stress, //
    },
    compiler::CompilerOptions,
};
use simulation::{
    Guest,
    NoImports, //
};

/// A compiled function of two vectors.
struct Function(Guest);

impl Function {
    /// Compiles a body with the vectors `$a` and `$b` that leaves a vector.
    fn new(body: &str) -> Self {
        let text = format!(
            "(module (func (export \"run\") (param $is_high i32) (param i64 i64 i64 i64) (result i64)
                (local $a v128) (local $b v128) (local $r v128)
                (local.set $a (i64x2.replace_lane 1 (i64x2.splat (local.get 1)) (local.get 2)))
                (local.set $b (i64x2.replace_lane 1 (i64x2.splat (local.get 3)) (local.get 4)))
                (local.set $r {body})
                (select (i64x2.extract_lane 1 (local.get $r)) (i64x2.extract_lane 0 (local.get $r)) (local.get $is_high))))"
        );
        Self(Guest::new(&text, CompilerOptions::default()))
    }

    fn call(&self, a: u128, b: u128) -> u128 {
        let words = |value: u128| [value as u64, (value >> 64) as u64];
        let ([a, c], [b, d]) = (words(a), words(b));
        let word = |is_high: u64| {
            let stress = Stress::new([is_high, a, c, b, d], u64::MAX);
            match self.0.run(Some(stress), &mut NoImports).0 {
                SimulationEnd::Returned(word) => u128::from(word),
                end => panic!("{end:?}"),
            }
        };
        word(0) | word(1) << 64
    }
}

/// Applies `function` to each lane of `bits` bits.
fn by_lane(bits: u32, a: u128, b: u128, function: impl Fn(u64, u64) -> u64) -> u128 {
    let mask = (1_u128 << bits) - 1;
    (0..128 / bits).map(|lane| lane * bits).fold(0, |result, first| {
        let lane = |value: u128| (value >> first & mask) as u64;
        result | (u128::from(function(lane(a), lane(b))) & mask) << first
    })
}

/// Vectors with lanes at and beside the limits of their ranges, and others.
fn vectors() -> Vec<u128> {
    let lanes = [0, 1, 0x7f, 0x80, 0x81, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
    let mut vectors: Vec<u128> =
        lanes.iter().flat_map(|lane| [8, 16, 32, 64].map(|bits| by_lane(bits, 0, 0, |_, _| *lane))).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u128;
    for _ in 0..24 {
        state = state.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(0x5851_f42d);
        // Some bytes are zero and some equal to the neighbour, as random ones hardly are.
        vectors.push(state ^ state >> 61);
        vectors.push(by_lane(16, state, 0, |lane, _| if lane & 3 == 0 { 0 } else { lane & 0xff00 }));
    }
    vectors
}

/// Pairs of vectors: each with itself, and with some others.
fn pairs() -> Vec<(u128, u128)> {
    let vectors = vectors();
    let count = vectors.len();
    (0..count).flat_map(|n| [0, 1, 7, 29].map(|step| (vectors[n], vectors[(n + step) % count]))).collect()
}

#[test]
fn binary_operators() {
    type Operator = fn(u64, u64) -> u64;
    let operators: [(&str, Operator); 5] = [
        ("add", u64::wrapping_add),
        ("sub", u64::wrapping_sub),
        ("mul", u64::wrapping_mul),
        ("eq", |a, b| if a == b { u64::MAX } else { 0 }),
        ("ne", |a, b| if a == b { 0 } else { u64::MAX }),
    ];
    for (shape, bits) in [("i8x16", 8), ("i16x8", 16), ("i32x4", 32)] {
        for (name, operator) in operators {
            if (shape, name) == ("i8x16", "mul") {
                continue;
            }
            let function = Function::new(&format!("({shape}.{name} (local.get $a) (local.get $b))"));
            let same = Function::new(&format!("({shape}.{name} (local.get $a) (local.get $a))"));
            for (a, b) in pairs() {
                assert_eq!(function.call(a, b), by_lane(bits, a, b, operator), "{shape}.{name} of {a:#x} and {b:#x}");
                assert_eq!(same.call(a, b), by_lane(bits, a, a, operator), "{shape}.{name} of {a:#x} twice");
            }
        }
    }
}

/// The result is assigned to an operand, and both operands are needed afterwards.
#[test]
fn operands_stay() {
    for name in ["add", "sub", "eq"] {
        let body = format!(
            "(v128.xor (i8x16.{name} (local.tee $r (i8x16.{name} (local.get $a) (local.get $b))) (local.get $b))
                (v128.xor (local.get $r) (v128.xor (local.get $a) (local.get $b))))"
        );
        let function = Function::new(&body);
        let operator = |a: u64, b: u64| match name {
            "add" => a.wrapping_add(b),
            "sub" => a.wrapping_sub(b),
            _ => u64::from(a & 0xff == b & 0xff) * 0xff,
        };
        for (a, b) in pairs() {
            let first = by_lane(8, a, b, operator);
            assert_eq!(function.call(a, b), by_lane(8, first, b, operator) ^ first ^ a ^ b, "{name} {a:#x} {b:#x}");
        }
    }
}

#[test]
fn constant_operands() {
    let function = Function::new("(i16x8.sub (v128.const i16x8 0 1 2 3 -1 -32768 32767 5) (local.get $a))");
    let other = Function::new("(i32x4.mul (local.get $a) (v128.const i32x4 3 -1 0 0x10001))");
    for (a, _) in pairs() {
        let constant = 0x0005_7fff_8000_ffff_0003_0002_0001_0000;
        assert_eq!(function.call(a, 0), by_lane(16, constant, a, u64::wrapping_sub));
        let constant = 0x0001_0001_0000_0000_ffff_ffff_0000_0003;
        assert_eq!(other.call(a, 0), by_lane(32, a, constant, u64::wrapping_mul));
    }
}

#[test]
fn shifts() {
    type Shift = fn(u32, u32) -> u32;
    let shifts: [(&str, Shift); 3] = [
        ("shl", u32::wrapping_shl),
        ("shr_u", u32::wrapping_shr),
        ("shr_s", |a, count| a.cast_signed().wrapping_shr(count).cast_unsigned()),
    ];
    for (name, shift) in shifts {
        let shift = |a: u128, count: u32| by_lane(32, a, 0, |lane, _| u64::from(shift(lane as u32, count)));
        let by_local = Function::new(&format!("(i32x4.{name} (local.get $a) (i32.wrap_i64 (local.get 3)))"));
        for count in [0, 1, 31, 32, 33, 63] {
            let constant = Function::new(&format!("(i32x4.{name} (local.get $a) (i32.const {count}))"));
            for a in vectors() {
                assert_eq!(by_local.call(a, count.into()), shift(a, count), "{name} of {a:#x} by {count}");
                assert_eq!(constant.call(a, 0), shift(a, count), "{name} of {a:#x} by {count}");
            }
        }
    }
}

#[test]
fn tests_of_lanes() {
    for (shape, bits) in [("i8x16", 8), ("i16x8", 16), ("i32x4", 32)] {
        let value = Function::new(&format!("(i64x2.splat (i64.extend_i32_u ({shape}.all_true (local.get $a))))"));
        let branch = Function::new(&format!(
            "(if (result v128) ({shape}.all_true (local.get $a)) (then (local.get $b)) (else (local.get $a)))"
        ));
        for (a, b) in pairs() {
            let mut is_true = true;
            for first in (0..128).step_by(bits) {
                is_true &= a >> first & ((1_u128 << bits) - 1) != 0;
            }
            assert_eq!(value.call(a, b), u128::from(is_true) << 64 | u128::from(is_true), "{shape} {a:#x}");
            assert_eq!(branch.call(a, b), if is_true { b } else { a }, "{shape} {a:#x}");
        }
    }
    let function = Function::new("(i64x2.splat (i64.extend_i32_u (i8x16.bitmask (local.get $a))))");
    let splat = Function::new("(i64x2.splat (i64.extend_i32_u (i8x16.bitmask (i64x2.splat (local.get 1)))))");
    let bitmask = |a: u128| (0..16).fold(0_u128, |mask, lane| mask | (a >> (8 * lane + 7) & 1) << lane);
    for a in vectors() {
        assert_eq!(function.call(a, 0), bitmask(a) << 64 | bitmask(a), "{a:#x}");
        let both = a & u128::from(u64::MAX) | a << 64;
        assert_eq!(splat.call(a, 0), bitmask(both) << 64 | bitmask(both), "{a:#x}");
    }
}
