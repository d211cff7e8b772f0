// SPDX-License-Identifier: GPL-2.0

//! Compares the functions that the command and the engine make from the table.

use kwasmi::host_functions;
use kwasmi_engine::wasi;

fn words<T: std::fmt::Debug>(values: &[T]) -> String {
    values.iter().map(|value| format!("{value:?} ")).collect::<String>().to_lowercase()
}

#[test]
fn the_command_and_the_engine_have_the_same_functions() {
    let engine = wasi::FUNCTIONS.iter().map(|function| {
        let types = (words(function.params), words(function.results));
        (function.module, function.name, types, words(function.capabilities))
    });
    let command = host_functions::FUNCTIONS.iter().map(|function| {
        let types = (words(function.params), words(function.results));
        (function.module, function.name, types, words(function.capabilities))
    });
    assert_eq!(command.collect::<Vec<_>>(), engine.collect::<Vec<_>>());
}
