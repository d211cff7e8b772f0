// SPDX-License-Identifier: GPL-2.0

//! Tests of limits: reaching one ends the guest or refuses the module, and is reported with its
//! number and value.

use crate::{
    kernel::{
        address,
        call,
        device,
        grant,
        limit,
        limited,
        load_limited,
        module,
        run,
        start_with, //
    },
    ktap::Tests,
    run::BATCH_COPY,
    signals::{
        LOOP,
        SLEEP, //
    },
};
use kwasmi::uapi::{
    self,
    kwasmi_limit,
    kwasmi_limit_info,
    kwasmi_list_limits,
    kwasmi_run,
    kwasmi_start, //
};
use std::{
    fs::File,
    io::pipe,
    os::fd::AsRawFd,
    time::{
        Duration,
        Instant, //
    },
};

/// Largest number of a limit.
const COUNT: u32 = uapi::KWASMI_LIMIT_USER_RUNNING;

fn end(text: &str, request: kwasmi_start) -> kwasmi_run {
    let module = module(text);
    let (instance, log) = start_with(&module, request);
    run(&instance.unwrap_or_else(|errno| panic!("error {errno}: {log}"))).expect("runs")
}

/// Runs a guest with one limit, which it must reach.
fn reaches(text: &str, number: u32, value: u64) -> kwasmi_run {
    let end = end(text, limited(&[limit(number, value)]));
    assert_eq!((end.status, end.code, end.limit_value), (uapi::KWASMI_LIMITED, number, value), "{text}");
    end
}

/// Checks that a module is refused with the limit `value`, and loaded with `value + 1`.
fn is_too_much(text: &str, number: u32, value: u64) {
    let wasm = wat::parse_str(text).expect("valid text");
    let (answer, request) = load_limited(&wasm, &[limit(number, value)]);
    assert_eq!(answer.err(), Some(libc::EDQUOT), "{text}");
    assert_eq!((request.limit, request.limit_value), (number, value), "{text}");
    assert!(load_limited(&wasm, &[limit(number, value + 1)]).0.is_ok(), "{text}");
}

/// Checks that an instance is not started with the limit `value`.
fn is_not_started(text: &str, number: u32, value: u64) {
    let module = module(text);
    let limits = [limit(number, value)];
    let mut request = limited(&limits);
    assert_eq!(call(&module, uapi::IOC_START, &mut request).err(), Some(libc::EDQUOT), "{text}");
    assert_eq!((request.limit, request.limit_value), (number, value), "{text}");
}

/// Upper bound of the time of a test with a time limit, also on a slow machine.
const LONG: Duration = Duration::from_secs(20);

/// Returns what KWASMI_IOC_LIST_LIMITS says of limit `number`.
pub(crate) fn known(number: u32) -> kwasmi_limit_info {
    all_known().into_iter().find(|info| info.limit == number).expect("it is there")
}

fn all_known() -> Vec<kwasmi_limit_info> {
    let mut infos = vec![kwasmi_limit_info::default(); 64];
    let limits = infos.as_mut_ptr().expose_provenance() as u64;
    let mut request = kwasmi_list_limits { limits, limits_len: 64, ..kwasmi_list_limits::default() };
    assert_eq!(call(&device(), uapi::IOC_LIST_LIMITS, &mut request), Ok(0));
    infos.truncate(request.limits_len as usize);
    infos
}

fn bad_requests(tests: &mut Tests) {
    tests.add("LIMITS lists every limit, as many as there is room for", || {
        let infos = all_known();
        assert!(infos.iter().map(|info| info.limit).eq(1..=COUNT));
        assert!(infos.iter().all(|info| info.value <= info.ceiling && info.reserved == 0));
        let mut few = [kwasmi_limit_info { limit: 77, ..kwasmi_limit_info::default() }; 3];
        let limits = few.as_mut_ptr().expose_provenance() as u64;
        let mut request = kwasmi_list_limits { limits, limits_len: 2, ..kwasmi_list_limits::default() };
        assert_eq!(call(&device(), uapi::IOC_LIST_LIMITS, &mut request), Ok(0));
        assert_eq!((request.limits_len, few.map(|info| info.limit)), (COUNT, [1, 2, 77]));
    });
    tests.add("LIMITS to unwritable addresses is EFAULT, with reserved bits EINVAL", || {
        for limits in [8, u64::MAX, 1 << 63] {
            let mut request = kwasmi_list_limits { limits, limits_len: 1, ..kwasmi_list_limits::default() };
            assert_eq!(call(&device(), uapi::IOC_LIST_LIMITS, &mut request), Err(libc::EFAULT));
        }
        let mut request = kwasmi_list_limits { reserved: 1, ..kwasmi_list_limits::default() };
        assert_eq!(call(&device(), uapi::IOC_LIST_LIMITS, &mut request), Err(libc::EINVAL));
    });
    tests.add("unknown or duplicate limits, out of range, or with reserved bits are EINVAL", || {
        let wasm = wat::parse_str(LOOP).expect("valid text");
        let module = module(LOOP);
        let fuel = limit(uapi::KWASMI_LIMIT_FUEL, 1);
        let reserved = kwasmi_limit { reserved: 1, ..fuel };
        let zero = kwasmi_limit { value: 0, ..fuel };
        let total = limit(uapi::KWASMI_LIMIT_TOTAL_HEAP, 1);
        let short = limit(uapi::KWASMI_LIMIT_STACK, 4095);
        let stack = known(uapi::KWASMI_LIMIT_STACK).ceiling;
        let cases: [(&[kwasmi_limit], &str); 8] = [
            (&[limit(0, 1)], "unknown limit 0"),
            (&[limit(COUNT + 1, 1)], &format!("unknown limit {}", COUNT + 1)),
            (&[limit(u32::MAX, 1)], "unknown limit 4294967295"),
            (&[fuel, fuel], "fuel: duplicate limit"),
            (&[reserved], "fuel: not a limit of one call, or a reserved field is not 0"),
            (&[zero], "fuel: requested 0, least 1, greatest unlimited"),
            (&[total], "total-heap: not a limit of one call, or a reserved field is not 0"),
            (&[short], &format!("stack: requested 4095, least 4096, greatest {stack}")),
        ];
        for (limits, words) in cases {
            assert_eq!(load_limited(&wasm, limits).0.err(), Some(libc::EINVAL), "{limits:?}");
            let (answer, log) = start_with(&module, limited(limits));
            assert_eq!((answer.err(), log.as_str()), (Some(libc::EINVAL), words), "{limits:?}");
        }
        let many = vec![fuel; COUNT as usize + 1];
        let (answer, log) = start_with(&module, limited(&many));
        let words = format!("{} limits requested: there are {COUNT}", many.len());
        assert_eq!((answer.err(), log), (Some(libc::EINVAL), words));
        let unreadable = kwasmi_start { limits: 8, limits_len: 1, ..kwasmi_start::default() };
        assert_eq!(start_with(&module, unreadable).0.err(), Some(libc::EFAULT));
    });
    tests.add("a limit above its ceiling is EDQUOT and reported", || {
        let wasm = wat::parse_str(LOOP).expect("valid text");
        for info in all_known() {
            if info.limit >= uapi::KWASMI_LIMIT_TOTAL_HEAP || info.ceiling == u64::MAX {
                continue;
            }
            let (answer, request) = load_limited(&wasm, &[limit(info.limit, info.ceiling + 1)]);
            assert_eq!(answer.err(), Some(libc::EDQUOT), "{}", info.limit);
            assert_eq!((request.limit, request.limit_value), (info.limit, info.ceiling));
            assert!(load_limited(&wasm, &[limit(info.limit, info.ceiling)]).0.is_ok(), "{}", info.limit);
        }
    });
}

fn of_modules(tests: &mut Tests) {
    tests.add("a module is refused for its size", || {
        let wasm = wat::parse_str(LOOP).expect("valid text");
        is_too_much(LOOP, uapi::KWASMI_LIMIT_MODULE_SIZE, wasm.len() as u64 - 1);
    });
    tests.add("a module is refused for functions, their size, locals, types, globals or segments", || {
        let text = r#"(module (memory 1) (table 2 funcref)
            (func (export "_start") (drop (i32.const 1)) (drop (i32.const 2))) (func) (func (param i32 i32) (local i32 i32 i32) (local f64))
            (global i32 (i32.const 1)) (global i32 (i32.const 2))
            (data (i32.const 0) "a") (data "b")
            (elem (i32.const 0) 0) (elem func 1) (elem func 2))"#;
        is_too_much(text, uapi::KWASMI_LIMIT_FUNCTIONS, 2);
        is_too_much(text, uapi::KWASMI_LIMIT_FUNCTION_SIZE, 7);
        is_too_much(text, uapi::KWASMI_LIMIT_LOCALS, 3);
        is_too_much(text, uapi::KWASMI_LIMIT_ARITY, 1);
        is_too_much(text, uapi::KWASMI_LIMIT_GLOBALS, 1);
        is_too_much(text, uapi::KWASMI_LIMIT_DATA_SEGMENTS, 1);
        is_too_much(text, uapi::KWASMI_LIMIT_ELEMENT_SEGMENTS, 2);
    });
    tests.add("a module is refused for the memory of its translation", || {
        let wasm = wat::parse_str(LOOP).expect("valid text");
        for value in [1, 1000, 10_000] {
            let (answer, request) = load_limited(&wasm, &[limit(uapi::KWASMI_LIMIT_CODE, value)]);
            assert_eq!(answer.err(), Some(libc::EDQUOT), "{value}");
            assert_eq!((request.limit, request.limit_value), (uapi::KWASMI_LIMIT_CODE, value));
        }
        assert!(load_limited(&wasm, &[limit(uapi::KWASMI_LIMIT_CODE, 1 << 20)]).0.is_ok());
    });
    tests.add("LOAD ends when time or CPU time is used up", || {
        let many = "(func (drop (i32.add (i32.const 1) (i32.const 2))))".repeat(60_000);
        let wasm = wat::parse_str(format!(r#"(module {many} (func (export "_start")))"#)).expect("valid text");
        for number in [uapi::KWASMI_LIMIT_TIME, uapi::KWASMI_LIMIT_CPU_TIME] {
            let (answer, request) = load_limited(&wasm, &[limit(number, 1_000_000)]);
            assert_eq!(answer.err(), Some(libc::EDQUOT));
            assert_eq!((request.limit, request.limit_value), (number, 1_000_000));
        }
        assert!(load_limited(&wasm, &[]).0.is_ok());
    });
}

fn of_instances(tests: &mut Tests) {
    tests.add("a guest ends when its fuel is used up", || {
        for fuel in [1, 1000, 250_000, 3_000_000] {
            let end = reaches(LOOP, uapi::KWASMI_LIMIT_FUEL, fuel);
            assert!(end.fuel_used <= fuel, "{} of {fuel}", end.fuel_used);
        }
    });
    tests.add("an endless copy in one host call ends when the fuel is used up", || {
        let to_nothing = File::options().write(true).open("/dev/null").expect("there");
        let from_zeros = File::open("/dev/zero").expect("there");
        let fds = [grant(from_zeros.as_raw_fd(), 0), grant(to_nothing.as_raw_fd(), 1)];
        let limits = [limit(uapi::KWASMI_LIMIT_FUEL, 3_000_000)];
        let end = end(BATCH_COPY, kwasmi_start { fds: address(&fds), fds_len: 2, ..limited(&limits) });
        assert_eq!((end.status, end.code), (uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_FUEL));
        assert_eq!(end.fuel_used, 3_000_000);
    });
    tests.add("a start function ends when the fuel is used up", || {
        let text = r#"(module (func $f (loop (br 0))) (func (export "_start")) (start $f))"#;
        reaches(text, uapi::KWASMI_LIMIT_FUEL, 1_000_000);
    });
    tests.add("a loop, a sleep and a read that waits end at the time limit", || {
        let (input, _feed) = pipe().expect("a pipe");
        let fds = [grant(input.as_raw_fd(), 0)];
        let value = 200_000_000;
        let limits = [limit(uapi::KWASMI_LIMIT_TIME, value)];
        for text in [LOOP, SLEEP, crate::run::CAT] {
            let request = kwasmi_start { fds: address(&fds), fds_len: 1, ..limited(&limits) };
            let before = Instant::now();
            let end = end(text, request);
            let expected = (uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_TIME, value);
            assert_eq!((end.status, end.code, end.limit_value), expected, "{text}");
            let took = before.elapsed();
            assert!(took >= Duration::from_millis(200) && took < LONG, "{took:?}");
        }
    });
    tests.add("CPU time limits computing, not sleeping", || {
        let before = Instant::now();
        reaches(LOOP, uapi::KWASMI_LIMIT_CPU_TIME, 100_000_000);
        assert!(before.elapsed() >= Duration::from_millis(90));
        let short = SLEEP.replace("3600000000000", "300000000");
        let limits = [limit(uapi::KWASMI_LIMIT_CPU_TIME, 150_000_000)];
        assert_eq!(end(&short, limited(&limits)).status, uapi::KWASMI_EXITED);
    });
    tests.add("linear memory is limited", || {
        let text = r#"(module (memory (export "memory") 1)
            (func (export "_start") (loop (drop (memory.grow (i32.const 1))) (br 0))))"#;
        let end = reaches(text, uapi::KWASMI_LIMIT_MEMORY, 1 << 20);
        assert_eq!(end.memory_peak, 1 << 20);
        assert!(end.heap_peak >= 1 << 20);
        is_not_started(r#"(module (memory 2) (func (export "_start")))"#, uapi::KWASMI_LIMIT_MEMORY, 65_536);
    });
    tests.add("memory.grow beyond the module's own maximum fails in the guest", || {
        let text = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1 2)
            (func (export "_start") (call $exit (i32.sub (i32.const 0) (memory.grow (i32.const 2))))))"#;
        let end = end(text, kwasmi_start::default());
        assert_eq!((end.status, end.code), (uapi::KWASMI_EXITED, 1));
    });
    tests.add("elements of tables are limited", || {
        let text = r#"(module (table 1 funcref)
            (func (export "_start") (loop (drop (table.grow 0 (ref.null func) (i32.const 10))) (br 0))))"#;
        reaches(text, uapi::KWASMI_LIMIT_TABLE, 10_000);
        is_not_started(
            r#"(module (table 8 funcref) (table 9 funcref) (func (export "_start")))"#,
            uapi::KWASMI_LIMIT_TABLE,
            16,
        );
    });
    tests.add("the heap is limited", || {
        let text = r#"(module (memory (export "memory") 1)
            (func (export "_start") (loop (drop (memory.grow (i32.const 16))) (br 0))))"#;
        let end = reaches(text, uapi::KWASMI_LIMIT_HEAP, 8 << 20);
        assert!(end.heap_peak <= (8 << 20) + (1 << 20), "{}", end.heap_peak);
    });
    tests.add("the Wasm stack is limited, in values and calls", || {
        let values = r#"(module (func $f (param i64 i64 i64 i64) (result i64)
                (i64.add (call $f (local.get 0) (local.get 1) (local.get 2) (local.get 3)) (local.get 3)))
            (func (export "_start")
                (drop (call $f (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))))"#;
        let calls = r#"(module (func $f (export "_start") (call $f) (call $f)))"#;
        for text in [values, calls] {
            for value in [4096, 65_536, 4 << 20] {
                let wasm = wat::parse_str(text).expect("valid text");
                let module = load_limited(&wasm, &[limit(uapi::KWASMI_LIMIT_STACK, value)]).0.expect("loads");
                let (instance, _) = start_with(&module, kwasmi_start::default());
                let end = run(&instance.expect("starts")).expect("runs");
                let expected = (uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_STACK, value);
                assert_eq!((end.status, end.code, end.limit_value), expected);
                assert!(end.fuel_used > 0);
            }
        }
    });
    tests.add("open descriptors are limited", || {
        let module = module(LOOP);
        let fds = [grant(0, 0), grant(1, 1)];
        for (value, errno) in [(1, Some(libc::EDQUOT)), (2, None)] {
            let limits = [limit(uapi::KWASMI_LIMIT_FDS, value)];
            let mut request = kwasmi_start { fds: address(&fds), fds_len: 2, ..limited(&limits) };
            let answer = crate::kernel::owned(call(&module, uapi::IOC_START, &mut request));
            assert_eq!(answer.err(), errno);
            assert_eq!(request.limit, if errno.is_some() { uapi::KWASMI_LIMIT_FDS } else { 0 });
        }
    });
    tests.add("bulk operations cost fuel in proportion to their size, and can be ended", || {
        let text = r#"(module (memory (export "memory") 4096)
            (func (export "_start")
                (memory.fill (i32.const 0) (i32.const 1) (i32.const 268435456))
                (memory.copy (i32.const 1) (i32.const 0) (i32.const 268435455))
                (memory.copy (i32.const 0) (i32.const 1) (i32.const 268435455))))"#;
        let end = end(text, kwasmi_start::default());
        assert_eq!(end.status, uapi::KWASMI_EXITED);
        assert!(end.fuel_used >= 3 * (268_435_455 / 64), "{}", end.fuel_used);
        let endless = text
            .replace("(memory.copy (i32.const 0)", "(loop (memory.copy (i32.const 0)")
            .replace("(i32.const 268435455))))", "(i32.const 268435455)) (br 0))))");
        reaches(&endless, uapi::KWASMI_LIMIT_TIME, 300_000_000);
    });
}

pub(crate) fn tests(tests: &mut Tests) {
    bad_requests(tests);
    of_modules(tests);
    of_instances(tests);
}
