// SPDX-License-Identifier: GPL-2.0

//! Execution of guests: their ends, their limits, and interruptions, which must not change the
//! result.

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
        InstanceLimits,
        Limit,
        ModuleLimits,
        Status,
        Trap, //
    },
    host::{
        End,
        Pause, //
    },
    instance::{
        Instance,
        Outcome, //
    },
    invoke::{
        Functions,
        Invocation, //
    },
    module::{
        Module,
        Options, //
    },
    refusal::Reason,
};

/// End of a guest that is killed without a signal's number.
const KILLED: End = End { ending: Ending::Killed, code: 0 };

fn trap(body: &str) -> u32 {
    let end = run(body, &TestHost::default());
    assert_eq!(end.ending, Ending::Trapped, "{body}");
    end.code
}

#[test]
fn each_kind_of_trap_has_its_code() {
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
}

#[test]
fn host_calls_cost_fuel() {
    let text = |body: &str| {
        format!(
            r#"(module
                (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
                (import "kwasmi_bytes_1" "count" (func $count (param i32 i32 i32 i32) (result i32)))
                (import "kwasmi_bytes_1" "find" (func $find (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 1000)
                (func (export "_start") {body}))"#
        )
    };
    let bytes = 60_000_000;
    for body in [
        format!("(drop (call $random (i32.const 0) (i32.const {bytes})))"),
        format!("(drop (call $count (i32.const 16) (i32.const {bytes}) (i32.const 0) (i32.const 0)))"),
        format!("(drop (call $find (i32.const 16) (i32.const {bytes}) (i32.const 1) (i32.const 0)))"),
    ] {
        let module = load(&text(&body)).expect("loads");
        let mut instance = start(&module, &TestHost::default(), ROOMY).expect("starts");
        assert_eq!(finish(&mut instance), End::exited(0));
        let fuel = instance.usage().fuel;
        assert!((bytes / 64..bytes / 64 + 2000).contains(&fuel), "{body}: {fuel}");
        // The fuel runs out in the middle of the call.
        let limits = InstanceLimits { fuel: 100_000, ..ROOMY };
        let mut instance = start(&module, &TestHost::default(), limits).expect("starts");
        assert_eq!(finish(&mut instance), End::limited(Limit::Fuel), "{body}");
        assert_eq!(instance.usage().fuel, 100_000);
    }
    let module = load(&text("(loop $again (br_if $again (i32.eqz (call $yield))))")).expect("loads");
    let limits = InstanceLimits { fuel: 1_000_000, ..ROOMY };
    let mut instance = start(&module, &TestHost::default(), limits).expect("starts");
    assert_eq!(finish(&mut instance), End::limited(Limit::Fuel));
    let words = instance.words().to_string();
    let calls: u64 = words.split(' ').find_map(|word| word.parse().ok()).expect("a number");
    assert!((10_000..1_000_000 / 16).contains(&calls), "{words}");
}

#[test]
fn the_exit_status_is_that_of_proc_exit() {
    let program = |status: i64| {
        format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (func (export "_start") (call $exit (i32.const {status})) unreachable))"#
        )
    };
    for status in [0, 1, 42, 255] {
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
    let limits = InstanceLimits { fuel: 1_000_000, ..ROOMY };
    let mut instance = start(&module, &TestHost::default(), limits).expect("starts");
    assert_eq!(finish(&mut instance), End::limited(Limit::Fuel));
    assert!((900_000..=1_000_000).contains(&instance.usage().fuel), "{:?}", instance.usage());
    assert_eq!(instance.words().to_string(), "in _start, before any host call");
    assert_eq!(finish(&mut instance), End::limited(Limit::Fuel));
}

#[test]
fn a_checkpoint_ends_an_endless_loop_and_a_start_function() {
    for (text, end) in [
        (LOOP, KILLED),
        (r#"(module (func $f (loop (br 0))) (func (export "_start")) (start $f))"#, End::limited(Limit::Time)),
    ] {
        let host = TestHost::default();
        let module = load(text).expect("loads");
        let mut instance = start(&module, &host, ROOMY).expect("starts");
        host.world().pauses = vec![Pause::End(end), Pause::Continue, Pause::Continue];
        assert_eq!(finish(&mut instance), end);
    }
}

#[test]
fn usage_is_reported_for_a_guest_that_ends_while_paused() {
    let module = load(LOOP).expect("loads");
    let host = TestHost::default();
    let mut instance = start(&module, &host, ROOMY).expect("starts");
    host.world().pauses = vec![Pause::Interrupt, Pause::Continue];
    assert!(matches!(instance.run(|_| {}), Outcome::Interrupted));
    host.world().pauses = vec![Pause::End(KILLED)];
    let mut told = None;
    assert!(matches!(instance.run(|usage| told = Some(usage.fuel)), Outcome::Ended(KILLED)));
    assert!(told.is_some_and(|fuel| fuel > 0), "{told:?}");
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
fn pauses_do_not_change_the_result() {
    let text = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (func $fib (param i32) (result i32)
            (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
                (then (local.get 0))
                (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                               (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
        (func (export "_start") (call $exit (i32.sub (call $fib (i32.const 22)) (i32.const 17700)))))"#;
    let module = load(text).expect("loads");
    let host = TestHost::default();
    let mut instance = start(&module, &host, ROOMY).expect("starts");
    let mut pauses = 0;
    let end = loop {
        // The last element answers the checkpoint before the first slice, which only an end can
        // stop.
        host.world().pauses = vec![Pause::Interrupt, Pause::Interrupt];
        match instance.run(|_| {}) {
            Outcome::Ended(end) => break end,
            Outcome::Interrupted => pauses += 1,
            Outcome::Idle => panic!("not a reactor"),
        }
    };
    assert_eq!(end, End::exited(11));
    assert!(pauses > 2, "{pauses}");
}

/// Returns a guest that grows its memory or table and exits with the result of the last grow.
fn grower(memory: &str, body: &str) -> String {
    format!(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") {memory}) (table $t 0 funcref)
            (func (export "_start") {body}))"#
    )
}

#[test]
fn an_exit_status_above_255_is_a_trap() {
    for (status, trapped) in [(0_u32, false), (1, false), (255, false), (256, true), (1 << 16, true), (u32::MAX, true)]
    {
        let text = grower("1", &format!("(call $exit (i32.const {}))", status.cast_signed()));
        let module = load(&text).expect("loads");
        let mut instance = start(&module, &TestHost::default(), ROOMY).expect("starts");
        let end = finish(&mut instance);
        if trapped {
            assert_eq!(end, End { ending: Ending::Trapped, code: Trap::Other as u32 });
            let words = format!("proc_exit: exit status {status} is outside 0..=255");
            assert_eq!(instance.words().to_string(), words);
        } else {
            assert_eq!(end, End::exited(status));
        }
    }
}

#[test]
fn the_memory_limit_ends_the_guest() {
    let body = "(drop (memory.grow (i32.const 3))) (call $exit (memory.grow (i32.const 1)))";
    let module = load(&grower("1", body)).expect("loads");
    for (memory, end) in [(4 * 65_536, End::limited(Limit::Memory)), (5 * 65_536, End::exited(4))] {
        let limits = InstanceLimits { memory, ..ROOMY };
        let mut instance = start(&module, &TestHost::default(), limits).expect("starts");
        assert_eq!(finish(&mut instance), end);
        assert_eq!(instance.usage().memory_peak, memory);
    }
    let limits = InstanceLimits { memory: 65_535, ..ROOMY };
    let text = start(&module, &TestHost::default(), limits).err().expect("refused");
    assert!(text.contains("at instantiation"), "{text}");
}

#[test]
fn the_memory_limit_covers_all_memories() {
    let text = r#"(module (memory 2) (memory 2) (func (export "_start")))"#;
    let module = load(text).expect("loads");
    assert!(start(&module, &TestHost::default(), InstanceLimits { memory: 4 * 65_536, ..ROOMY }).is_ok());
    assert!(start(&module, &TestHost::default(), InstanceLimits { memory: 4 * 65_536 - 1, ..ROOMY }).is_err());
}

#[test]
fn growing_beyond_the_declared_maximum_fails_in_the_guest() {
    let grows = "(call $exit (i32.sub (i32.const 0) (memory.grow (i32.const 2))))";
    assert_eq!(run(&grower("1 2", grows), &TestHost::default()), End::exited(1));
}

#[test]
fn the_table_limit_ends_the_guest() {
    let body = "(drop (table.grow $t (ref.null func) (i32.const 900)))
        (call $exit (i32.div_u (table.grow $t (ref.null func) (i32.const 100)) (i32.const 100)))";
    let module = load(&grower("0", body)).expect("loads");
    for (table, end) in [(999, End::limited(Limit::Table)), (1000, End::exited(9))] {
        let limits = InstanceLimits { table, ..ROOMY };
        let mut instance = start(&module, &TestHost::default(), limits).expect("starts");
        assert_eq!(finish(&mut instance), end);
    }
}

/// An operation that takes more fuel than a slice is paused before it starts, and performed once.
#[test]
fn large_bulk_operations_are_performed_once() {
    let body = "(drop (table.grow $t (ref.null func) (i32.const 500000)))
        (drop (memory.grow (i32.const 1000)))
        (memory.fill (i32.const 0) (i32.const 7) (i32.const 50000000))
        (memory.copy (i32.const 1) (i32.const 0) (i32.const 50000000))
        (table.fill $t (i32.const 0) (ref.null func) (i32.const 500000))
        (table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 499999))
        (call $exit (i32.sub (i32.add (i32.add (table.size $t) (i32.mul (memory.size) (i32.const 3)))
            (i32.load8_u (i32.const 50000000))) (i32.const 503000)))";
    let module = load(&grower("0", body)).expect("loads");
    let mut instance = start(&module, &TestHost::default(), ROOMY).expect("starts");
    assert_eq!(finish(&mut instance), End::exited(7));
    assert!(instance.usage().fuel > 2_000_000, "{:?}", instance.usage());
}

/// wasmi cannot resume `table.grow`, so the guest must end.
#[test]
fn table_grow_out_of_slice_fuel_ends_the_guest() {
    let body = "(drop (table.grow $t (ref.null func) (i32.const 2000000))) (call $exit (i32.const 1))";
    let module = load(&grower("0", body)).expect("loads");
    let mut instance = start(&module, &TestHost::default(), ROOMY).expect("starts");
    assert_eq!(finish(&mut instance), End { ending: Ending::Trapped, code: Trap::Other as u32 });
}

#[test]
fn the_stack_limit_ends_the_guest() {
    let values = r#"(module (func $f (param i64 i64) (result i64)
            (i64.add (call $f (local.get 0) (local.get 1)) (local.get 1)))
        (func (export "_start") (drop (call $f (i64.const 1) (i64.const 2)))))"#;
    let calls = r#"(module (func $f (export "_start") (call $f) (call $f)))"#;
    for text in [values, calls] {
        for stack in [4096, 1 << 20] {
            let limits = ModuleLimits { stack, ..common::ROOMY_MODULE };
            let wasm = wat::parse_str(text).expect("valid text");
            let module = Module::new(&wasm, Options { limits, fault_injection: false }).expect("loads");
            let mut instance = start(&module, &TestHost::default(), ROOMY).expect("starts");
            assert_eq!(finish(&mut instance), End::limited(Limit::Stack), "{text}");
        }
    }
}

#[test]
fn a_segment_out_of_bounds_is_refused() {
    let module = load(r#"(module (memory 1) (data (i32.const 65535) "xy") (func (export "_start")))"#).expect("loads");
    let text = start(&module, &TestHost::default(), ROOMY).err().expect("refused");
    assert!(text.contains("cannot be instantiated"), "{text}");
}

#[test]
fn many_host_calls_cause_checkpoints() {
    let host = TestHost::default();
    let module = load(
        r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
            (memory (export "memory") 1)
            (func (export "_start") (loop (drop (call $yield)) (br 0))))"#,
    )
    .expect("loads");
    let mut instance = start(&module, &host, ROOMY).expect("starts");
    host.world().pauses = vec![Pause::End(KILLED), Pause::End(KILLED), Pause::Continue];
    assert_eq!(finish(&mut instance).ending, Ending::Killed);
    assert!(instance.usage().fuel < 2_000, "{:?}", instance.usage());
    assert!(instance.words().to_string().ends_with("host calls, the last one sched_yield"), "{}", instance.words());
}

/// Tests all combinations of operands and of comparisons with zero.
#[test]
fn a_select_by_a_comparison_with_zero_selects_the_right_operand() {
    let values = [(5, "(i32.const 5)"), (7, "(global.get $g)"), (2, "(local.get $two)")];
    for zero in [0, 1] {
        for (is_swapped, condition) in
            [(true, "i32.eqz"), (true, "i32.eq (i32.const 0)"), (false, "i32.ne (i32.const 0)")]
        {
            for (first, text) in values {
                for (second, other) in values {
                    let wanted = if (zero == 0) == is_swapped { first } else { second };
                    let end = run(
                        &format!(
                            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                                (global $g (mut i32) (i32.const 7))
                                (func (export "_start") (local $two i32) (local $zero i32)
                                    (local.set $two (i32.const 2)) (local.set $zero (i32.const {zero}))
                                    (call $exit (select {text} {other} ({condition} (local.get $zero))))))"#
                        ),
                        &TestHost::default(),
                    );
                    assert_eq!(end, End::exited(wanted), "{text} {other} {condition} {zero}");
                }
            }
        }
    }
}

/// Vectors in locals, on the operand stack, in a global, and as parameters and results survive host
/// calls and the ends of slices.
#[test]
fn vectors_survive_host_calls_and_slices() {
    for export in ["", r#"(export "memory")"#] {
        let text = format!(
            r#"(module
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (import "wasi_snapshot_preview1" "clock_res_get" (func $resolution (param i32 i32) (result i32)))
                (memory {export} 1)
                (global $sum (export "sum") (mut v128) (v128.const i64x2 1 2))
                (func $add (export "add") (param i32 v128 i64 v128) (result i64 v128 i32)
                    (i64.add (local.get 2) (i64.const 1))
                    (drop (call $resolution (i32.const 7) (i32.const 0)))
                    (i64x2.add (local.get 1) (local.get 3))
                    (i32.add (local.get 0) (i32.const 1)))
                (func (export "_start") (local $i i32) (local $one v128) (local $j i64) (local $zero v128)
                    (local.set $one (v128.const i64x2 1 -1))
                    (loop $more
                        (call $add (local.get $i) (global.get $sum) (local.get $j)
                            (select (local.get $one) (local.get $zero) (i32.const 1)))
                        (local.set $i)
                        (global.set $sum)
                        (local.set $j)
                        (br_if $more (i32.lt_u (local.get $i) (i32.const 40000))))
                    (if (v128.any_true (v128.xor (global.get $sum) (v128.const i64x2 40001 -39998)))
                        (then (call $exit (i32.const 1))))
                    (if (v128.any_true (local.get $zero)) (then (call $exit (i32.const 2))))
                    (call $exit (i32.add (i32.const 3) (i32.wrap_i64 (i64.sub (local.get $j) (i64.const 40000)))))))"#
        );
        assert_eq!(run(&text, &TestHost::default()), End::exited(3), "{export}");
    }
}

/// A vector takes two places of the stack.
#[test]
fn functions_with_many_vectors_run_or_are_refused() {
    let program = |locals: usize, last: usize| {
        let locals = "v128 ".repeat(locals);
        format!(r#"(module (func (export "_start") (local {locals}) (drop (v128.any_true (local.get {last})))))"#)
    };
    assert_eq!(run(&program(20_000, 19_999), &TestHost::default()), End::exited(0));
    let refused = load(&program(50_000, 49_999)).err().expect("more than 65,535 places");
    assert!(refused.starts_with("not valid Wasm"), "{refused}");
}

/// Lanes are stored in memories other than the default one, and with offsets of more than 16 bits.
#[test]
fn lanes_are_stored_in_their_memory() {
    let constant = "(v128.const i64x2 0x1111111111111111 0x2222222222222222)";
    let pointers = ["(local.get $at)", "(i32.and (local.get $at) (i32.const -1))", "(i32.const 8)"];
    for (memory, offset) in [(0, 4), (0, 70_000), (1, 4), (1, 65_535), (1, 70_000)] {
        for (lane, bits) in [(9, 8), (4, 16), (2, 32), (1, 64)] {
            for pointer in pointers {
                for value in ["(local.get $v)", constant] {
                    let (at, other) = (8 + offset, 1 - memory);
                    let text = format!(
                        r#"(module
                            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                            (memory 2) (memory 2)
                            (func (export "_start") (local $v v128) (local $at i32)
                                (local.set $v {constant})
                                (local.set $at (i32.const 8))
                                (v128.store{bits}_lane {memory} offset={offset} {lane} {pointer} {value})
                                (call $exit (i32.or
                                    (i32.load8_u {memory} (i32.const {at}))
                                    (i32.load {other} (i32.const {at}))))))"#
                    );
                    assert_eq!(run(&text, &TestHost::default()), End::exited(0x22), "{text}");
                }
            }
        }
    }
}

/// Calls an exported function; returns its end and its results.
fn invoke(text: &str, name: &str, args: &[u64]) -> Result<(End, Vec<u64>), (Reason, String)> {
    let module = load(text).expect("loads");
    let functions = Functions::Invoked(Invocation { name, args });
    let mut instance = match Instance::with_functions(&module, common::context(&TestHost::default()), ROOMY, functions)
    {
        Ok(instance) => instance,
        Err(refusal) => return Err((refusal.reason(), refusal.to_string())),
    };
    let mut results = [0; 32];
    assert_eq!(instance.results(&mut results), 0, "before it has run");
    let end = finish(&mut instance);
    let len = instance.results(&mut results);
    Ok((end, results[..len].to_vec()))
}

#[test]
fn exported_functions_are_called_after_the_initialization() {
    let reactor = r#"(module
        (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (global $g (mut i32) (i32.const 1))
        (func $start (global.set $g (i32.mul (global.get $g) (i32.const 5))))
        (start $start)
        (func (export "_initialize") (global.set $g (i32.add (global.get $g) (i32.const 2))))
        (func (export "get") (result i32) (global.get $g))
        (func (export "types") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
            (drop (call $yield)) (local.get 3) (local.get 2) (local.get 1) (local.get 0))
        (func (export "sum") (param $n i64) (result i64) (local $sum i64)
            (loop $more
                (local.set $sum (i64.add (local.get $sum) (local.get $n)))
                (local.set $n (i64.sub (local.get $n) (i64.const 1)))
                (br_if $more (i64.ne (local.get $n) (i64.const 0))))
            (local.get $sum))
        (func (export "exit") (result i32) (call $exit (i32.const 3)) (i32.const 1))
        (func (export "trap") (result i32) unreachable)
        (func (export "vector") (param v128))
        (func (export "reference") (result externref) (ref.null extern))
        (export "imported" (func $yield)))"#;
    let done = |results: &[u64]| Ok((End::exited(0), results.to_vec()));
    assert_eq!(invoke(reactor, "get", &[]), done(&[7]));
    // The upper half of an argument with 32 bits does not count.
    let args = [u64::MAX - 1, 1 << 40, 0xdead_0000_3fc0_0000, f64::NAN.to_bits()];
    assert_eq!(invoke(reactor, "types", &args), done(&[f64::NAN.to_bits(), 0x3fc0_0000, 1 << 40, 0xffff_fffe]));
    // More than one slice.
    assert_eq!(invoke(reactor, "sum", &[200_000]), done(&[20_000_100_000]));
    assert_eq!(invoke(reactor, "exit", &[]), Ok((End::exited(3), vec![])));
    assert_eq!(invoke(reactor, "_initialize", &[]), done(&[]));
    let (end, results) = invoke(reactor, "trap", &[]).expect("runs");
    assert_eq!((end.ending, results), (Ending::Trapped, vec![]));
    for (name, args, reason, text) in [
        ("none", &[][..], Reason::NoFunction, "no function none is exported"),
        ("memory", &[], Reason::NoFunction, "no function memory is exported"),
        ("(start)", &[], Reason::NoFunction, "no function (start) is exported"),
        ("get", &[1], Reason::Argument, "function get: 1 arguments given, 0 needed"),
        ("sum", &[], Reason::Argument, "function sum: 0 arguments given, 1 needed"),
        (
            "vector",
            &[1],
            Reason::Unsupported,
            "function vector: only parameters and results of type i32, i64, f32 and f64 can be passed",
        ),
        (
            "reference",
            &[],
            Reason::Unsupported,
            "function reference: only parameters and results of type i32, i64, f32 and f64 can be passed",
        ),
        ("imported", &[], Reason::Unsupported, "function imported is an import of the module"),
    ] {
        assert_eq!(invoke(reactor, name, args), Err((reason, text.to_owned())));
    }
    let many = format!(r#"(module (func (export "f") (param {})))"#, "i32 ".repeat(33));
    assert_eq!(invoke(&many, "f", &[0; 33]), Err((Reason::TooBig, "function f: 33 parameters, limit 32".to_owned())));
    let wrong = r#"(module (func (export "_initialize") (param i32)) (func (export "f")))"#;
    assert_eq!(
        invoke(wrong, "f", &[]),
        Err((Reason::Invalid, "function _initialize takes parameters or has results".to_owned()))
    );
}

#[test]
fn a_reactor_is_no_program_and_a_program_can_be_invoked() {
    let reactor = load(r#"(module (func (export "f")))"#).expect("loads");
    let refused = start(&reactor, &TestHost::default(), ROOMY).err().expect("no program");
    assert_eq!(refused, "no function _start is exported: not a program");
    // `_start` does not run.
    let program = r#"(module (func (export "_start") unreachable) (func (export "f") (result i32) (i32.const 4)))"#;
    assert_eq!(invoke(program, "f", &[]), Ok((End::exited(0), vec![4])));
}

/// Calls a function of a reactor that is idle; returns its results, or how the guest ended.
fn call(instance: &mut Instance<TestHost>, number: u32, args: &[u64]) -> Result<Vec<u64>, End> {
    instance.begin(number, args).expect("begins");
    loop {
        match instance.run(|_| {}) {
            Outcome::Interrupted => {}
            Outcome::Ended(end) => return Err(end),
            Outcome::Idle => {
                let mut results = [0; 32];
                let len = instance.results(&mut results);
                return Ok(results[..len].to_vec());
            }
        }
    }
}

#[test]
fn a_reactor_is_called_many_times_and_keeps_its_state() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (global $g (mut i64) (i64.const 1))
        (func $start (global.set $g (i64.mul (global.get $g) (i64.const 5))))
        (start $start)
        (func (export "_initialize") (global.set $g (i64.add (global.get $g) (i64.const 2))))
        (func (export "add") (param i64) (result i64)
            (global.set $g (i64.add (global.get $g) (local.get 0))) (global.get $g))
        (func (export "swap") (param i32 f64) (result f64 i32) (local.get 1) (local.get 0))
        (func (export "long") (param $n i64) (result i64)
            (loop $more
                (local.set $n (i64.sub (local.get $n) (i64.const 1)))
                (br_if $more (i64.ne (local.get $n) (i64.const 0))))
            (global.get $g))
        (func (export "vector") (param v128))
        (export "imported" (func $exit))
        (func (export "exit") (call $exit (i32.const 3))))"#;
    let module = load(text).expect("loads");
    let find = |name: &str| module.callable(name).map(|found| found.number).map_err(|refusal| refusal.reason());
    let host = TestHost::default();
    let mut instance =
        Instance::with_functions(&module, common::context(&host), ROOMY, Functions::Reactor).expect("starts");
    let add = find("add").expect("exported");
    assert_eq!(instance.begin(add, &[1]), Err(Status::NoFunction), "before the initialization");
    assert_eq!(instance.run(|_| {}), Outcome::Idle);
    assert_eq!(instance.run(|_| {}), Outcome::Idle);
    assert_eq!(call(&mut instance, add, &[3]), Ok(vec![10]));
    assert_eq!(call(&mut instance, add, &[u64::MAX]), Ok(vec![9]));
    // The upper half of an argument with 32 bits does not count.
    let swap = find("swap").expect("exported");
    assert_eq!(call(&mut instance, swap, &[u64::MAX, 7]), Ok(vec![7, 0xffff_ffff]));
    // More than one slice, with pauses.
    host.world().pauses = vec![Pause::Interrupt, Pause::Continue, Pause::Interrupt];
    assert_eq!(call(&mut instance, find("long").expect("exported"), &[400_000]), Ok(vec![9]));

    let types = module.callable("swap").expect("exported");
    assert_eq!((types.params.len, &types.params.types[..3]), (2, &[1, 4, 0][..]));
    assert_eq!((types.results.len, &types.results.types[..3]), (2, &[4, 1, 0][..]));
    for (name, reason) in [
        ("none", Reason::NoFunction),
        ("memory", Reason::NoFunction),
        ("(start)", Reason::NoFunction),
        ("_initialize", Reason::NoFunction),
        ("vector", Reason::Unsupported),
        ("imported", Reason::Unsupported),
    ] {
        assert_eq!(find(name), Err(reason), "{name}");
    }
    for number in (0..100).chain([u32::MAX]) {
        let is_callable = ["add", "swap", "long", "exit"].iter().any(|name| find(name) == Ok(number));
        if !is_callable {
            assert_eq!(instance.begin(number, &[]), Err(Status::NoFunction), "{number}");
        }
    }
    assert_eq!(instance.begin(add, &[]), Err(Status::Argument));
    assert_eq!(instance.begin(add, &[1, 2]), Err(Status::Argument));

    assert_eq!(call(&mut instance, find("exit").expect("exported"), &[]), Err(End::exited(3)));
    assert_eq!(instance.begin(add, &[1]), Err(Status::NoFunction), "after the end");
    assert_eq!(instance.run(|_| {}), Outcome::Ended(End::exited(3)));
}

#[test]
fn a_program_is_no_reactor() {
    let program = load(r#"(module (func (export "_start")) (func (export "f")))"#).expect("loads");
    let refused =
        Instance::with_functions(&program, common::context(&TestHost::default()), ROOMY, Functions::Reactor).err();
    assert_eq!(refused.expect("no reactor").to_string(), "function _start is exported: a program, not a reactor");
}
