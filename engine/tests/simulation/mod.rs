// SPDX-License-Identifier: GPL-2.0

//! Programs that tests compile and run in the simulator.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of this module")]

use kwasmi_engine::{
    compiled::{
        instance::CompiledInstance,
        program::Program,
        simulator::{
            Imports,
            SimulationEnd,
            Simulator,
            Stress, //
        },
    },
    compiler::{
        self,
        Compiled,
        CompilerOptions, //
    },
};

/// Size of a guest's stack, in bytes.
const STACK: usize = 1 << 16;

/// No imports.
pub struct NoImports;

impl Imports for NoImports {
    fn call(&mut self, index: u32, _: &mut CompiledInstance) -> Result<(), SimulationEnd> {
        panic!("import {index} is called");
    }
}

/// A compiled program with an exported function `run`.
pub struct Guest {
    pub compiled: Compiled,
    pub program: Program,
}

impl Guest {
    /// Compiles `text`, and checks the code.
    pub fn new(text: &str, options: CompilerOptions) -> Self {
        let wasm = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let compiled = compiler::compile(&wasm, options).unwrap_or_else(|error| panic!("{error}: {text}"));
        compiled.check().unwrap_or_else(|error| panic!("{error}: {text}"));
        Self { compiled, program: Program::read(&wasm).expect("a module") }
    }

    /// Calls `run` in a new instance, under `stress` if it is given. Returns the end and the number
    /// of live exceptions.
    pub fn run(&self, stress: Option<Stress>, imports: &mut impl Imports) -> (SimulationEnd, usize) {
        let mut simulator = Simulator::new(&self.compiled, &self.program, STACK).expect("an instance");
        simulator.stress = stress;
        let end = simulator.run(self.program.export("run").expect("an export"), imports);
        (end, simulator.instance.exceptions())
    }
}

/// Calls `run` without requests, and then in several ways, all of which must end alike. Returns the
/// end and the number of live exceptions.
pub fn run(text: &str, args: [u64; 5], imports: &mut impl Imports) -> (SimulationEnd, usize) {
    let [ordinary, unmasked, near, interrupted] = [
        CompilerOptions::default(),
        CompilerOptions { has_masks: false, ..CompilerOptions::default() },
        CompilerOptions { reach: 20, ..CompilerOptions::default() },
        CompilerOptions { straight: 5, ..CompilerOptions::default() },
    ]
    .map(|options| Guest::new(text, options));
    let (end, live) = ordinary.run(Some(Stress::new(args, u64::MAX)), imports);
    for period in [30, 41, 57, 100, 300] {
        let mut must_end_alike = |guest: &Guest, how: &str| {
            let (same, alive) = guest.run(Some(Stress::new(args, period)), imports);
            assert_eq!(same, end, "requests after {period} steps{how}: {text}");
            alive
        };
        must_end_alike(&ordinary, "");
        must_end_alike(&unmasked, ", no masks");
        must_end_alike(&interrupted, ", many checkpoints");
        let alive = must_end_alike(&near, ", short jumps");
        assert_eq!(alive, live, "live exceptions: {text}");
    }
    (end, live)
}
