// SPDX-License-Identifier: GPL-2.0

//! Tests of `struct kwasmi_invoke` and `KWASMI_IOC_RESULTS`: calls of exported functions.

use crate::{
    kernel::{
        address,
        call,
        ending,
        module,
        run,
        start,
        start_with, //
    },
    ktap::Tests,
};
use kwasmi::uapi::{
    self,
    kwasmi_invoke,
    kwasmi_results,
    kwasmi_start, //
};
use std::os::fd::OwnedFd;

const REACTOR: &str = r#"(module
    (memory (export "memory") 1)
    (global $g (mut i32) (i32.const 1))
    (func $start (global.set $g (i32.mul (global.get $g) (i32.const 5))))
    (start $start)
    (func (export "_initialize") (global.set $g (i32.add (global.get $g) (i32.const 2))))
    (func (export "get") (result i32) (global.get $g))
    (func (export "types") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
        (local.get 3) (local.get 2) (local.get 1) (local.get 0))
    (func (export "seven") (param i64 i64 i64 i64 i64 i64 i64) (result i64 i64 i64)
        (i64.add (local.get 0) (local.get 6)) (i64.add (local.get 1) (local.get 5))
        (i64.add (local.get 2) (i64.add (local.get 3) (local.get 4))))
    (func (export "less") (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)))
    (func $again (export "tail") (param i64 i64) (result i64)
        (if (i64.eqz (local.get 0)) (then (return (local.get 1))))
        (return_call $down (local.get 0) (local.get 1)))
    (func $down (param i64 i64) (result i64)
        (return_call $again (i64.sub (local.get 0) (i64.const 1)) (i64.add (local.get 1) (i64.const 2))))
    (func (export "trap") (result i32) unreachable)
    (func (export "loop") (loop (br 0)))
    (func (export "reference") (param externref))
    (func (export "32") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
            i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
        (local.get 31)))"#;

/// Exports a function that takes a vector, and one that the module imports.
const OTHER: &str = r#"(module
    (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
    (func (export "vector") (param v128))
    (export "imported" (func $yield)))"#;

/// A module, the name of a function, arguments, and the error number and the beginning of the log
/// of START.
type Refused<'a> = (&'a OwnedFd, &'a [u8], &'a [u64], i32, &'a str);

fn invocation(name: &[u8], args: &[u64]) -> kwasmi_invoke {
    kwasmi_invoke {
        name: address(name),
        name_len: u32::try_from(name.len()).expect("short"),
        args_len: u32::try_from(args.len()).expect("few"),
        args: address(args),
        ..kwasmi_invoke::default()
    }
}

/// Starts an instance for a call. Returns the descriptor or the error number, and the text of the
/// log.
fn start_call(module: &OwnedFd, invoke: kwasmi_invoke) -> (Result<OwnedFd, i32>, String) {
    let invoke = [invoke];
    start_with(module, kwasmi_start { invoke: address(&invoke), ..kwasmi_start::default() })
}

/// Returns the results of an instance, of which `room` are asked for, and their number.
fn results(instance: &OwnedFd, room: usize) -> (Vec<u64>, u32) {
    let mut values = vec![u64::MAX; room];
    let mut request = kwasmi_results {
        results: values.as_mut_ptr().expose_provenance() as u64,
        results_len: u32::try_from(room).expect("few"),
        ..kwasmi_results::default()
    };
    assert_eq!(call(instance, uapi::IOC_RESULTS, &mut request), Ok(0));
    (values, request.results_len)
}

/// Calls a function of a module to its end. Returns its results.
fn invoke(module: &OwnedFd, name: &str, args: &[u64]) -> Vec<u64> {
    let (instance, log) = start_call(module, invocation(name.as_bytes(), args));
    let instance = instance.unwrap_or_else(|errno| panic!("{name}: {errno}: {log}"));
    assert_eq!(results(&instance, 0), (vec![], 0), "{name}: before the run");
    let end = run(&instance).expect("runs");
    assert_eq!((end.status, end.code), (uapi::KWASMI_EXITED, 0), "{name}");
    let (mut values, len) = results(&instance, 40);
    values.truncate(len as usize);
    values
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("an exported function is called after the start function and _initialize", || {
        let module = module(REACTOR);
        assert_eq!(invoke(&module, "get", &[]), [7]);
        assert!(invoke(&module, "_initialize", &[]).is_empty());
        let args = [u64::MAX - 1, 1 << 40, 0xdead_0000_3fc0_0000, (-0.5_f64).to_bits()];
        assert_eq!(invoke(&module, "types", &args), [(-0.5_f64).to_bits(), 0x3fc0_0000, 1 << 40, 0xffff_fffe]);
        assert_eq!(invoke(&module, "seven", &[1, 2, 3, 4, 5, 6, 7]), [8, 8, 12]);
        assert_eq!(invoke(&module, "less", &[1 << 32]), [0xffff_ffff]);
        assert_eq!(invoke(&module, "tail", &[1001, 1]), [2003]);
        let args: Vec<u64> = (0..32).collect();
        assert_eq!(invoke(&module, "32", &args), [31]);
    });
    tests.add("a module with exported functions only is loaded, but is not a program", || {
        let module = module(REACTOR);
        let (answer, log) = start_with(&module, kwasmi_start::default());
        assert_eq!(answer.err(), Some(libc::ENOEXEC));
        assert_eq!(log, "no function _start is exported: not a program");
        // A program can be called, too; `_start` does not run.
        let program = crate::kernel::module(
            r#"(module (func (export "_start") unreachable) (func (export "f") (result i64) (i64.const -2)))"#,
        );
        assert_eq!(invoke(&program, "f", &[]), [0_u64.wrapping_sub(2)]);
    });
    tests.add("START for a function that cannot be called fails with a reason", || {
        let (reactor, other) = (module(REACTOR), module(OTHER));
        let long = vec![b'x'; 4097];
        let many = [0; 33];
        let cases: [Refused<'_>; 15] = [
            (&reactor, b"none", &[], libc::ENOENT, "no function none is exported"),
            (&reactor, b"memory", &[], libc::ENOENT, "no function memory is exported"),
            (&reactor, b"(start)", &[], libc::ENOENT, "no function (start) is exported"),
            (&reactor, b"get\0", &[], libc::ENOENT, "no function get\\0 is exported"),
            (&reactor, &long[..4096], &[], libc::ENOENT, "no function xxx"),
            (&reactor, b"", &[], libc::EINVAL, "the name of the function is empty"),
            (&reactor, b"\xff", &[], libc::EINVAL, "the name of the function is not UTF-8"),
            (&reactor, &long, &[], libc::E2BIG, "name of the function: 4097 bytes, limit 4096"),
            (&reactor, b"get", &[1], libc::EINVAL, "function get: 1 arguments given, 0 needed"),
            (&reactor, b"types", &[1, 2, 3], libc::EINVAL, "function types: 3 arguments given, 4 needed"),
            (&reactor, b"32", &many, libc::E2BIG, "arguments of the function: 33 given, limit 32"),
            (&reactor, b"32", &many[..31], libc::EINVAL, "function 32: 31 arguments given, 32 needed"),
            (&reactor, b"reference", &[0], libc::EOPNOTSUPP, "function reference: only parameters and results of type"),
            (&other, b"vector", &[0], libc::EOPNOTSUPP, "function vector: only parameters and results of type"),
            (&other, b"imported", &[], libc::EOPNOTSUPP, "function imported is an import of the module"),
        ];
        for (module, name, args, errno, text) in cases {
            let (answer, log) = start_call(module, invocation(name, args));
            assert_eq!(answer.err(), Some(errno), "{text}: {log}");
            assert!(log.starts_with(text), "{log}");
        }
        let reserved = kwasmi_invoke { reserved: 1, ..invocation(b"get", &[]) };
        assert_eq!(start_call(&reactor, reserved).0.err(), Some(libc::EINVAL));
    });
    tests.add("START with a call at a bad address is EFAULT", || {
        let module = module(REACTOR);
        for bad in [8, u64::MAX, u64::MAX - 16, 1 << 63, 0xffff_8000_0000_0000] {
            let request = kwasmi_start { invoke: bad, ..kwasmi_start::default() };
            assert_eq!(start_with(&module, request).0.err(), Some(libc::EFAULT), "{bad:#x}");
            let name = kwasmi_invoke { name: bad, ..invocation(b"get", &[]) };
            assert_eq!(start_call(&module, name).0.err(), Some(libc::EFAULT), "{bad:#x}");
            let args = kwasmi_invoke { args: bad, ..invocation(b"less", &[1]) };
            assert_eq!(start_call(&module, args).0.err(), Some(libc::EFAULT), "{bad:#x}");
        }
        // Without arguments their address does not matter.
        let none = kwasmi_invoke { args: 8, ..invocation(b"get", &[]) };
        assert!(start_call(&module, none).0.is_ok());
    });
    tests.add("RESULTS fills the buffer as far as it goes, and returns the number of results", || {
        let module = module(REACTOR);
        let instance = start_call(&module, invocation(b"seven", &[1; 7])).0.expect("starts");
        assert_eq!(results(&instance, 3), (vec![u64::MAX; 3], 0));
        run(&instance).expect("runs");
        assert_eq!(results(&instance, 0), (vec![], 3));
        assert_eq!(results(&instance, 2), (vec![2, 2], 3));
        assert_eq!(results(&instance, 4), (vec![2, 2, 3, u64::MAX], 3));
        // The same again, also if the instance is run again.
        run(&instance).expect("tells it again");
        assert_eq!(results(&instance, 3), (vec![2, 2, 3], 3));
        let mut reserved = kwasmi_results { reserved: 1, ..kwasmi_results::default() };
        assert_eq!(call(&instance, uapi::IOC_RESULTS, &mut reserved), Err(libc::EINVAL));
        for bad in [0, 8, u64::MAX - 7, 1 << 63, 0xffff_8000_0000_0000] {
            let mut request = kwasmi_results { results: bad, results_len: 3, ..kwasmi_results::default() };
            assert_eq!(call(&instance, uapi::IOC_RESULTS, &mut request), Err(libc::EFAULT), "{bad:#x}");
        }
    });
    tests.add("a function that does not return has no results", || {
        let reactor = module(REACTOR);
        let instance = start_call(&reactor, invocation(b"trap", &[])).0.expect("starts");
        let end = run(&instance).expect("runs");
        assert_eq!((end.status, end.code), (uapi::KWASMI_TRAPPED, uapi::KWASMI_TRAP_UNREACHABLE));
        assert_eq!(results(&instance, 1), (vec![u64::MAX], 0));
        let instance = start_call(&reactor, invocation(b"loop", &[])).0.expect("starts");
        assert_eq!(call(&instance, uapi::IOC_KILL, &mut 0_u64), Ok(0));
        assert_eq!(run(&instance).expect("runs").status, uapi::KWASMI_KILLED);
        assert_eq!(results(&instance, 1), (vec![u64::MAX], 0));
        let program = module(r#"(module (func (export "_start")))"#);
        let instance = start(&program);
        assert_eq!(run(&instance).expect("runs").status, uapi::KWASMI_EXITED);
        assert_eq!(results(&instance, 1), (vec![u64::MAX], 0));
        assert_eq!(ending(r#"(module (func (export "_start")))"#).status, uapi::KWASMI_EXITED);
    });
}
