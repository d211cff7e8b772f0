// SPDX-License-Identifier: GPL-2.0

//! Target `run`: runs programs of wasm-smith in this engine, in wasmi and in wasmtime, and compares
//! their ends and final states.

use crate::{
    driver,
    host::{
        FuzzHost,
        MODULE_LIMITS, //
    },
    oracle::{
        self,
        End,
        Ended, //
    },
};
use arbitrary::Unstructured;
use kwasmi_engine::{
    ffi::{
        Ending,
        InstanceLimits, //
    },
    instance::{
        Instance,
        Outcome, //
    },
    module::{
        Module,
        Options, //
    },
};
use std::{
    env,
    fs, //
};
use wasm_smith::Config;

/// Fuel of a program, far more than it needs.
pub(crate) const FUEL: u64 = 1_000_000;

/// Upper bound of the loop iterations and calls of a program.
const ROUNDS: u32 = 1000;

/// Limits above the maxima that a program declares.
pub(crate) const LIMITS: InstanceLimits = InstanceLimits { memory: 4 << 20, table: 10_000, fds: 0, fuel: FUEL };

/// Environment variable with the path of a file that receives the program, for inspection.
const KEEP: &str = "KWASMI_FUZZ_KEEP";

/// Runs a program that is generated from `data`.
pub fn fuzz(data: &[u8]) {
    let Some(wasm) = program(&mut Unstructured::new(data)) else {
        return;
    };
    keep(&wasm);
    by_all(&wasm);
}

/// Writes a program to the file that [`KEEP`] names.
pub(crate) fn keep(wasm: &[u8]) {
    if let Some(path) = env::var_os(KEEP) {
        fs::write(path, wasm).expect("a writable file");
    }
}

/// Runs a program in all engines.
pub(crate) fn by_all(wasm: &[u8]) {
    let ours = by_kwasmi(wasm);
    if matches!(ours.end, End::NotComparable) {
        return;
    }
    compare("wasmi", &ours, &oracle::wasmi::run(wasm, FUEL));
    #[cfg(feature = "targets")]
    compare("wasmtime", &ours, &oracle::wasmtime::run(wasm, 100 * FUEL));
}

/// Generates a program from `input`.
pub(crate) fn program(input: &mut Unstructured<'_>) -> Option<Vec<u8>> {
    let uses_simd = input.arbitrary().ok()?;
    let config = Config {
        bulk_memory_enabled: true,
        canonicalize_nans: true,
        compact_imports_enabled: false,
        disallow_traps: input.arbitrary().ok()?,
        exceptions_enabled: false,
        export_everything: true,
        extended_const_enabled: true,
        gc_enabled: false,
        max_data_segments: 8,
        max_element_segments: 8,
        max_elements: 16,
        max_funcs: 12,
        max_globals: 12,
        max_imports: 0,
        max_instructions: 300,
        max_memories: 2,
        max_memory32_bytes: 4 * 65_536,
        max_table_elements: 500,
        max_tables: 3,
        max_tags: 0,
        memory64_enabled: false,
        memory_max_size_required: true,
        min_funcs: 1,
        relaxed_simd_enabled: uses_simd,
        simd_enabled: uses_simd,
        table_max_size_required: true,
        tail_call_enabled: true,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    };
    let mut module = wasm_smith::Module::new(config, input).ok()?;
    module.ensure_termination(ROUNDS).ok()?;
    driver::add(&module.to_bytes(), input)
}

/// Runs a program in the interpreter of this engine.
pub(crate) fn by_kwasmi(wasm: &[u8]) -> Ended {
    let module = match Module::<FuzzHost>::new(wasm, Options { limits: MODULE_LIMITS, fault_injection: false }) {
        Ok(module) => module,
        Err(refusal) => {
            assert!(refusal.limit().is_some(), "{refusal}");
            return End::NotComparable.into();
        }
    };
    let mut instance = match Instance::new(&module, FuzzHost::context(&[], 0, 0), LIMITS) {
        Ok(instance) => instance,
        Err(refusal) if refusal.limit().is_some() => return End::NotComparable.into(),
        Err(refusal) => return End::Failed(refusal.to_string()).into(),
    };
    let end = loop {
        if let Outcome::Ended(end) = instance.run(|_| {}) {
            break end;
        }
    };
    let words = instance.words().to_string();
    let end = match end.ending {
        Ending::Exited => End::Finished,
        // kwasmi ends the guest because of a defect of wasmi.
        Ending::Trapped if words.starts_with("table.grow") => End::NotComparable,
        Ending::Trapped => End::Trapped(words),
        Ending::Limited | Ending::OutOfMemory => End::NotComparable,
        Ending::Killed | Ending::EngineFault => panic!("{end:?}: {words}"),
    };
    let fuel = instance.usage().fuel;
    let (store, exports) = instance.inspect();
    Ended { end, fuel: Some(fuel), left: oracle::wasmi::left(store, exports) }
}

/// Demands that two engines came to the same end and final state.
pub(crate) fn compare(by: &str, ours: &Ended, other: &Ended) {
    match (&ours.end, &other.end) {
        (_, End::NotComparable) => return,
        // The start function runs after instantiation in this engine, and during instantiation in
        // the others.
        (End::Trapped(ours) | End::Failed(ours), End::Failed(other)) => {
            assert_eq!(cause(ours), cause(other), "{by}: {ours:?} and {other:?}");
            return;
        }
        (End::Trapped(ours), End::Trapped(other)) => {
            assert_eq!(cause(ours), cause(other), "{by}: {ours:?} and {other:?}");
        }
        (ours, other) => assert_eq!(ours, other, "{by}"),
    }
    if let (Some(ours), Some(other)) = (ours.fuel, other.fuel) {
        assert_eq!(ours, other, "{by}: fuel");
    }
    assert_eq!(ours.left.len(), other.left.len(), "{by}: exports");
    for ((name, ours), (_, other)) in ours.left.iter().zip(&other.left) {
        assert!(ours == other, "{by}: {name:?} is {}", ours.difference(other));
    }
}

/// Returns the part of a message that all engines have in common.
fn cause(words: &str) -> Option<&str> {
    let words = words.trim_start_matches("cannot be instantiated: ").trim_start_matches("undefined element: ");
    // wasmi adds a number to "uninitialized element".
    words.split(':').next().map(|cause| cause.trim_end_matches(" 2"))
}
