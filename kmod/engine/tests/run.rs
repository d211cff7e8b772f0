// SPDX-License-Identifier: GPL-2.0

//! How guests end, and that interruptions leave no trace.

mod common;

use common::{
    ROOMY,
    TestHost,
    finish,
    load,
    run,
    start, //
};
use kwasmi_engine::{
    ffi::{
        Ending,
        Trap, //
    },
    host::Pause,
    instance::{
        Limits,
        Outcome, //
    },
};

fn trap(body: &str) -> u32 {
    let end = run(body, &TestHost::default());
    assert_eq!(end.ending, Ending::Trapped, "{body}");
    end.code
}

#[test]
fn traps_are_told_apart() {
    let program = |body: &str| format!(r#"(module (memory (export "memory") 1) (func (export "_start") {body}))"#);
    assert_eq!(trap(&program("unreachable")), Trap::Unreachable as u32);
    assert_eq!(trap(&program("(drop (i32.load (i32.const 65536)))")), Trap::MemoryBounds as u32);
    assert_eq!(trap(&program("(drop (i32.div_s (i32.const 1) (i32.const 0)))")), Trap::DivideByZero as u32);
    assert_eq!(
        trap(&program("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))")),
        Trap::IntegerOverflow as u32
    );
    assert_eq!(trap(&program("(drop (i32.trunc_f32_s (f32.const nan)))")), Trap::BadConversion as u32);
    assert_eq!(
        trap(r#"(module (table 1 funcref) (func (export "_start") (call_indirect (i32.const 0))))"#),
        Trap::NullElement as u32
    );
    assert_eq!(
        trap(r#"(module (table 1 funcref) (func (export "_start") (call_indirect (i32.const 1))))"#),
        Trap::TableBounds as u32
    );
    assert_eq!(
        trap(
            r#"(module (table 1 funcref) (elem (i32.const 0) $f) (func $f (param i32))
                (func (export "_start") (call_indirect (i32.const 0))))"#
        ),
        Trap::BadSignature as u32
    );
    assert_eq!(trap(r#"(module (func $f (export "_start") (call $f) (call $f)))"#), Trap::StackOverflow as u32);
}

#[test]
fn an_exit_status_is_the_guests_own() {
    let program = |status: i64| {
        format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (func (export "_start") (call $exit (i32.const {status})) unreachable))"#
        )
    };
    for status in [0, 1, 42, 255, 256, 0xffff_ffff] {
        let end = run(&program(status), &TestHost::default());
        assert_eq!((end.ending, i64::from(end.code)), (Ending::Exited, status));
    }
    let end = run(r#"(module (func (export "_start")))"#, &TestHost::default());
    assert_eq!((end.ending, end.code), (Ending::Exited, 0));
}

const LOOP: &str = r#"(module (func (export "_start") (loop (br 0))))"#;

#[test]
fn fuel_ends_an_endless_loop() {
    let module = load(LOOP).expect("loads");
    let limits = Limits { fuel: 1_000_000, ..ROOMY };
    let mut instance = start(&module, &TestHost::default(), limits).expect("starts");
    assert_eq!(finish(&mut instance).ending, Ending::OutOfFuel);
    assert!((900_000..=1_000_000).contains(&instance.fuel_used()), "{}", instance.fuel_used());
    assert_eq!(finish(&mut instance).ending, Ending::OutOfFuel);
}

#[test]
fn a_checkpoint_ends_an_endless_loop_and_a_start_function() {
    for (text, ending) in [
        (LOOP, Ending::Killed),
        (r#"(module (func $f (loop (br 0))) (func (export "_start")) (start $f))"#, Ending::Deadline),
    ] {
        let host = TestHost::default();
        let module = load(text).expect("loads");
        let mut instance = start(&module, &host, ROOMY).expect("starts");
        host.world().pauses = vec![Pause::End(ending), Pause::Continue, Pause::Continue];
        assert_eq!(finish(&mut instance).ending, ending);
    }
}

#[test]
fn a_start_function_runs_first() {
    let end = run(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (global $g (mut i32) (i32.const 1))
            (func $f (global.set $g (i32.const 5)))
            (func (export "_start") (call $exit (global.get $g))) (start $f))"#,
        &TestHost::default(),
    );
    assert_eq!(end.code, 5);
}

#[test]
fn a_start_function_that_traps_ends_the_guest() {
    let end = run(r#"(module (func $f unreachable) (func (export "_start")) (start $f))"#, &TestHost::default());
    assert_eq!((end.ending, end.code), (Ending::Trapped, Trap::Unreachable as u32));
}

#[test]
fn pauses_in_a_computation_do_not_change_it() {
    let text = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (func $fib (param i32) (result i32)
            (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
                (then (local.get 0))
                (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                               (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
        (func (export "_start") (call $exit (call $fib (i32.const 22)))))"#;
    let module = load(text).expect("loads");
    let host = TestHost::default();
    let mut instance = start(&module, &host, ROOMY).expect("starts");
    let mut pauses = 0;
    let end = loop {
        // The last one is for the beginning, where only an end counts.
        host.world().pauses = vec![Pause::Interrupt, Pause::Interrupt];
        match instance.run() {
            Outcome::Ended(end) => break end,
            Outcome::Interrupted => pauses += 1,
        }
    };
    assert_eq!(end.code, 17_711);
    assert!(pauses > 2, "{pauses}");
}

#[test]
fn memory_has_its_limit() {
    let text = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (drop (memory.grow (i32.const 3)))
            (drop (memory.grow (i32.const 1)))
            (call $exit (memory.size))))"#;
    let module = load(text).expect("loads");
    let limits = Limits { memory: 4 * 65_536, ..ROOMY };
    let mut instance = start(&module, &TestHost::default(), limits).expect("starts");
    assert_eq!(finish(&mut instance).code, 4);
    assert_eq!(instance.memory_peak(), 4 * 65_536);

    let limits = Limits { memory: 65_535, ..ROOMY };
    let text = start(&module, &TestHost::default(), limits).err().expect("refused");
    assert!(text.contains("cannot be instantiated"), "{text}");
}

#[test]
fn a_segment_that_does_not_fit_is_refused() {
    let module = load(r#"(module (memory 1) (data (i32.const 65535) "xy") (func (export "_start")))"#).expect("loads");
    let text = start(&module, &TestHost::default(), ROOMY).err().expect("refused");
    assert!(text.contains("cannot be instantiated"), "{text}");
}

#[test]
fn many_host_calls_give_the_host_a_say() {
    let host = TestHost::default();
    let module = load(
        r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
            (memory (export "memory") 1)
            (func (export "_start") (loop (drop (call $yield)) (br 0))))"#,
    )
    .expect("loads");
    let mut instance = start(&module, &host, ROOMY).expect("starts");
    host.world().pauses = vec![Pause::End(Ending::Killed); 3];
    assert_eq!(finish(&mut instance).ending, Ending::Killed);
    assert!(instance.fuel_used() < 2_000, "{}", instance.fuel_used());
}
