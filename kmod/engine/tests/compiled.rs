// SPDX-License-Identifier: GPL-2.0

//! Compiled programs in the simulator: results that mistakes of the compiler once made wrong.
#![cfg(feature = "simulator")]
#![allow(missing_docs)]

use kwasmi_engine::{
    compiled::{
        instance::Instance,
        program::Program,
        simulator::{
            End,
            Imports,
            Simulator,
            Stress, //
        },
    },
    compiler,
};

/// Programs import nothing.
struct Nothing;

impl Imports for Nothing {
    fn call(&mut self, index: u32, _: &mut Instance) -> Result<(), End> {
        panic!("import {index} is called");
    }
}

/// Calls the exported function `run`; requests come after so many steps.
fn run_with(text: &str, args: [u64; 5], period: u64) -> End {
    let wasm = wat::parse_str(text).expect("a program");
    let compiled = compiler::compile(&wasm).expect("a module that compiles");
    compiled.check().expect("code that the checker accepts");
    let program = Program::read(&wasm).expect("a module");
    let mut simulator = Simulator::new(&compiled, &program, 1 << 16).expect("an instance");
    simulator.stress = Some(Stress::new(args, period));
    simulator.run(program.export("run").expect("an export"), &mut Nothing)
}

fn run(text: &str, args: [u64; 5]) -> End {
    let end = run_with(text, args, u64::MAX);
    for period in [30, 41, 57, 100, 300] {
        assert_eq!(run_with(text, args, period), end, "requests after {period} steps");
    }
    end
}

#[test]
fn if_without_else_whose_then_diverges() {
    let text = r#"(module (func (export "run") (param i32) (result i32)
        (i32.const 7) (local.get 0) (if (param i32) (result i32) (then (drop) (return (i32.const 9))))))"#;
    assert_eq!(run(text, [0; 5]), End::Returned(7));
    assert_eq!(run(text, [1, 0, 0, 0, 0]), End::Returned(9));
}

/// The fact about memory 0 is gone after the check for memory 1, on the way to a label.
#[test]
fn index_of_two_memories() {
    let text = r#"(module (memory 1) (memory $m 1) (func (export "run") (param i32 i32) (result i32)
        (drop (i32.load offset=8 (local.get 0)))
        (drop (i32.load $m (local.get 0)))
        (if (local.get 1) (then (i32.store (local.get 1) (i32.const 5))))
        (i32.load offset=8 (local.get 0))))"#;
    assert_eq!(run(text, [0, 8, 0, 0, 0]), End::Returned(5));
}

/// The last use of a local is twice in one operator.
#[test]
fn operands_of_one_dead_local() {
    for (operator, expected) in [("le_s", 1), ("lt_s", 0), ("ge_s", 1), ("le_u", 1), ("gt_u", 0), ("eq", 1), ("ne", 0)]
    {
        let text = format!(
            r#"(module (func (export "run") (param i32) (result i32) (i32.{operator} (local.get 0) (local.get 0))))"#
        );
        assert_eq!(run(&text, [0x8000_0003, 0, 0, 0, 0]), End::Returned(expected), "{operator}");
    }
    let text = r#"(module (func (export "run") (param f64) (result f64) (f64.copysign (local.get 0) (local.get 0))))"#;
    let value = (-2.5_f64).to_bits();
    assert_eq!(run(text, [value, 0, 0, 0, 0]), End::Returned(value));
}
