// SPDX-License-Identifier: GPL-2.0

//! Limits that end a guest, whatever it does.

use crate::{
    kernel::{
        address,
        grant,
        module,
        run,
        start_with, //
    },
    ktap::Tests,
};
use kwasmi::uapi::{
    self,
    kwasmi_run,
    kwasmi_start, //
};
use std::{
    io::pipe,
    os::fd::AsRawFd,
    time::{
        Duration,
        Instant, //
    },
};

const LOOP: &str = r#"(module (func (export "_start") (loop (br 0))))"#;

fn end(text: &str, request: kwasmi_start) -> kwasmi_run {
    let module = module(text);
    let (instance, log) = start_with(&module, request);
    run(&instance.unwrap_or_else(|errno| panic!("error {errno}: {log}"))).expect("runs")
}

/// Far more than any of these may take, on a slow machine as well.
const LONG: Duration = Duration::from_secs(20);

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("fuel", || {
        for fuel_max in [1, 1000, 250_000, 3_000_000] {
            let request = kwasmi_start { fuel_max, ..kwasmi_start::default() };
            let end = end(LOOP, request);
            assert_eq!(end.status, uapi::KWASMI_OUT_OF_FUEL);
            assert!(end.fuel_used <= fuel_max, "{} of {fuel_max}", end.fuel_used);
        }
    });
    tests.add("fuel in a start function", || {
        let request = kwasmi_start { fuel_max: 1_000_000, ..kwasmi_start::default() };
        let text = r#"(module (func $f (loop (br 0))) (func (export "_start")) (start $f))"#;
        assert_eq!(end(text, request).status, uapi::KWASMI_OUT_OF_FUEL);
    });
    tests.add("the deadline in an endless loop, asleep, and in a read that waits", || {
        let sleep = r#"(module
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")
                (i32.store (i32.const 16) (i32.const 1))
                (i64.store (i32.const 24) (i64.const 3600000000000))
                (drop (call $poll (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 512)))))"#;
        let (input, _feed) = pipe().expect("a pipe");
        let fds = [grant(input.as_raw_fd(), 0)];
        for text in [LOOP, sleep, crate::run::CAT] {
            let request =
                kwasmi_start { time_max: 200_000_000, fds: address(&fds), fds_len: 1, ..kwasmi_start::default() };
            let before = Instant::now();
            assert_eq!(end(text, request).status, uapi::KWASMI_DEADLINE, "{text}");
            let took = before.elapsed();
            assert!(took >= Duration::from_millis(200) && took < LONG, "{took:?}");
        }
    });
    tests.add("memory.grow says no at the limit, and the guest goes on", || {
        let text = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "_start")
                (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
                (call $exit (memory.size))))"#;
        let request = kwasmi_start { memory_max: 1 << 20, ..kwasmi_start::default() };
        let end = end(text, request);
        assert_eq!((end.status, end.code, end.memory_peak), (uapi::KWASMI_EXITED, 16, 1 << 20));
        assert!(end.heap_peak >= 1 << 20);
    });
    tests.add("a heap that is used up ends in -1 from memory.grow, or out of memory", || {
        let text = r#"(module (memory (export "memory") 1)
            (func (export "_start") (loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))))"#;
        let request = kwasmi_start { heap_max: 8 << 20, ..kwasmi_start::default() };
        let end = end(text, request);
        assert!([uapi::KWASMI_EXITED, uapi::KWASMI_OUT_OF_MEMORY].contains(&end.status));
        assert!(end.heap_peak <= (8 << 20) + (1 << 20), "{}", end.heap_peak);
    });
    tests.add("deep recursion ends as a trap", || {
        let text = r#"(module (func $f (param i64 i64 i64 i64) (result i64)
                (i64.add (call $f (local.get 0) (local.get 1) (local.get 2) (local.get 3)) (local.get 3)))
            (func (export "_start")
                (drop (call $f (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))))"#;
        let end = end(text, kwasmi_start::default());
        assert_eq!((end.status, end.code), (uapi::KWASMI_TRAPPED, uapi::KWASMI_TRAP_STACK_OVERFLOW));
    });
}
