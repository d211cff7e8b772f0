// SPDX-License-Identifier: GPL-2.0

//! Compiled programs in the simulator: results that mistakes of the compiler once made wrong.
#![cfg(feature = "simulator")]
#![allow(missing_docs)]

mod simulation;

use kwasmi_engine::{
    compiled::{
        instance::{
            CompiledInstance,
            InstanceStop, //
        },
        simulator::{
            Imports,
            SimulationEnd,
            Stress, //
        },
    },
    compiler::{
        self,
        CompilerOptions, //
    },
    ebpf::{
        Insn,
        class,
        jmp, //
    },
    vmctx::{
        Helper,
        TrapReason, //
    },
};
use simulation::Guest;
use std::ops::Range;

/// The only import returns its seven parameters as a number in base 10, and the first one again.
struct Digits;

impl Imports for Digits {
    fn call(&mut self, index: u32, instance: &mut CompiledInstance) -> Result<(), SimulationEnd> {
        assert_eq!(index, 0, "the only import");
        let first = instance.arg(0);
        let number = (0..7).fold(0, |number, index| number * 10 + instance.arg(index));
        instance.set_arg(0, number);
        instance.set_arg(1, first);
        Ok(())
    }
}

fn run(text: &str, args: [u64; 5]) -> SimulationEnd {
    simulation::run(text, args, &mut Digits).0
}

#[test]
fn if_without_else_whose_then_diverges() {
    let text = r#"(module (func (export "run") (param i32) (result i32)
        (i32.const 7) (local.get 0) (if (param i32) (result i32) (then (drop) (return (i32.const 9))))))"#;
    assert_eq!(run(text, [0; 5]), SimulationEnd::Returned(7));
    assert_eq!(run(text, [1, 0, 0, 0, 0]), SimulationEnd::Returned(9));
}

/// The fact about memory 0 is gone after the check for memory 1, on the way to a label.
#[test]
fn index_of_two_memories() {
    let text = r#"(module (memory 1) (memory $m 1) (func (export "run") (param i32 i32) (result i32)
        (drop (i32.load offset=8 (local.get 0)))
        (drop (i32.load $m (local.get 0)))
        (if (local.get 1) (then (i32.store (local.get 1) (i32.const 5))))
        (i32.load offset=8 (local.get 0))))"#;
    assert_eq!(run(text, [0, 8, 0, 0, 0]), SimulationEnd::Returned(5));
}

/// The last use of a local is twice in one operator.
#[test]
fn operands_of_one_dead_local() {
    for (operator, expected) in [("le_s", 1), ("lt_s", 0), ("ge_s", 1), ("le_u", 1), ("gt_u", 0), ("eq", 1), ("ne", 0)]
    {
        let text = format!(
            r#"(module (func (export "run") (param i32) (result i32) (i32.{operator} (local.get 0) (local.get 0))))"#
        );
        assert_eq!(run(&text, [0x8000_0003, 0, 0, 0, 0]), SimulationEnd::Returned(expected), "{operator}");
    }
    let text = r#"(module (func (export "run") (param f64) (result f64) (f64.copysign (local.get 0) (local.get 0))))"#;
    let value = (-2.5_f64).to_bits();
    assert_eq!(run(text, [value, 0, 0, 0, 0]), SimulationEnd::Returned(value));
}

/// Values and compares share locals, some of which nothing reads afterwards.
#[test]
fn selects() {
    type Condition = fn(i32, i32) -> bool;
    let conditions: [(&str, Condition); 6] = [
        ("i32.lt_s", |a, b| a < b),
        ("i32.ge_s", |a, b| a >= b),
        ("i32.le_u", |a, b| a.cast_unsigned() <= b.cast_unsigned()),
        ("i32.gt_u", |a, b| a.cast_unsigned() > b.cast_unsigned()),
        ("i32.eq", |a, b| a == b),
        ("i32.ne", |a, b| a != b),
    ];
    type Value = fn(i32, i32) -> i32;
    let values: [(&str, Value); 7] = [
        ("(local.get 0)", |a, _| a),
        ("(local.get 1)", |_, b| b),
        ("(i32.add (local.get 0) (local.get 1))", |a, b| a.wrapping_add(b)),
        ("(i32.const 0)", |_, _| 0),
        ("(i32.const 5)", |_, _| 5),
        ("(i32.const -1)", |_, _| -1),
        ("(i32.const -2147483648)", |_, _| i32::MIN),
    ];
    for (operator, holds) in conditions {
        for (first, one) in values {
            for (other, two) in values {
                let text = format!(
                    r#"(module (func (export "run") (param i32 i32) (result i32)
                        (select {first} {other} ({operator} (local.get 0) (local.get 1)))))"#
                );
                for (a, b) in [(0, 0), (3, 5), (5, 3), (-1, 1), (i32::MIN, i32::MAX), (-1, -1)] {
                    let expected = if holds(a, b) { one(a, b) } else { two(a, b) };
                    let words = [a, b, 0, 0, 0].map(|word| u64::from(word.cast_unsigned()));
                    let (end, _) = Guest::new(&text, CompilerOptions::default())
                        .run(Some(Stress::new(words, u64::MAX)), &mut Digits);
                    assert_eq!(end, SimulationEnd::Returned(expected.cast_unsigned().into()), "{text}: {a}, {b}");
                }
            }
        }
    }
}

#[test]
fn selects_of_wide_values() {
    for (first, other) in [
        ("i64.const -1", "i64.const 4294967296"),
        ("i64.const 7", "i64.const -7"),
        ("i64.const 0", "i64.const 4294967295"),
        ("local.get 1", "i64.const -9223372036854775808"),
        ("i64.const -2", "local.get 1"),
        ("local.get 1", "local.get 2"),
        ("local.get 2", "local.get 2"),
    ] {
        let value = |text: &str| match text.split_once(' ').expect("an operator and its immediate") {
            ("local.get", local) => {
                if local == "1" {
                    u64::MAX / 3
                } else {
                    1 << 40
                }
            }
            (_, number) => number.parse::<i64>().expect("a number").cast_unsigned(),
        };
        // The condition is the operand itself, whatever its bits.
        let text = format!(
            r#"(module (func (export "run") (param i32 i64 i64) (result i64)
                (select ({first}) ({other}) (local.get 0))))"#
        );
        for condition in [0, 1, 2, 1 << 31, u64::from(u32::MAX)] {
            let expected = value(if condition == 0 { other } else { first });
            let end = run(&text, [condition, u64::MAX / 3, 1 << 40, 0, 0]);
            assert_eq!(end, SimulationEnd::Returned(expected), "{text}: {condition}");
        }
    }
}

#[test]
fn tail_calls_of_the_function_itself() {
    let text = r#"(module (func $sum (export "run") (param i64 i64) (result i64) (local i64)
        (if (i64.eqz (local.get 0)) (then (return (i64.add (local.get 1) (local.get 2)))))
        (local.set 2 (i64.const 1000))
        (return_call $sum (i64.sub (local.get 0) (i64.const 1)) (i64.add (local.get 1) (local.get 0)))))"#;
    assert_eq!(run(text, [100_000, 0, 0, 0, 0]), SimulationEnd::Returned(5_000_050_000));
}

/// More parameters than registers, which change places.
#[test]
fn tail_calls_with_many_parameters() {
    let text = r#"(module
        (func $turn (param i64 i64 i64 i64 i64 i64 i64) (result i64 i64)
            (if (i64.eqz (local.get 0)) (then (return (local.get 1) (local.get 6))))
            (return_call $turn (i64.sub (local.get 0) (i64.const 1)) (local.get 2) (local.get 3) (local.get 4)
                (local.get 5) (local.get 6) (local.get 1)))
        (func (export "run") (param i64) (result i64)
            (call $turn (local.get 0) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5)
                (i64.const 6))
            (local.set 0) (i64.mul (i64.const 10)) (i64.add (local.get 0))))"#;
    for (times, expected) in [(0, 16), (1, 21), (6, 16), (10_000, 54)] {
        assert_eq!(run(text, [times, 0, 0, 0, 0]), SimulationEnd::Returned(expected), "{times}");
    }
}

/// Functions call each other in tail position, directly and through a table, deeper than any stack.
#[test]
fn tail_calls_of_other_functions() {
    let text = r#"(module
        (type $t (func (param i64 i64 i64 i64 i64 i64) (result i64)))
        (table funcref (elem $even $odd $last))
        (global $calls (mut i64) (i64.const 0))
        (func $last (type $t) (i64.add (local.get 0) (local.get 5)))
        (func $even (type $t)
            (if (i64.eqz (local.get 0)) (then
                (return_call_indirect (type $t) (i64.const 44) (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)
                    (local.get 5) (i32.const 2))))
            (return_call $odd (i64.sub (local.get 0) (i64.const 1)) (i64.const 0) (i64.const 0) (i64.const 0)
                (i64.const 0) (i64.add (local.get 5) (i64.const 1))))
        (func $odd (type $t)
            (if (i64.eqz (local.get 0)) (then (return (i64.const 99))))
            (return_call_indirect (type $t) (i64.sub (local.get 0) (i64.const 1)) (i64.const 0) (i64.const 0)
                (i64.const 0) (i64.const 0) (i64.add (local.get 5) (i64.const 1)) (i32.const 0)))
        (func $again (param i64) (result i64)
            (i64.add (i64.const 1)
                (call $even (local.get 0) (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0))))
        (func $to_again (param i64) (result i64) (return_call $again (local.get 0)))
        (func (export "run") (param i64) (result i64)
            (i64.add
                (call $to_again (local.get 0))
                (call_indirect (type $t) (local.get 0) (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)
                    (i64.const 0) (i32.const 1)))))"#;
    // The sum of $again, that is 44 plus the number of calls plus 1, and 99.
    assert_eq!(run(text, [20_000, 0, 0, 0, 0]), SimulationEnd::Returned(44 + 20_000 + 1 + 99));
    assert_eq!(run(text, [0; 5]), SimulationEnd::Returned(44 + 1 + 99));
    assert_eq!(run(text, [1, 0, 0, 0, 0]), SimulationEnd::Returned(99 + 1 + 44 + 1));
}

#[test]
fn tail_calls_trap() {
    let text = |element| {
        format!(
            r#"(module (type $t (func (param i32) (result i32))) (table 3 funcref) (elem (i32.const 0) $f $g)
        (func $f (type $t) (local.get 0)) (func $g)
        (func (export "run") (param i32) (result i32)
            (return_call_indirect (type $t) (local.get 0) (i32.const {element}))))"#
        )
    };
    let trap = |reason| SimulationEnd::Stopped(InstanceStop::Trap(reason));
    assert_eq!(run(&text(0), [5, 0, 0, 0, 0]), SimulationEnd::Returned(5));
    assert_eq!(run(&text(1), [5, 0, 0, 0, 0]), trap(TrapReason::BadSignature));
    assert_eq!(run(&text(2), [5, 0, 0, 0, 0]), trap(TrapReason::NullElement));
    assert_eq!(run(&text(3), [5, 0, 0, 0, 0]), trap(TrapReason::TableBounds));
}

/// Offsets that no immediate can hold.
#[test]
fn large_offsets() {
    let text = |offset: u64, minimum| {
        format!(
            r#"(module (memory {minimum}) (func (export "run") (param i32) (result i32)
        (i32.store offset={offset} (local.get 0) (i32.const 7)) (i32.load offset={offset} (local.get 0))))"#
        )
    };
    let trap = SimulationEnd::Stopped(InstanceStop::Trap(TrapReason::MemoryBounds));
    for offset in [0x7fff_fffc, 0x7fff_ffff, 0x8000_0000, 0xffff_fffb, 0xffff_fffc, 0xffff_ffff] {
        assert_eq!(run(&text(offset, 1), [0; 5]), trap, "{offset:#x}");
        assert_eq!(run(&text(offset, 1), [4, 0, 0, 0, 0]), trap, "{offset:#x}");
    }
    // The checker proves these accesses; running them takes 2 GiB.
    let text = text(0x8000_0000, 32769);
    let fixed = r#"(module (memory 32769) (func (result i32)
        (i32.store (i32.const 0x80000000) (i32.const 5)) (i32.load offset=0x7ffffff0 (i32.const 16))))"#;
    for text in [&*text, fixed] {
        let compiled = compiler::compile(&wat::parse_str(text).expect("a program"), CompilerOptions::default())
            .expect("a module that compiles");
        compiled.check().expect("code that the checker accepts");
    }
}

/// A function of many more instructions than a conditional jump reaches over.
#[test]
fn large_functions() {
    // Loops, branches out of blocks and ifs around much code that traps, checks and calls.
    let code = |count: u32| -> String {
        (0..count)
            .map(|number| {
                format!(
                    "(local.set 1 (i32.add (i32.mul (local.get 1) (i32.const {})) (i32.load offset={} (local.get 2))))
                    (if (i32.lt_u (local.get 1) (i32.const 9)) (then (local.set 1 (i32.div_u (local.get 1) (local.get 2)))))
                    (loop $l (i32.store offset={number} (local.get 2) (local.get 1))
                        (br_if $l (i32.eq (local.get 1) (i32.const 3))))\n",
                    number * 2 + 1,
                    number % 97
                )
            })
            .collect()
    };
    let text = |count: u32| {
        let code = code(count);
        format!(
            r#"(module (memory 1) (func (export "run") (param i32 i32 i32) (result i32) (local i32)
            (loop $loop
                (block $out
                    (br_if $out (i32.eqz (local.get 0)))
                    (if (i32.and (local.get 0) (i32.const 1)) (then {code}) (else (local.set 1 (i32.const 1)) {code}))
                    (local.set 3 (i32.add (local.get 3) (local.get 1)))
                    (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                    (br_if $loop (local.get 0)))
                (local.set 3 (i32.xor (local.get 3) (i32.const 5))))
            (local.get 3)))"#
        )
    };
    let expected = |count: u32, rounds: u32| {
        let mut memory = vec![0_u8; 65536];
        let (mut value, mut sum) = (0_u32, 0_u32);
        for round in (1..=rounds).rev() {
            if round & 1 == 0 {
                value = 1;
            }
            for number in 0..count {
                let at = |offset: u32| 7 + offset as usize;
                let word = u32::from_le_bytes(memory[at(number % 97)..][..4].try_into().expect("4 bytes"));
                value = value.wrapping_mul(number * 2 + 1).wrapping_add(word);
                if value < 9 {
                    value /= 7;
                }
                memory[at(number)..][..4].copy_from_slice(&value.to_le_bytes());
            }
            sum = sum.wrapping_add(value);
        }
        SimulationEnd::Returned(u64::from(sum ^ 5))
    };
    for count in [10, 900, 4000] {
        assert_eq!(run(&text(count), [3, 0, 7, 0, 0]), expected(count, 3), "{count}");
    }
}

#[test]
fn large_table_of_targets() {
    let count = 14_000_usize;
    let targets: String = (0..count).map(|index| format!("{} ", index * 7 % count)).collect();
    let blocks = "(block ".repeat(count);
    let ends: String = (0..count).map(|index| format!(") (return (i32.const {index}))\n")).collect();
    let text = format!(
        r#"(module (func (export "run") (param i32) (result i32)
            {blocks} (br_table {targets} 5 (local.get 0)) {ends} (i32.const 0)))"#
    );
    for index in [0, 1, 2, 6999, 7000, 13_998, 13_999] {
        assert_eq!(run(&text, [index, 0, 0, 0, 0]), SimulationEnd::Returned(index * 7 % count as u64), "{index}");
    }
    for index in [14_000, u32::MAX.into()] {
        assert_eq!(run(&text, [index, 0, 0, 0, 0]), SimulationEnd::Returned(5), "{index}");
    }
}

/// Imported functions, called in all ways.
#[test]
fn imports() {
    let call = |call: &str| {
        format!(
            r#"(module
        (type $t (func (param i64 i64 i64 i64 i64 i64 i64) (result i64 i64)))
        (import "m" "digits" (func $digits (type $t))) (table 1 funcref) (elem (i32.const 0) $digits)
        (func $call (type $t)
            (local.get 6) (local.get 5) (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0)
            {call})
        (func (export "run") (param i64) (result i64)
            (call $call (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6)
                (local.get 0))
            (i64.sub)))"#
        )
    };
    for instruction in [
        "(call $digits)",
        "(call_indirect (type $t) (i32.const 0))",
        "(return_call $digits)",
        "(return_call_indirect (type $t) (i32.const 0))",
    ] {
        assert_eq!(run(&call(instruction), [9, 0, 0, 0, 0]), SimulationEnd::Returned(9_654_321 - 9), "{instruction}");
    }
}

/// Runs a body that leaves a `v128` on the stack; returns it. The body has the parameters of `run`,
/// and a local `$v` of type `v128`.
fn run_vector(module: &str, body: &str, args: [u64; 5]) -> u128 {
    let half = |lane| {
        let text = format!(
            r#"(module (memory 1) {module}
            (func (export "run") (param $a i32) (param $b i64) (param $x v128) (result i64) (local $v v128)
                {body} (i64x2.extract_lane {lane})))"#
        );
        match run(&text, args) {
            SimulationEnd::Returned(value) => u128::from(value),
            other => panic!("{text}: {other:?}"),
        }
    };
    half(0) | half(1) << 64
}

/// Operands of one value are in one register, or in that of a local that nothing reads afterwards.
#[test]
fn vectors_share_words() {
    let (low, high) = (0x0123_4567_89ab_cdef_u64, 0xfedc_ba98_7654_3210_u64);
    let args = [7, low, 0x1111_2222_3333_4444, high, 0];
    let x = u128::from(high) << 64 | 0x1111_2222_3333_4444;
    let splat = u128::from(low) << 64 | u128::from(low);
    for (body, expected) in [
        ("(v128.and (local.get $x) (local.get $x))", x),
        ("(v128.xor (local.get $x) (local.get $x))", 0),
        ("(v128.andnot (local.get $x) (local.get $x))", 0),
        ("(v128.andnot (i64x2.splat (local.get $b)) (i64x2.splat (local.get $b)))", 0),
        ("(i64x2.splat (local.get $b))", splat),
        ("(v128.not (i64x2.splat (local.get $b)))", !splat),
        ("(v128.not (v128.not (i64x2.splat (local.get $b))))", splat),
        ("(v128.and (local.get $x) (i64x2.splat (local.get $b)))", x & splat),
        ("(v128.bitselect (local.get $x) (local.get $x) (local.get $x))", x),
        ("(v128.bitselect (i64x2.splat (local.get $b)) (local.get $x) (i64x2.splat (local.get $b)))", splat | x),
        ("(i64x2.replace_lane 0 (i64x2.splat (local.get $b)) (local.get $b))", splat),
        ("(i8x16.replace_lane 0 (i64x2.splat (local.get $b)) (local.get $a))", splat & !0xff | 7),
        ("(i8x16.replace_lane 15 (i64x2.splat (local.get $b)) (i32.const -1))", splat | 0xff << 120),
        ("(i16x8.replace_lane 5 (local.get $x) (i32.const 0))", x & !(0xffff << 80)),
        ("(select (local.get $x) (local.get $x) (local.get $a))", x),
        ("(select (local.get $x) (i64x2.splat (local.get $b)) (i64.lt_s (local.get $b) (i64.const 5)))", splat),
        ("(select (local.get $x) (i64x2.splat (local.get $b)) (i32.lt_s (local.get $a) (i32.const 8)))", x),
        ("(select (result v128) (local.get $x) (v128.const i64x2 1 2) (i32.eqz (local.get $a)))", 2 << 64 | 1),
        // All values are in registers, and needed afterwards.
        (
            "(local.set $v (v128.not (local.get $x)))
            (select (local.get $x) (local.get $v) (i32.lt_s (local.get $a) (i32.wrap_i64 (local.get $b))))
            (v128.xor (local.get $v)) (i32x4.splat (local.get $a)) (i64x2.splat (local.get $b)) drop drop
            (v128.xor (local.get $x))",
            x,
        ),
        (
            "(local.set $x (i64x2.replace_lane 0 (i64x2.splat (i64x2.extract_lane 0 (local.get $x)))
                (i64x2.extract_lane 1 (local.get $x)))) (local.get $x)",
            x.rotate_left(64),
        ),
        ("(v128.or (local.tee $x (v128.not (local.get $x))) (v128.const i64x2 0 0))", !x),
        ("(v128.or (local.tee $x (v128.not (local.get $x))) (local.get $x))", !x),
        ("(local.get $x) (local.set $x (v128.const i64x2 1 2)) (v128.xor (local.get $x))", x ^ (2 << 64 | 1)),
        ("(i32.const 1) (local.get $x) drop (drop) (local.get $v)", 0),
        ("(block $l (result v128) (drop (br_if $l (local.get $x) (v128.any_true (local.get $x)))) (local.get $v))", x),
        (
            "(local.get $x) (local.get $x)
            (loop $l (param v128 v128) (result v128)
                (i64x2.add) (local.tee $v) (local.get $x)
                (br_if $l (local.tee $a (i32.and (i32.sub (local.get $a) (i32.const 1)) (i32.const 3)))) drop)",
            u128::from(args[2] << 2) | u128::from(high << 2) << 64,
        ),
        ("(i8x16.shuffle 16 1 2 3 4 5 6 7 8 9 10 11 12 13 14 31 (local.get $x) (i64x2.splat (local.get $b)))", {
            let mask = 0xff | 0xff << 120;
            x & !mask | splat & mask
        }),
    ] {
        assert_eq!(run_vector("", body, args), expected, "{body}");
    }
}

/// Words of parameters, results and globals.
#[test]
fn vectors_in_calls_and_globals() {
    let module = r#"(type $t (func (param i32 v128 v128 v128 i64) (result i64 v128 v128)))
        (table funcref (elem $turn))
        (global $g (mut v128) (v128.const i64x2 1 2))
        (global $n i64 (i64.const 5))
        (global $h v128 (v128.const i64x2 3 4))
        (func $turn (type $t) (i64.add (local.get 4) (i64.extend_i32_u (local.get 0)))
            (v128.xor (local.get 3) (local.get 1)) (local.get 2))
        (func $tail (type $t) (return_call $turn (i32.const 1) (local.get 2) (local.get 3) (local.get 1) (local.get 4)))
        (func $far (type $t) (return_call_indirect (type $t) (local.get 0) (local.get 3) (local.get 2) (local.get 1)
            (local.get 4) (i32.const 0)))"#;
    let words = |low: u128, high: u128| low | high << 64;
    for (body, expected) in [
        (
            "(call $turn (i32.const 9) (global.get $g) (local.get $x) (global.get $h) (local.get $b)) drop (local.set $v) drop (local.get $v)",
            words(1 ^ 3, 2 ^ 4),
        ),
        (
            "(call $tail (i32.const 9) (global.get $g) (local.get $x) (global.get $h) (local.get $b)) drop (local.set $v) drop (local.get $v)",
            words(20 ^ 1, 30 ^ 2),
        ),
        (
            "(call $far (i32.const 9) (global.get $g) (local.get $x) (global.get $h) (local.get $b)) drop (local.set $v) drop (local.get $v)",
            words(1 ^ 3, 2 ^ 4),
        ),
        (
            "(call_indirect (type $t) (i32.const 9) (global.get $g) (local.get $x) (global.get $h) (local.get $b)
                (i32.const 0)) (local.set $v) drop drop (local.get $v)",
            words(20, 30),
        ),
        (
            "(global.set $g (local.get $x)) (v128.and (global.get $g) (v128.not (i64x2.splat (global.get $n))))",
            words(20 & !5, 30 & !5),
        ),
    ] {
        assert_eq!(run_vector(module, body, [7, 10, 20, 30, 0]), expected, "{body}");
    }
}

/// Loads and stores of 16 bytes at the end of memory, and far from their index.
#[test]
fn vectors_in_memory() {
    let text = |offset: u64| {
        format!(
            r#"(module (memory 1) (func (export "run") (param i32 i64) (result i64)
                (v128.store offset={offset} (local.get 0) (i64x2.splat (local.get 1)))
                (i64x2.extract_lane 1 (i64x2.add (v128.load offset={offset} (local.get 0))
                    (v128.load offset={offset} (local.get 0))))))"#
        )
    };
    let trap = SimulationEnd::Stopped(InstanceStop::Trap(TrapReason::MemoryBounds));
    for offset in [0, 1, 15, 32752, 32759, 32760, 32761, 32767, 32768, 40000, 65520] {
        let last = 65520 - offset;
        assert_eq!(run(&text(offset), [last, 21, 0, 0, 0]), SimulationEnd::Returned(42), "{offset}");
        assert_eq!(run(&text(offset), [last + 1, 21, 0, 0, 0]), trap, "{offset}");
        assert_eq!(run(&text(offset), [u64::from(u32::MAX), 21, 0, 0, 0]), trap, "{offset}");
    }
    assert_eq!(run(&text(65521), [0, 21, 0, 0, 0]), trap);
    // Nothing is stored if a part is outside.
    let text = r#"(module (memory 1) (func $last (result i64) (i64.load (i32.const 65528)))
        (func (export "run") (param i32) (result i64)
            (v128.store (i32.const 65512) (v128.const i64x2 1 2))
            (v128.store64_lane 1 (local.get 0) (v128.const i64x2 3 4))
            (v128.load8_lane 3 (local.get 0) (v128.const i64x2 0 0)) (i64x2.extract_lane 0) (call $last) i64.add))"#;
    assert_eq!(run(text, [65520, 0, 0, 0, 0]), SimulationEnd::Returned(4 << 24));
    assert_eq!(run(text, [65529, 0, 0, 0, 0]), trap);
}

/// Nothing can end the validation of one operator.
#[test]
fn operators_that_take_long_to_validate_are_refused() {
    let compile = |text: &str| compiler::compile(&wat::parse_str(text).expect("a program"), CompilerOptions::default());
    let error = |text: &str| compile(text).expect_err("too large");
    let table = |targets: usize, values: usize| {
        let (types, targets) = (" i32".repeat(values), " 0".repeat(targets));
        format!("(module (func (block (result{types}) unreachable (br_table{targets} 0 (i32.const 0))) unreachable))")
    };
    compile(&table(65_519, 1)).expect("a short table");
    assert_eq!(error(&table(65_521, 1)), compiler::Error::TooLarge("a br_table"));
    assert_eq!(error(&table(2_200, 1_000)), compiler::Error::TooLarge("a br_table"));
    let clauses = |clauses: usize| {
        let clauses = "(catch 0 $l)".repeat(clauses);
        format!(
            "(module (tag (param{params})) (func
                (block $l (result{params}) (try_table {clauses} (nop)) unreachable) unreachable))",
            params = " i32".repeat(1_000)
        )
    };
    compile(&clauses(100)).expect("few clauses");
    assert_eq!(error(&clauses(2_200)), compiler::Error::TooLarge("a try_table"));
}

/// Calls `run` of `text` with a depth of 20 and each of `values`. Each function must come to a
/// checkpoint or call within 1,024 instructions and those of one operator.
fn comes_to_checkpoints(text: &str, values: Range<u64>) {
    let guest = Guest::new(text, CompilerOptions::default());
    for value in values {
        let args = [20, value, 0, 0, 0];
        let end = guest.run(Some(Stress::new(args, u64::MAX)), &mut Digits);
        for period in [400, 1_000, 3_000, 10_000] {
            let mut stress = Stress::new(args, period);
            stress.straight = 1_024 + 32;
            assert_eq!(guest.run(Some(stress), &mut Digits), end, "{value}, {period}: {text}");
        }
    }
}

/// Functions of a deep recursion that return through long code come to a checkpoint, whichever
/// branches they take.
#[test]
fn long_code_after_calls() {
    let add = "(local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 3)) (i64.const 1)))";
    let adds = |count: usize| add.repeat(count);
    let bodies = [
        adds(2_000),
        format!("(block (br_if 0 (local.get $flag)) {})", adds(20)).repeat(100),
        "(block (br_if 0 (local.get $flag)) (unreachable))".repeat(2_000),
        "(block (br_if 0 (local.get $flag)) (call $nop))".repeat(2_000),
        "(block (br_if 0 (local.get $flag)) (loop))".repeat(2_000),
        "(block (br 0))".repeat(4_000),
        "(block (br_if 0 (i32.eqz (local.get $flag))) (local.set $sum (i64.add (local.get $sum) (i64.const 1)))
            (br_if 0 (local.get $flag)) (unreachable))"
            .repeat(2_000),
        "(if (local.get $flag) (then) (else (call $nop)))".repeat(2_000),
        "(if (local.get $flag) (then (call $nop)) (else))".repeat(2_000),
        "(if (local.get $flag) (then (call $nop)))".repeat(2_000),
        "(block (br_table 0 0 (local.get $flag)))".repeat(2_000),
        "(block (block (br_table 0 1 0 1 (local.get $flag)) (unreachable)))".repeat(2_000),
        format!("(if (local.get $flag) (then {}) (else {}))", adds(300), adds(700)).repeat(3),
        format!("(block $a (block $b (block $c (br_table $a $b $c (local.get $flag))) {}) {})", adds(400), adds(10))
            .repeat(6),
        format!("(local.set $flag (i32.add (local.get $flag) (block (result i32) {} (i32.const 0))))", adds(500))
            .repeat(3),
    ];
    for body in bodies {
        let text = format!(
            r#"(module (func $nop) (func $run (export "run") (param $depth i32) (param $flag i32) (result i64) (local $sum i64)
                (if (local.get $depth) (then (local.set $sum
                    (call $run (i32.sub (local.get $depth) (i32.const 1)) (local.get $flag)))))
                {body} (local.get $sum)))"#
        );
        // `unreachable` of a body is a trap without the flag.
        comes_to_checkpoints(&text, 0..3);
    }
}

/// Functions that an exception leaves through many tries without clauses come to a checkpoint.
#[test]
fn tries_that_catch_nothing() {
    for (begin, end) in [("try_table\n", "end\n"), ("try\n", "end\n"), ("try\n", "delegate 0\n")] {
        let text = format!(
            r#"(module (tag $e) (func $run (export "run") (param $depth i32) (param $throws i32)
                {}
                local.get $depth
                if
                    local.get $depth i32.const 1 i32.sub local.get $throws call $run
                else
                    local.get $throws if throw $e end
                end
                {}))"#,
            begin.repeat(2_000),
            end.repeat(2_000)
        );
        comes_to_checkpoints(&text, 0..2);
    }
}

/// Calls of helpers that compute count as several instructions.
#[test]
fn checkpoints_among_helpers() {
    let checkpoints = |operator: &str, constant: &str| {
        let text =
            format!("(module (func (local $x {constant}) (local.set $x (local.get $x) {})))", operator.repeat(1_000));
        let compiled = compiler::compile(&wat::parse_str(&text).expect("a program"), CompilerOptions::default());
        let [function] = &compiled.expect("a module that compiles").functions[..] else { panic!("one function") };
        let is_checkpoint = |insn: &&Insn| insn.code == class::JMP | jmp::CALL && insn.imm == Helper::Checkpoint as i32;
        function.code.iter().filter(is_checkpoint).count()
    };
    assert!(checkpoints("f64.sqrt ", "f64") >= 1_000 / 32);
    assert!(checkpoints("f32x4.sqrt ", "v128") >= 1_000 / 8);
    assert!(checkpoints("f64.neg ", "f64") < 10);
}
