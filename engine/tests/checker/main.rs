// SPDX-License-Identifier: GPL-2.0

//! The checker of compiled code: each rule refuses code that breaks it, each fact lets code do what
//! it is for.
#![allow(missing_docs)]
#![expect(clippy::cast_possible_truncation, reason = "constants of the contract")]

mod calls;
mod claims;
mod flow;
#[path = "../common/instructions.rs"]
mod instructions;
mod masks;
mod memory;
mod operations;

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
