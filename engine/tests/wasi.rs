// SPDX-License-Identifier: GPL-2.0

//! Host functions of preview 1 and `kwasmi_batch_1` as guests see them.

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
    ffi::Ending,
    wasi::{
        FUNCTIONS,
        ValueType,
        abi::Errno, //
    },
};

/// Returns a program that exits with the result of `body`. Every function is imported by its own
/// name, those of `wasi_unstable` excepted: preview 1 has functions of the same names.
fn program(body: &str) -> String {
    let imports: String = FUNCTIONS
        .iter()
        .filter(|function| function.module != "wasi_unstable")
        .map(|function| {
            let types = |types: &[ValueType]| -> String {
                types.iter().map(|ty| if *ty == ValueType::I64 { " i64" } else { " i32" }).collect()
            };
            let result = if function.results.is_empty() { "" } else { "(result i32)" };
            format!(
                r#"(import "{3}" "{0}" (func ${0} (param{1}) {2}))"#,
                function.name,
                types(function.params),
                result,
                function.module
            )
        })
        .collect();
    format!(
        r#"(module {imports}
            (memory (export "memory") 1)
            (data (i32.const 1024) "\00\08\00\00\05\00\00\00\05\08\00\00\03\00\00\00")
            (data (i32.const 2048) "helloabc")
            (func (export "_start") (call $proc_exit {body})))"#
    )
}

fn exit_code(body: &str, host: &TestHost) -> u32 {
    let end = run(&program(body), host);
    assert_eq!(end.ending, Ending::Exited, "{body}");
    end.code
}

fn errno(body: &str) -> Errno {
    let code = exit_code(body, &TestHost::default());
    u16::try_from(code).ok().and_then(Errno::from_raw).expect("an errno")
}

#[test]
fn writes_gather_and_reads_scatter() {
    let host = TestHost::default();
    host.world().input = b"0123456789".to_vec();
    let body = r"
        (block (result i32)
            (drop (call $fd_read (i32.const 0) (i32.const 1024) (i32.const 2) (i32.const 0)))
            (drop (call $fd_write (i32.const 1) (i32.const 1024) (i32.const 2) (i32.const 4)))
            (i32.add (i32.load (i32.const 0)) (i32.load (i32.const 4))))";
    assert_eq!(exit_code(body, &host), 16);
    assert_eq!(host.world().output, b"01234567");
}

#[test]
fn an_interrupted_call_is_repeated_transparently() {
    let host = TestHost::default();
    let module = load(&program(
        r"(block (result i32)
            (drop (call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 0)))
            (i32.load (i32.const 0)))",
    ))
    .expect("loads");
    let mut instance = start(&module, &host, ROOMY).expect("starts");
    host.world().interruptions = 5;
    assert_eq!(finish(&mut instance).code, 5);
    assert_eq!(host.world().output, b"hello");
    assert_eq!(host.world().interruptions, 0);
}

#[test]
fn an_interrupted_tail_call_returns_to_its_caller() {
    let host = TestHost::default();
    let module = load(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 1024) "\00\08\00\00\05\00\00\00")
            (data (i32.const 2048) "hello")
            (func $tail (param i32 i32 i32 i32) (result i32)
                (return_call $write (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
            (func (export "_start") (local i32 i32 i32 i32 i64 i32)
                (local.set 4 (i64.const 0x1234567887654321))
                (local.set 5 (call $tail (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 0)))
                (if (i64.ne (local.get 4) (i64.const 0x1234567887654321)) (then unreachable))
                (call $exit (local.get 5))))"#,
    )
    .expect("loads");
    let mut instance = start(&module, &host, ROOMY).expect("starts");
    host.world().interruptions = 1;
    let end = finish(&mut instance);
    assert_eq!((end.ending, end.code), (Ending::Exited, 0), "{}", instance.words());
    assert_eq!(host.world().output, b"hello");
}

/// Runs two writes and a copy in one call. Returns the exit status, which combines the results, and
/// the output. `prepare` can make the host interrupt calls.
fn batch(prepare: impl FnOnce(&TestHost)) -> (u32, Vec<u8>) {
    let host = TestHost::default();
    let module = load(&program(
        r"(block (result i32)
            (i32.store (i32.const 4112) (i32.const 1))
            (i32.store (i32.const 4116) (i32.const 0x102))
            (i32.store (i32.const 4120) (i32.const 2048))
            (i32.store (i32.const 4124) (i32.const 5))
            (i32.store (i32.const 4160) (i32.const 1))
            (i32.store (i32.const 4164) (i32.const 0x102))
            (i32.store (i32.const 4168) (i32.const 2053))
            (i32.store (i32.const 4172) (i32.const 3))
            (i64.store (i32.const 4192) (i64.const -1))
            (i32.store (i32.const 4212) (i32.const 6))
            (i32.store (i32.const 4224) (i32.const 1))
            (drop (call $submit (i32.const 4096) (i32.const 3) (i32.const 0)))
            (i32.sub
                (i32.add (i32.load (i32.const 0))
                    (i32.add (i32.mul (i32.const 10) (i32.load (i32.const 4104)))
                        (i32.add (i32.mul (i32.const 100) (i32.load (i32.const 4152)))
                            (i32.mul (i32.const 1000) (i32.load (i32.const 4200))))))
                (i32.const 5300)))",
    ))
    .expect("loads");
    let mut instance = start(&module, &host, ROOMY).expect("starts");
    host.world().input = b"input".to_vec();
    prepare(&host);
    let code = finish(&mut instance).code;
    assert_eq!(host.world().interruptions, 0);
    assert_eq!(host.world().pauses, []);
    (code, host.world().output.clone())
}

#[test]
fn an_interrupted_batch_continues() {
    let whole = (3 + 50 + 300 + 5000 - 5300, b"helloabcinput".to_vec());
    assert_eq!(batch(|_| {}), whole);
    for interruptions in 1..12 {
        for transfer_max in 1..6 {
            let broken = batch(|host| {
                host.world().interruptions = interruptions;
                host.world().transfer_max = Some(transfer_max);
            });
            assert_eq!(broken, whole, "{interruptions} interruptions, {transfer_max} bytes at a time");
        }
    }
}

#[test]
fn an_interrupted_sleep_keeps_its_deadline() {
    let host = TestHost::default();
    host.world().clock = 100;
    // Subscription at address 0: relative, monotonic clock, 50 ns.
    let module = load(&program(
        r"(block (result i32)
            (i32.store8 (i32.const 8) (i32.const 0))
            (i32.store (i32.const 16) (i32.const 1))
            (i64.store (i32.const 24) (i64.const 50))
            (i64.store (i32.const 0) (i64.const 77))
            (drop (call $poll_oneoff (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 512)))
            (i32.add (i32.load (i32.const 512)) (i32.load (i32.const 256))))",
    ))
    .expect("loads");
    let mut instance = start(&module, &host, ROOMY).expect("starts");
    host.world().interruptions = 1;
    assert_eq!(finish(&mut instance).code, 78);
    assert_eq!(host.world().slept_until, [150]);
}

#[test]
fn pointers_out_of_bounds_are_refused_with_fault() {
    for bad in ["65536", "-1", "-4", "65533"] {
        for body in [
            format!("(call $fd_write (i32.const 1) (i32.const {bad}) (i32.const 1) (i32.const 0))"),
            format!("(call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const {bad}))"),
            format!("(call $fd_read (i32.const 0) (i32.const {bad}) (i32.const 1) (i32.const 0))"),
            format!("(call $args_sizes_get (i32.const {bad}) (i32.const 0))"),
            format!("(call $args_get (i32.const {bad}) (i32.const 0))"),
            format!("(call $environ_get (i32.const 0) (i32.const {bad}))"),
            format!("(call $clock_time_get (i32.const 0) (i64.const 0) (i32.const {bad}))"),
            format!("(call $clock_res_get (i32.const 0) (i32.const {bad}))"),
            format!("(call $random_get (i32.const {bad}) (i32.const 8))"),
            format!("(call $random_get (i32.const 8) (i32.const {bad}))"),
            format!("(call $fd_fdstat_get (i32.const 0) (i32.const {bad}))"),
            format!("(call $fd_filestat_get (i32.const 0) (i32.const {bad}))"),
            format!("(call $poll_oneoff (i32.const {bad}) (i32.const 0) (i32.const 1) (i32.const 0))"),
            format!("(call $poll_oneoff (i32.const 0) (i32.const {bad}) (i32.const 1) (i32.const 0))"),
        ] {
            // This buffer ends exactly at the end of memory, so it is valid.
            if body.contains("random_get (i32.const 8) (i32.const 65533)") {
                continue;
            }
            assert_eq!(errno(&body), Errno::Fault, "{body}");
        }
    }
}

#[test]
fn an_invalid_result_pointer_prevents_the_write() {
    let host = TestHost::default();
    exit_code("(call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 65533))", &host);
    assert!(host.world().output.is_empty());
}

#[test]
fn unknown_descriptors_and_missing_rights_are_refused() {
    for fd in ["3", "1023", "1024", "-1"] {
        for call in [
            format!("(call $fd_write (i32.const {fd}) (i32.const 1024) (i32.const 1) (i32.const 0))"),
            format!("(call $fd_close (i32.const {fd}))"),
            format!("(call $fd_prestat_get (i32.const {fd}) (i32.const 0))"),
            format!("(call $fd_tell (i32.const {fd}) (i32.const 0))"),
            format!("(call $fd_renumber (i32.const 0) (i32.const {fd}))"),
            format!("(call $fd_renumber (i32.const {fd}) (i32.const 0))"),
        ] {
            assert_eq!(errno(&call), Errno::BadF, "{call}");
        }
    }
    let call = "(call $fd_read (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 0))";
    assert_eq!(errno(call), Errno::NotCapable);
    assert_eq!(errno("(call $fd_seek (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0))"), Errno::NotCapable);
    assert_eq!(errno("(call $fd_fdstat_set_rights (i32.const 0) (i64.const 64) (i64.const 0))"), Errno::NotCapable);
    assert_eq!(errno("(call $fd_fdstat_set_rights (i32.const 0) (i64.const -1) (i64.const 0))"), Errno::NotCapable);
}

#[test]
fn invalid_arguments_are_refused_with_inval() {
    assert_eq!(errno("(call $clock_time_get (i32.const 4) (i64.const 0) (i32.const 0))"), Errno::Inval);
    assert_eq!(errno("(call $clock_time_get (i32.const -1) (i64.const 0) (i32.const 0))"), Errno::Inval);
    assert_eq!(errno("(call $fd_seek (i32.const 0) (i64.const 0) (i32.const 3) (i32.const 0))"), Errno::Inval);
    assert_eq!(errno("(call $fd_write (i32.const 1) (i32.const 8192) (i32.const 1025) (i32.const 0))"), Errno::Inval);
    assert_eq!(errno("(call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))"), Errno::Inval);
}

#[test]
fn closing_a_descriptor_closes_the_handle() {
    let host = TestHost::default();
    let body = "(i32.add (call $fd_close (i32.const 1)) (call $fd_close (i32.const 1)))";
    assert_eq!(exit_code(body, &host), Errno::BadF as u32);
    assert_eq!(host.world().closed, [1]);
    let host = TestHost::default();
    assert_eq!(exit_code("(call $fd_renumber (i32.const 1) (i32.const 2))", &host), 0);
    assert_eq!(host.world().closed, [2]);
}

#[test]
fn errors_of_the_host_reach_the_guest() {
    let host = TestHost::default();
    host.world().broken = Some(Errno::Pipe);
    let body = "(call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 0))";
    assert_eq!(exit_code(body, &host), Errno::Pipe as u32);
}

#[test]
fn host_calls_of_a_program_without_memory_fail_with_fault() {
    let end = run(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
            (func (export "_start") (call $exit (call $random (i32.const 0) (i32.const 1)))))"#,
        &TestHost::default(),
    );
    assert_eq!(end.code, Errno::Fault as u32);
}
