// SPDX-License-Identifier: GPL-2.0

//! Loading of modules: which modules are refused, and with which message.

mod common;

use common::{
    load,
    load_bytes, //
};

fn refusal(text: &str) -> String {
    load(text).err().expect("refused")
}

const PROGRAM: &str = r#"
    (module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "some data")
        (func $start)
        (func (export "_start") (call $exit (i32.const 3)))
        (start $start))
"#;

#[test]
fn truncated_modules_are_refused() {
    let wasm = wat::parse_str(PROGRAM).expect("valid text");
    assert!(load_bytes(&wasm).is_ok());
    for len in 0..wasm.len() {
        match load_bytes(&wasm[..len]) {
            // Truncation between two sections can yield a valid module.
            Ok(_) => assert!(wasmparser::validate(&wasm[..len]).is_ok(), "{len} bytes are accepted"),
            Err(text) => assert!(!text.is_empty(), "{len} bytes"),
        }
    }
}

#[test]
fn bytes_that_are_not_wasm_are_refused_with_an_offset() {
    assert!(load_bytes(b"").err().expect("refused").contains("not valid Wasm"));
    let zeros = load_bytes(&vec![0; 1 << 20]).err().expect("refused");
    assert!(zeros.contains("not valid Wasm") && zeros.contains("offset"), "{zeros}");
}

#[test]
fn modules_with_a_changed_byte_are_refused_or_run() {
    let wasm = wat::parse_str(PROGRAM).expect("valid text");
    for at in 0..wasm.len() {
        for bits in [0x01, 0x80, 0xff] {
            let mut changed = wasm.clone();
            changed[at] ^= bits;
            if let Ok(module) = load_bytes(&changed) {
                let limits = kwasmi_engine::ffi::InstanceLimits { fuel: 10_000, memory: 1 << 20, table: 1000, fds: 8 };
                if let Ok(mut instance) = common::start(&module, &common::TestHost::default(), limits) {
                    common::finish(&mut instance);
                }
            }
        }
    }
}

#[test]
fn all_missing_imports_are_named() {
    let text = refusal(
        r#"(module
            (import "env" "first" (func))
            (import "wasi_snapshot_preview1" "path_close" (func))
            (import "wasi_snapshot_preview1" "fd_write" (func (param i32)))
            (import "wasi_snapshot_preview1" "fd_close" (func (param v128) (result i32)))
            (import "env" "memory" (memory 1))
            (import "env" "vector" (global v128))
            (func (export "_start")))"#,
    );
    for name in [
        "env.first",
        "path_close",
        "wrong type for function wasi_snapshot_preview1.fd_write",
        "wrong type for function wasi_snapshot_preview1.fd_close",
        "memory",
        "no global env.vector",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
}

#[test]
fn names_of_imports_are_escaped() {
    let text = refusal(r#"(module (import "a\nb" "\1b[31mred" (func)) (func (export "_start")))"#);
    assert!(text.contains(r"a\nb") && !text.contains('\n') && !text.contains('\x1b'), "{text}");
}

#[test]
fn modules_without_a_suitable_entry_are_refused() {
    assert!(refusal("(module)").contains("_start"));
    assert!(refusal(r#"(module (func (export "_start") (param i32)))"#).contains("parameters"));
    assert!(
        refusal(r#"(module (func $f (param i32)) (func (export "_start")) (start $f))"#).contains("start function")
    );
    assert!(refusal(r#"(module (global (export "_start") i32 (i32.const 0)))"#).contains("not a function"));
}

#[test]
fn offsets_refer_to_the_original_module_with_a_start_section() {
    let mut wasm = wat::parse_str(PROGRAM).expect("valid text");
    // Sets the length of the last data segment beyond its section.
    let len = wasm.len();
    let at = wasm.windows(9).position(|window| window == b"some data").expect("the data segment") - 1;
    wasm[at] = 100;
    let text = load_bytes(&wasm).err().expect("refused");
    let offset: usize = text.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number");
    assert!((at..=len).contains(&offset), "{text}, changed at {at}");
}
