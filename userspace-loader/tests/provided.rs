// SPDX-License-Identifier: GPL-2.0

//! Compares the list of provided functions with that of the engine.

use kwasmi::provided;

fn types<T: std::fmt::Debug>(types: &[T]) -> String {
    types.iter().map(|ty| format!("{ty:?} ")).collect::<String>().to_lowercase()
}

#[test]
fn functions_match_those_of_the_engine() {
    let mut engine: Vec<_> = kwasmi_engine::wasi::FUNCTIONS
        .iter()
        .map(|function| (function.module, function.name, types(function.params), types(function.results)))
        .collect();
    engine.sort_unstable();
    let command: Vec<_> = provided::FUNCTIONS
        .iter()
        .map(|function| (function.module, function.name, types(function.params), types(function.results)))
        .collect();
    assert_eq!(command, engine);
}
