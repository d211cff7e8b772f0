// SPDX-License-Identifier: GPL-2.0

//! The checker of compiled code.
#![allow(missing_docs)]

use kwasmi_engine::{
    checker::Checker,
    compiler, //
};
use std::time::{
    Duration,
    Instant, //
};

/// The checker accepts every function that the compiler makes of the modules that `KWASMI_CHECK` lists.
#[test]
fn modules() {
    let list = std::env::var("KWASMI_CHECK").unwrap_or_default();
    let (mut functions, mut insns, mut time) = (0_usize, 0_usize, Duration::ZERO);
    let mut refused = Vec::new();
    for path in list.split_whitespace() {
        let wasm = std::fs::read(path).expect("a file");
        let compiled = match compiler::compile(&wasm) {
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
