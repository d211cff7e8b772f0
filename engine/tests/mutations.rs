// SPDX-License-Identifier: GPL-2.0

//! Mutated compiled code: what the checker accepts, the simulator finds no fault with.
//!
//! `KWASMI_MUTATIONS` is the number of mutated functions, `KWASMI_SEED` the first seed,
//! `KWASMI_CHECK` a list of modules whose functions are mutated as well.
#![cfg(feature = "simulator")]
#![allow(missing_docs)]

#[path = "common/instructions.rs"]
mod instructions;
#[path = "common/mutation.rs"]
mod mutation;

use instructions::*;
use kwasmi_engine::{
    checker::Checker,
    compiled::program::Program,
    compiler::{
        self,
        Compiled,
        CompilerOptions, //
    },
    ebpf::{
        R0, R1, R2, R3, R4, R6, R7, R8, R9, R10, jmp,
        width::{
            DW,
            W, //
        },
    },
    vmctx::{
        Claim,
        Fact,
        Function,
        Helper,
        INTERRUPT,
        LIMITS,
        Location, //
    },
};
use mutation::{
    Random,
    fault,
    listing,
    mutate, //
};

/// Programs with something of everything that the checker knows about.
const PROGRAMS: &[&str] = &[
    // Loads and stores: checked, constant, past the minimum, wide offsets, facts kept across calls
    // and spilled.
    r#"(module (memory 1) (global $g (mut i32) (i32.const 8))
        (func $f (param i32 i32) (result i32)
            (i32.store (local.get 0) (local.get 1))
            (i32.store8 offset=3 (local.get 0) (i32.const 5))
            (drop (memory.grow (i32.const 1)))
            (i32.add (i32.load offset=4 (local.get 0)) (i32.load (i32.const 65532))))
        (func (export "run") (param i32 i32 i64 i32 i32) (result i32)
            (i64.store offset=40000 (local.get 0) (local.get 2))
            (drop (call $f (local.get 0) (local.get 1)))
            (global.set $g (i32.load16_s (local.get 0)))
            (i32.store offset=70000 (local.get 3) (global.get $g))
            (i32.load8_u offset=39999 (local.get 0))))"#,
    // Loops: a hoisted base, sums, a call in a loop, nested.
    r#"(module (memory 2)
        (func $leaf (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
        (func (export "run") (param i32 i32) (result i32) (local i32 i32)
            (loop $outer
                (local.set 3 (i32.const 0))
                (loop $inner
                    (i32.store8 (i32.add (local.get 3) (local.get 0)) (local.get 3))
                    (local.set 2 (i32.add (local.get 2) (i32.load8_u (local.get 3))))
                    (local.set 3 (i32.add (local.get 3) (i32.const 1)))
                    (br_if $inner (i32.lt_u (local.get 3) (i32.const 9))))
                (local.set 2 (call $leaf (local.get 2)))
                (i32.store (local.get 0) (local.get 2))
                (local.set 1 (i32.sub (local.get 1) (i32.const 1)))
                (br_if $outer (i32.gt_s (local.get 1) (i32.const 0))))
            (local.get 2)))"#,
    // Divisions.
    r#"(module
        (func (export "run") (param i32 i32 i64 i64) (result i64)
            (i64.add
                (i64.extend_i32_u (i32.add
                    (i32.div_s (local.get 0) (local.get 1))
                    (i32.add (i32.rem_u (local.get 0) (local.get 1)) (i32.rem_s (local.get 1) (local.get 0)))))
                (i64.add
                    (i64.div_u (local.get 2) (local.get 3))
                    (i64.add (i64.rem_s (local.get 2) (i64.const 0x500000007)) (i64.div_s (local.get 3) (i64.const 7)))))))"#,
    // Control flow, several results, recursion.
    r#"(module (memory 1) (type $t (func (param i32) (result i32)))
        (table 4 funcref) (elem (i32.const 0) $f $g)
        (func $f (type $t) (select (i32.const 1) (local.get 0) (i32.lt_s (local.get 0) (i32.const 9))))
        (func $g (type $t)
            (if (result i32) (local.get 0)
                (then (call $g (i32.sub (local.get 0) (i32.const 1))))
                (else (i32.const 3))))
        (func $h (param i32) (result i32 i64 i32) (local.get 0) (i64.const 5) (i32.load (local.get 0)))
        (func (export "run") (param i32 i32) (result i32) (local i64)
            (block $a (block $b (block $c
                (br_table $a $b $c (local.get 0))))
                (local.set 0 (i32.load offset=12 (local.get 1))))
            (call $h (local.get 1)) (local.set 0) (local.set 2) (local.set 1)
            (call_indirect (type $t) (i32.and (local.get 0) (i32.const 7)) (i32.and (local.get 1) (i32.const 3)))))"#,
    // Two memories, one of them empty; bulk operations.
    r#"(module (memory 0 8) (memory $m 1 8) (data $d "kwasmi")
        (func (export "run") (param i32 i32 i32) (result i32)
            (i32.store $m (local.get 0) (local.get 1))
            (drop (memory.grow (i32.and (local.get 1) (i32.const 3))))
            (i32.store offset=8 (local.get 2) (local.get 1))
            (memory.copy (local.get 0) (local.get 1) (i32.const 4))
            (memory.init $m $d (i32.const 0) (i32.const 1) (i32.const 3))
            (memory.fill (local.get 2) (i32.const 7) (i32.const 16))
            (i32.add (i32.load $m offset=65000 (i32.and (local.get 0) (i32.const 255))) (i32.load (i32.const 4)))))"#,
    // More values than registers, floats, more arguments than registers.
    r#"(module (memory 1)
        (func $many (param i32 i32 i32 i32 i32 i32 i32) (result i32)
            (i32.add (local.get 6) (i32.load (local.get 5))))
        (func (export "run") (param i32 i32 i32 i32 i32) (result i32) (local f64 f32 i32 i32 i32 i32)
            (local.set 5 (f64.add (f64.convert_i32_s (local.get 0)) (f64.load (local.get 1))))
            (local.set 6 (f32.demote_f64 (local.get 5)))
            (local.set 7 (i32.load (local.get 0)))
            (local.set 8 (i32.load offset=4 (local.get 0)))
            (local.set 9 (i32.rotl (local.get 7) (local.get 8)))
            (local.set 10 (call $many (local.get 9) (local.get 8) (local.get 7) (local.get 4) (local.get 3) (local.get 2)
                (local.get 1)))
            (i32.store offset=16 (local.get 0) (local.get 10))
            (i32.add (i32.add (local.get 7) (local.get 8)) (i32.add (local.get 9) (i32.trunc_sat_f64_s (local.get 5))))))"#,
    // Exceptions.
    r#"(module (memory 1) (tag $a (param i32)) (tag $b)
        (func $f (param i32) (result i32)
            (if (i32.lt_s (local.get 0) (i32.const 3)) (then (throw $a (i32.load (local.get 0)))))
            (if (i32.lt_s (local.get 0) (i32.const 6)) (then (throw $b)))
            (i32.load offset=8 (local.get 0)))
        (func (export "run") (param i32 i32) (result i32) (local exnref)
            (loop $next
                (block $all (result exnref)
                    (block $one (result i32)
                        (try_table (catch $a $one) (catch_all_ref $all)
                            (i32.store (local.get 1) (call $f (local.get 0))))
                        (i32.const 5))
                    (local.set 1)
                    (ref.null exn))
                (local.set 2)
                (br_if $next (i32.gt_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 0))))
            (if (i32.eqz (ref.is_null (local.get 2))) (then (throw_ref (local.get 2))))
            (i32.load (local.get 1))))"#,
];

/// Module for the functions that are made by hand, all of which are called without parameters.
const BY_HAND: &str = "(module (memory 1 8) (memory 1 8) (func) (func) (func) (func))";

/// Functions with something of what the compiler does not make: pointers and indices in frame
/// slots, claims about them.
fn by_hand() -> Vec<Function> {
    let grow = [mov(R1, R6), mov_i(R2, 0), mov_i(R3, 1), help(Helper::MemoryGrow)];
    let slot = |at, slot, fact| Claim { at, location: Location::Slot(slot), fact };
    let spill = [base(R7, 0), add_i(R7, 64), store(DW, R10, -8, R7)];
    let reload = [load(DW, R8, R10, -8), load(W, R0, R8, 100), store(DW, R8, 8, R0)];
    let limit = [load(DW, R0, R6, LIMITS + 56), jump(jmp::JGT, R1, R0, END)];
    let access = [load(DW, R3, R10, -16), base(R7, 0), add(R3, R7), load(DW, R0, R3, 0)];
    let [low, high] = constant(R4, 1 << 32);
    let looping = [
        load(DW, R0, R6, INTERRUPT),
        jump_i(jmp::JEQ, R0, 0, 5),
        mov(R1, R6),
        help(Helper::Checkpoint),
        base(R7, 0),
        add_i(R7, 64),
        store(DW, R10, -8, R7),
        load(DW, R2, R10, -8),
        load(DW, R3, R2, 120),
        add_i(R8, 1),
        jump_i(jmp::JLT, R8, 9, -11),
    ];
    let address = Fact::Address { memory: 0, bytes: 256 };
    vec![
        // The address of memory 0 before and after it has grown.
        function(64, &[&spill[..], &grow, &spill, &reload].concat(), &[]),
        // An index of 8 bytes, another slot beside it, a constant of more than 32 bits, and the
        // width of compares.
        function(64, &[&limit[..], &[store(DW, R10, -16, R1), store(W, R10, -24, R2)], &access].concat(), &[]),
        function(
            64,
            &[
                &limit[..],
                &[low, high, mov_i(R4, 4), add(R1, R4), store(DW, R10, -16, R1)],
                &[load(DW, R3, R10, -16), base(R7, 1), base(R7, 0), add(R3, R7), load(W, R0, R3, 0)],
            ]
            .concat(),
            &[],
        ),
        // An address in a slot, claimed at the head of a loop.
        function(64, &[&spill[..], &[mov_i(R8, 0)], &looping].concat(), &[slot(4, 0, address), slot(11, 0, address)]),
    ]
}

/// Functions with masks in frame slots, across calls and for several accesses.
fn by_hand_with_masks() -> Vec<Function> {
    let limit = [load(DW, R0, R6, LIMITS + 56), jump(jmp::JGT, R8, R0, END)];
    let grow = [mov(R1, R6), mov_i(R2, 0), mov_i(R3, 1), help(Helper::MemoryGrow)];
    let spill = [mask(R7, 0), store(DW, R10, -8, R7)];
    let reload = [load(DW, R7, R10, -8), and(R8, R7)];
    let access = [base(R7, 0), add(R7, R8), load(DW, R0, R7, 0), store(W, R7, 4, R0)];
    let more = [add_i(R8, 4), mask(R1, 0), mask(R2, 1), and(R8, R1), base(R7, 0), add(R7, R8), load(W, R0, R7, 0)];
    let take = [mov(R8, R1)];
    vec![
        function(64, &[&take[..], &limit, &spill, &reload, &access, &grow, &access].concat(), &[]),
        function(64, &[&take[..], &spill, &limit, &reload, &access, &more].concat(), &[]),
        function(64, &[&take[..], &grow, &spill, &limit, &reload, &grow, &access, &more].concat(), &[]),
        function(64, &[&take[..], &limit, &grow, &[mask(R9, 0), and(R8, R9)], &access, &more].concat(), &[]),
    ]
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A module with its code.
fn load_module(wasm: &[u8], has_masks: bool) -> (Compiled, Program) {
    let compiled = compiler::compile(wasm, CompilerOptions::new(has_masks)).expect("a module that compiles");
    (compiled, Program::read(wasm).expect("a module"))
}

/// All programs, with masks and without.
fn modules() -> Vec<(Compiled, Program)> {
    let wat = |text: &str, has_masks| load_module(&wat::parse_str(text).expect("a program"), has_masks);
    let mut modules = Vec::new();
    for has_masks in [true, false] {
        modules.extend(PROGRAMS.iter().map(|text| wat(text, has_masks)));
        let (compiled, program) = wat(BY_HAND, has_masks);
        let functions = if has_masks { by_hand_with_masks() } else { by_hand() };
        modules.push((Compiled { functions, ..compiled }, program));
    }
    modules
}

#[test]
fn mutations() {
    let mut modules = modules();
    let list = std::env::var("KWASMI_CHECK").unwrap_or_default();
    modules.extend(list.split_whitespace().map(|path| load_module(&std::fs::read(path).expect("a file"), true)));
    let mut random = Random::new(number("KWASMI_SEED", 1), &[]);
    let mut checker = Checker::default();
    let (mut accepted, mut changed) = (0_u64, 0_u64);
    let count = number("KWASMI_MUTATIONS", 20_000);
    for _ in 0..count {
        let chosen = random.below(modules.len());
        let (compiled, program) = &mut modules[chosen];
        let shape = compiled.declarations.shape();
        let index = random.below(compiled.functions.len());
        let original = compiled.functions[index].clone();
        let function = &mut compiled.functions[index];
        for _ in 0..=random.below(3) {
            mutate(function, &mut random);
        }
        let is_changed = function.code != original.code || function.claims != original.claims;
        changed += u64::from(is_changed);
        if checker.check(function, &shape).is_ok() {
            accepted += u64::from(is_changed);
            for _ in 0..4 {
                let fault = fault(compiled, program, index, &mut random);
                assert_eq!(fault, None, "program {chosen}, function {index}: {}", listing(&compiled.functions[index]));
            }
        }
        compiled.functions[index] = original;
    }
    println!("{changed} mutated functions, {accepted} accepted and run");
    assert!(accepted > count / 100, "{accepted} of {changed}");
}

/// The programs themselves run without a fault, to their ends or a trap.
#[test]
fn programs() {
    let mut random = Random::new(7, &[]);
    for (compiled, program) in modules() {
        let shape = compiled.declarations.shape();
        for (index, function) in compiled.functions.iter().enumerate() {
            assert_eq!(Checker::default().check(function, &shape), Ok(()), "{}", listing(function));
            for _ in 0..1000 {
                assert_eq!(fault(&compiled, &program, index, &mut random), None, "{}", listing(function));
            }
        }
    }
}

/// The simulator finds fault with accesses without masks, which the checker refuses as well.
#[test]
fn no_masks() {
    let mut random = Random::new(7, &[]);
    for text in [PROGRAMS[0], PROGRAMS[1], PROGRAMS[4]] {
        let (mut compiled, program) = load_module(&wat::parse_str(text).expect("a program"), false);
        compiled.declarations.has_masks = true;
        let index = compiled.functions.len() - 1;
        let fault = (0..1000).find_map(|_| fault(&compiled, &program, index, &mut random));
        assert!(fault.is_some_and(|fault| fault.contains("after a misprediction")), "{text}");
        assert!(compiled.check().is_err(), "{text}");
    }
}
