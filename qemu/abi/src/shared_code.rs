// SPDX-License-Identifier: GPL-2.0

//! Tests of shared code: modules with the same bytes share one translation as long as any of them,
//! or an instance, exists.

use crate::{
    kernel::{
        assert_nothing_held,
        call,
        info,
        limit,
        load,
        load_limited,
        module,
        run,
        start, //
    },
    ktap::Tests,
    scale,
};
use kwasmi::uapi::{
    self,
    kwasmi_module,
    kwasmi_start, //
};
use std::{
    fmt::Write,
    os::fd::OwnedFd,
    sync::Barrier,
    thread, //
};

/// Returns a program with many functions that exits with `number`.
fn program(number: u32) -> Vec<u8> {
    let mut text = String::from(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)"#,
    );
    for function in 0..500 {
        let _ = write!(text, "(func (param i32) (result i32) (i32.add (local.get 0) (i32.const {function})))");
    }
    let _ = write!(text, r#"(func (export "_start") (call $exit (i32.const {number}))))"#);
    wat::parse_str(text).expect("valid text")
}

fn loaded(wasm: &[u8]) -> OwnedFd {
    load(wasm).0.expect("fine")
}

/// Returns true if the module uses an existing translation.
fn is_shared(module: &OwnedFd) -> bool {
    let mut identity = kwasmi_module::default();
    assert_eq!(call(module, uapi::IOC_MODULE, &mut identity), Ok(0));
    identity.flags & uapi::KWASMI_MODULE_SHARED != 0
}

/// Panics unless the module runs and exits with `number`.
fn assert_is(module: &OwnedFd, number: u32) {
    let ended = run(&start(module)).expect("it runs");
    assert_eq!((ended.status, ended.code), (uapi::KWASMI_EXITED, number));
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("loading the same bytes reuses the translation and takes no more memory", || {
        let first = loaded(&program(1));
        let held = info().heap_bytes;
        let others: Vec<OwnedFd> = (0..100).map(|_| loaded(&program(1))).collect();
        assert!(!is_shared(&first));
        assert!(others.iter().all(is_shared));
        assert_eq!(info().heap_bytes, held);
        assert_eq!(info().modules, 101);
        // The translation outlives the module that was loaded first.
        drop(first);
        for module in &others {
            assert_is(module, 1);
        }
        let instance = start(&others[0]);
        drop(others);
        let last = loaded(&program(1));
        assert!(is_shared(&last), "an instance keeps it, too");
        assert_eq!(run(&instance).expect("it runs").code, 1);
    });
    tests.add("a translation is freed with the last module and instance", || {
        assert_is(&loaded(&program(1)), 1);
        assert_nothing_held();
        assert!(!is_shared(&loaded(&program(1))));
    });
    tests.add("different bytes do not share code", || {
        let modules: Vec<OwnedFd> = (0..20).map(|number| loaded(&program(number))).collect();
        for (module, number) in modules.iter().zip(0..) {
            assert!(!is_shared(module));
            assert_is(module, number);
        }
    });
    tests.add("different limits for code do not share code", || {
        let wasm = program(1);
        let first = loaded(&wasm);
        let stack = limit(uapi::KWASMI_LIMIT_STACK, 8192);
        let (other, _) = load_limited(&wasm, &[stack]);
        assert!(!is_shared(&other.expect("fine")));
        let (refused, request) = load_limited(&wasm, &[limit(uapi::KWASMI_LIMIT_FUNCTIONS, 100)]);
        assert_eq!((refused.err(), request.limit), (Some(libc::EDQUOT), uapi::KWASMI_LIMIT_FUNCTIONS));
        let (refused, request) = load_limited(&wasm, &[limit(uapi::KWASMI_LIMIT_CODE, 4096)]);
        assert_eq!((refused.err(), request.limit), (Some(libc::EDQUOT), uapi::KWASMI_LIMIT_CODE));
        // Limits of instances are not part of the key.
        let (same, _) =
            load_limited(&wasm, &[limit(uapi::KWASMI_LIMIT_FUEL, 5), limit(uapi::KWASMI_LIMIT_MEMORY, 65536)]);
        assert!(is_shared(&same.expect("fine")));
        assert_is(&first, 1);
    });
    tests.add("code in which the engine failed is not shared with new modules", || {
        if info().features & u64::from(uapi::KWASMI_FEATURE_FAULT_INJECTION) == 0 {
            return;
        }
        let text = r#"(module (import "kwasmi_test" "panic" (func $panic)) (func (export "_start") (call $panic)))"#;
        let (first, second) = (module(text), module(text));
        assert!(is_shared(&second));
        assert_eq!(run(&start(&first)).expect("it runs").status, uapi::KWASMI_ENGINE_FAULT);
        // All modules with that code are affected.
        for module in [&first, &second] {
            let (started, log) = crate::kernel::start_with(module, kwasmi_start::default());
            assert_eq!(started.err(), Some(libc::EIO), "{log}");
        }
        let third = module(text);
        assert!(!is_shared(&third));
        let _fourth_starts = start(&module(text));
        drop((first, second));
        assert!(is_shared(&module(text)), "those who had the other do not take it away");
    });
    tests.add("eight threads load, run and close the same and different modules", || {
        let rounds = scale::iterations(400);
        let barrier = Barrier::new(8);
        thread::scope(|scope| {
            for thread in 0..8 {
                let barrier = &barrier;
                scope.spawn(move || {
                    let programs: Vec<Vec<u8>> = (0..3).map(program).collect();
                    barrier.wait();
                    for round in 0..rounds {
                        let number = (round + thread) % 3;
                        let module = loaded(&programs[number as usize]);
                        assert_is(&module, number);
                    }
                });
            }
        });
    });
}
