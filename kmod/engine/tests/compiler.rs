// SPDX-License-Identifier: GPL-2.0
#![allow(missing_docs)]
use kwasmi_engine::compiler;

#[test]
fn stats() {
    let Ok(list) = std::env::var("KWASMI_COMPILE") else { return };
    for path in list.split_whitespace() {
        let wasm = std::fs::read(path).expect("file");
        let begin = std::time::Instant::now();
        match compiler::compile(&wasm) {
            Ok(compiled) => {
                let time = begin.elapsed();
                let insns: usize = compiled.functions.iter().map(|function| function.code.len()).sum();
                let frames = compiled.functions.iter().map(|function| function.frame).max();
                println!(
                    "{path}: {} bytes, {} functions, {insns} insns, max frame {frames:?}, {time:?}, {:.1} MB/s",
                    wasm.len(),
                    compiled.functions.len(),
                    wasm.len() as f64 / time.as_secs_f64() / 1e6
                );
            }
            Err(error) => println!("{path}: {error}"),
        }
    }
}
