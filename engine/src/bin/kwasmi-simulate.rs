// SPDX-License-Identifier: GPL-2.0

//! Compiles a program, checks the code and runs it in the simulator, for tests: `kwasmi-simulate
//! FILE`. Exit statuses and messages are those of `kwasmi run`. The only import is `proc_exit`.

use kwasmi_engine::{
    checker::Checker,
    compiled::{
        instance::{
            CompiledInstance,
            InstanceStop, //
        },
        program::Program,
        simulator::{
            Imports,
            SimulationEnd,
            Simulator, //
        },
    },
    compiler,
    vmctx::TrapReason,
};
use std::process::ExitCode;

/// Bytes of the guest's stack.
const STACK: usize = 1 << 20;

struct ProcExit<'a>(&'a Program);

impl Imports for ProcExit<'_> {
    fn call(&mut self, index: u32, instance: &mut CompiledInstance) -> Result<(), SimulationEnd> {
        match self.0.imports.get(index as usize) {
            Some(import) if import.name == "proc_exit" => {
                Err(SimulationEnd::Exited(u32::try_from(instance.arg(0)).unwrap_or(u32::MAX)))
            }
            _ => Err(SimulationEnd::Violation(String::from("unknown import"))),
        }
    }
}

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else { return ExitCode::from(125) };
    let Ok(wasm) = std::fs::read(&path) else { return ExitCode::from(127) };
    let (status, message) = run(&wasm);
    if !message.is_empty() {
        eprintln!("{path}: {message}");
    }
    ExitCode::from(status)
}

fn run(wasm: &[u8]) -> (u8, String) {
    let compiled = match compiler::compile(wasm, compiler::CompilerOptions::default()) {
        Ok(compiled) => compiled,
        Err(error) => return (126, error.to_string()),
    };
    let (mut checker, shape) = (Checker::default(), compiled.declarations.shape());
    for (index, function) in compiled.functions.iter().enumerate() {
        if let Err(violation) = checker.check(function, &shape) {
            return (125, format!("refused: function {index}, {violation}"));
        }
    }
    let program = match Program::read(wasm) {
        Ok(program) => program,
        Err(error) => return (126, error.to_string()),
    };
    let mut simulator = match Simulator::new(&compiled, &program, STACK) {
        Ok(simulator) => simulator,
        Err(InstanceStop::Trap(TrapReason::TableBounds)) => return (126, String::from("out of bounds table access")),
        Err(InstanceStop::Trap(_)) => return (126, String::from("out of bounds memory access")),
        Err(stop) => return (126, format!("{stop:?}")),
    };
    let mut imports = ProcExit(&program);
    for function in program.start.into_iter().chain(program.export("_start")) {
        let message = match simulator.run(function, &mut imports) {
            SimulationEnd::Returned(_) => continue,
            SimulationEnd::Exited(status) => return (u8::try_from(status).unwrap_or(255), String::new()),
            SimulationEnd::StackOverflow => return (124, String::from("limit reached: stack (call stack exhausted)")),
            SimulationEnd::Stopped(InstanceStop::Trap(reason)) => String::from(words(reason)),
            SimulationEnd::Uncaught(tag) => program.uncaught(tag),
            SimulationEnd::Stopped(stop) => return (124, format!("limit reached: {stop:?}")),
            SimulationEnd::OutOfSteps => return (124, String::from("limit reached: fuel")),
            SimulationEnd::Violation(text) => return (125, format!("violation: {text}")),
        };
        return (134, format!("trap: {message}"));
    }
    (0, String::new())
}

fn words(reason: TrapReason) -> &'static str {
    match reason {
        TrapReason::Unreachable => "unreachable",
        TrapReason::MemoryBounds => "out of bounds memory access",
        TrapReason::TableBounds => "out of bounds table access",
        TrapReason::NullElement => "uninitialized element",
        TrapReason::BadSignature => "indirect call type mismatch",
        TrapReason::DivideByZero => "integer divide by zero",
        TrapReason::IntegerOverflow => "integer overflow",
        TrapReason::BadConversion => "invalid conversion to integer",
        TrapReason::Stack => "stack",
        TrapReason::NullException => "null exception reference",
    }
}
