// SPDX-License-Identifier: GPL-2.0

//! Target `compiled`: runs programs in the interpreter and, compiled, in the simulator, and
//! compares their ends and final states. For programs with exceptions, which the interpreter does
//! not have, it runs wasmtime instead.
//!
//! A program runs three times in the simulator. The second time its memories move at every call
//! that may move them, and checkpoints are requested again and again. The third time it is compiled
//! without masks, as if conditional jumps reached over few instructions.

use crate::{
    control::{
        self,
        Exceptions, //
    },
    oracle::{
        self,
        End,
        Ended,
        Left, //
    },
    run, //
};
use arbitrary::Unstructured;
use kwasmi_engine::{
    compiled::{
        instance::{
            self,
            InstanceStop, //
        },
        program::Program,
        simulator::{
            self,
            Imports,
            Simulator,
            Stress, //
        },
    },
    compiler::{
        self,
        Compiled,
        CompilerOptions, //
        Error,
    },
    vmctx::{
        GLOBALS,
        Helper,
        TrapReason, //
    },
};
use std::collections::BTreeMap;
use wasmparser::{
    ExternalKind,
    Parser,
    Payload,
    ValType, //
};

/// Bytes of the stack.
const STACK: usize = 1 << 20;

/// Steps of a program, more than it needs with the interpreter's fuel.
const STEPS: u64 = 30_000_000;

/// Result of the comparison for one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The engines agree.
    Equal,
    /// The input makes no program, or the program reaches a limit.
    NotComparable,
    /// The compiler refuses the program.
    Refused(String),
}

/// Compares a program that is generated from `data`: the first byte chooses the generator.
pub fn fuzz(data: &[u8]) -> Outcome {
    let Some((choice, data)) = data.split_first() else { return Outcome::NotComparable };
    let wasm = match choice & 7 {
        #[cfg(feature = "targets")]
        3 | 7 => return with_exceptions(data, if choice & 4 == 0 { Exceptions::Current } else { Exceptions::Legacy }),
        1 | 5 => Some(control::generate(data, Exceptions::None)),
        _ => run::program(&mut Unstructured::new(data)),
    };
    let Some(wasm) = wasm else { return Outcome::NotComparable };
    run::keep(&wasm);
    compare(&wasm)
}

/// Compares a program with exceptions, generated from `data`, with wasmtime, which has only those
/// that are not legacy.
#[cfg(feature = "targets")]
fn with_exceptions(data: &[u8], exceptions: Exceptions) -> Outcome {
    let wasm = control::generate(data, exceptions);
    run::keep(&wasm);
    let translated = match exceptions {
        Exceptions::Legacy => control::generate(data, Exceptions::Translated),
        _ => wasm.clone(),
    };
    compare_with(&wasm, || oracle::wasmtime::run(&translated, run::FUEL))
}

/// Compares a program with the interpreter.
pub fn compare(wasm: &[u8]) -> Outcome {
    compare_with(wasm, || run::by_kwasmi(wasm))
}

/// Compares a program with its end and final state in another engine.
fn compare_with(wasm: &[u8], reference: impl FnOnce() -> Ended) -> Outcome {
    let compiled = match compiler::compile(wasm, CompilerOptions::default()) {
        Ok(compiled) => compiled,
        Err(error @ (Error::Unsupported(_) | Error::TooLarge(_))) => {
            return Outcome::Refused(error.to_string());
        }
        Err(error) => panic!("{error}"),
    };
    if let Err(error) = compiled.check() {
        panic!("{error}");
    }
    let program = match Program::read(wasm) {
        Ok(program) => program,
        Err(error @ Error::Unsupported(_)) => return Outcome::Refused(error.to_string()),
        Err(error) => panic!("{error}"),
    };
    let expected = reference();
    if matches!(expected.end, End::NotComparable) {
        return Outcome::NotComparable;
    }
    let mut outcome = Outcome::NotComparable;
    let period = 30 + wasm.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte))) % 300;
    let near = CompilerOptions { has_masks: false, reach: 64, straight: 40 };
    let near = compiler::compile(wasm, near).expect("a program that was compiled before");
    if let Err(error) = near.check() {
        panic!("short jumps: {error}");
    }
    let runs = [
        ("simulator", &compiled, None),
        ("simulator under stress", &compiled, Some(Stress::new([0; 5], period))),
        ("simulator with short jumps", &near, Some(Stress::new([0; 5], period))),
    ];
    for (by, compiled, stress) in runs {
        let ended = run(wasm, compiled, &program, stress);
        if !matches!(ended.end, End::NotComparable) {
            run::compare(by, &expected, &ended);
            outcome = Outcome::Equal;
        }
    }
    outcome
}

/// Programs import nothing.
struct Nothing;

impl Imports for Nothing {
    fn call(&mut self, index: u32, _: &mut instance::CompiledInstance) -> Result<(), simulator::SimulationEnd> {
        panic!("import {index} is called");
    }
}

fn run(wasm: &[u8], compiled: &Compiled, program: &Program, stress: Option<Stress>) -> Ended {
    let mut simulator = match Simulator::new(compiled, program, STACK) {
        Ok(simulator) => simulator,
        Err(stop) => return stopped(stop, End::Failed).into(),
    };
    simulator.surroundings.memory = run::LIMITS.memory;
    simulator.surroundings.elements = run::LIMITS.table;
    simulator.steps = STEPS;
    simulator.stress = stress;
    let mut end = End::Finished;
    for function in program.start.into_iter().chain(program.export("_start")) {
        end = match simulator.run(function, &mut Nothing) {
            simulator::SimulationEnd::Returned(_) => continue,
            simulator::SimulationEnd::Stopped(stop) => stopped(stop, End::Trapped),
            simulator::SimulationEnd::StackOverflow | simulator::SimulationEnd::OutOfSteps => End::NotComparable,
            simulator::SimulationEnd::Uncaught(tag) => End::Trapped(oracle::uncaught(exported_tag(wasm, tag))),
            simulator::SimulationEnd::Exited(status) => panic!("exited with {status}"),
            simulator::SimulationEnd::Violation(text) => panic!("{text}"),
        };
        break;
    }
    let left = left(wasm, compiled, program, &mut simulator);
    Ended { end, fuel: None, left }
}

/// Returns the name of the first export of a tag.
fn exported_tag(wasm: &[u8], tag: u32) -> Option<&str> {
    let exports = Parser::new(0).parse_all(wasm).find_map(|payload| match payload {
        Ok(Payload::ExportSection(exports)) => Some(exports),
        _ => None,
    });
    let mut exports = exports?.into_iter().map(|export| export.expect("a valid export"));
    exports.find(|export| export.kind == ExternalKind::Tag && export.index == tag).map(|export| export.name)
}

fn stopped(stop: InstanceStop, otherwise: fn(String) -> End) -> End {
    let InstanceStop::Trap(reason) = stop else { return End::NotComparable };
    // The words of wasmi.
    otherwise(String::from(match reason {
        TrapReason::Unreachable => "wasm `unreachable` instruction executed",
        TrapReason::MemoryBounds => "out of bounds memory access",
        TrapReason::TableBounds => "undefined element: out of bounds table access",
        TrapReason::NullElement => "uninitialized element 2",
        TrapReason::BadSignature => "indirect call type mismatch",
        TrapReason::DivideByZero => "integer divide by zero",
        TrapReason::IntegerOverflow => "integer overflow",
        TrapReason::BadConversion => "invalid conversion to integer",
        TrapReason::Stack => "stack",
        TrapReason::NullException => "null exception reference",
    }))
}

/// Final contents of the exports.
fn left(wasm: &[u8], compiled: &Compiled, program: &Program, simulator: &mut Simulator<'_>) -> BTreeMap<String, Left> {
    let mut types: Vec<ValType> = Vec::new();
    let mut left = BTreeMap::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.expect("a valid module") {
            Payload::GlobalSection(globals) => {
                types.extend(globals.into_iter().map(|global| global.expect("a valid global").ty.content_type));
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.expect("a valid export");
                    let index = usize::try_from(export.index).expect("a small index");
                    let contents = match export.kind {
                        ExternalKind::Global => {
                            let first = usize::try_from(GLOBALS / 8).expect("an offset");
                            let words = &compiled.declarations.globals;
                            let (word, is_vector) = words.locate(export.index).expect("a global");
                            let word = first + usize::try_from(word).expect("a small index");
                            let context = simulator.instance.context();
                            let high = if is_vector { context[word + 1] } else { 0 };
                            let value = u128::from(context[word]) | u128::from(high) << 64;
                            let is_reference = matches!(types[index], ValType::Ref(_));
                            Left::Global(if is_reference { u128::from(value == 0) } else { value })
                        }
                        ExternalKind::Memory => Left::Memory(simulator.instance.memory(index).to_vec()),
                        ExternalKind::Table => Left::Table(nulls(compiled, program, simulator, export.index.into())),
                        _ => continue,
                    };
                    left.insert(export.name.to_owned(), contents);
                }
            }
            _ => {}
        }
    }
    left
}

/// The elements of a table: set for each null element.
fn nulls(compiled: &Compiled, program: &Program, simulator: &mut Simulator<'_>, table: u64) -> Vec<bool> {
    let (declarations, surroundings) = (&compiled.declarations, &simulator.surroundings);
    let mut help = |helper, index| {
        let args = [0, table, index, 0, 0];
        simulator.instance.help(program, declarations, surroundings, helper, args).expect("an element of the table")
    };
    (0..help(Helper::TableSize, 0)).map(|index| help(Helper::TableGet, index) == 0).collect()
}
