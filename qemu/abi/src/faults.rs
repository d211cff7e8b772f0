// SPDX-License-Identifier: GPL-2.0

//! Tests with fault injection: the first, second, third, ... allocation or copy from and to
//! userspace of a call fails, until none is left to fail. Needs a kernel with fault injection, see
//! `Documentation/fault-injection/fault-injection.rst`.

use crate::{
    kernel::{
        address,
        call,
        device,
        ending,
        grant,
        info,
        owned, //
    },
    ktap::Tests,
};
use kwasmi::uapi::{
    self,
    kwasmi_load,
    kwasmi_run,
    kwasmi_start, //
};
use std::{
    fs,
    io::{
        Write,
        pipe, //
    },
    os::{
        fd::{
            AsRawFd,
            OwnedFd, //
        },
        unix::fs::FileExt,
    },
};

const FAIL_NTH: &str = "/proc/thread-self/fail-nth";

/// Settings (under /sys/kernel/debug) that make also allocations fail that may sleep.
const SETTINGS: [(&str, &str); 4] = [
    ("failslab/ignore-gfp-wait", "N"),
    ("fail_page_alloc/ignore-gfp-wait", "N"),
    ("fail_page_alloc/ignore-gfp-highmem", "N"),
    ("fail_page_alloc/min-order", "0"),
];

/// Program that uses memory, a table, a global, a start function and host calls.
const PROGRAM: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (table $t 10 funcref)
    (elem (i32.const 0) $start $deep)
    (data (i32.const 0) "\10\00\00\00\0c\00\00\00........hello, world")
    (global $g (mut i32) (i32.const 0))
    (func $start (global.set $g (memory.grow (i32.const 1))))
    (func $deep (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (call $deep (i32.sub (local.get 0) (i32.const 1))))
            (else (i32.const 0))))
    (start $start)
    (func (export "_start")
        (drop (call $random (i32.const 1024) (i32.const 64)))
        (drop (call $deep (i32.const 500)))
        (drop (table.grow $t (ref.null func) (i32.const 100)))
        (drop (memory.grow (i32.const 10)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

/// Error numbers that a failed allocation or copy may lead to.
const ERRORS: [i32; 2] = [libc::ENOMEM, libc::EFAULT];

/// Returns true if the kernel has fault injection; then sets it up.
pub(crate) fn is_there() -> bool {
    let is_there = fs::metadata(FAIL_NTH).is_ok();
    if is_there {
        for (name, value) in SETTINGS {
            fs::write(format!("/sys/kernel/debug/{name}"), value).expect(name);
        }
        set_verbosity("0");
    }
    is_there
}

/// Sets how much the kernel prints about each failure: 0 nothing, 1 a line, 2 a stack trace.
pub(crate) fn set_verbosity(verbosity: &str) {
    for kind in ["failslab", "fail_page_alloc", "fail_usercopy"] {
        fs::write(format!("/sys/kernel/debug/{kind}/verbose"), verbosity).expect(kind);
    }
}

/// Makes the `n`th allocation or copy of `call` fail. Returns the result, and true if `call` made
/// that many.
pub(crate) fn failing<T>(n: u32, call: impl FnOnce() -> T) -> (T, bool) {
    // Opened before the write, since allocations count from then on.
    let mut file = fs::File::options().read(true).write(true).open(FAIL_NTH).expect("there");
    let mut left = [0; 16];
    file.write_all(n.to_string().as_bytes()).expect("can be written");
    let result = call();
    // A failing read means that the failure has not been used up by `call`.
    let read = file.read_at(&mut left, 0);
    let _ = file.write_at(b"0", 0);
    let has_failed = read.is_ok_and(|len| left[..len].trim_ascii() == b"0");
    (result, has_failed)
}

/// Calls `attempt` with 1, 2, 3, ... until it returns false. Returns the number of calls that
/// returned true.
fn each(mut attempt: impl FnMut(u32) -> bool) -> u32 {
    (1..).find(|n| !attempt(*n)).expect("there is an end") - 1
}

fn request(wasm: &[u8], log: &mut [u8]) -> kwasmi_load {
    kwasmi_load {
        wasm: address(wasm),
        wasm_len: wasm.len() as u64,
        log: log.as_mut_ptr().expose_provenance() as u64,
        log_size: u32::try_from(log.len()).expect("small"),
        ..kwasmi_load::default()
    }
}

fn load(wasm: &[u8]) -> Result<OwnedFd, i32> {
    let device = device();
    let mut log = [0; 256];
    owned(call(&device, uapi::IOC_LOAD, &mut request(wasm, &mut log)))
}

/// Panics unless the result is one that a failed allocation may lead to.
fn judge(answer: Result<kwasmi_run, i32>, n: u32) {
    match answer {
        Ok(end) => {
            let ends = [uapi::KWASMI_EXITED, uapi::KWASMI_OUT_OF_MEMORY];
            assert!(ends.contains(&end.status), "{n}: status {}, code {}", end.status, end.code);
        }
        Err(errno) => assert!(ERRORS.contains(&errno), "{n}: error {errno}"),
    }
}

pub(crate) fn tests(tests: &mut Tests) {
    if !is_there() {
        tests.skip("each allocation fails once", "the kernel has no fault injection");
        return;
    }
    let wasm = wat::parse_str(PROGRAM).expect("valid text");
    tests.add("open and INFO, each allocation failing once", || {
        let failed = each(|n| {
            let (answer, has_failed) = failing(n, || {
                let device = fs::File::options().read(true).write(true).open("/dev/kwasmi");
                device.map(|device| call(&device, uapi::IOC_INFO, &mut uapi::kwasmi_info::default()))
            });
            match answer {
                Ok(answer) => assert!(answer.is_ok() || ERRORS.contains(&answer.unwrap_err()), "{n}: {answer:?}"),
                Err(error) => assert!(ERRORS.contains(&error.raw_os_error().unwrap_or(0)), "{n}: {error}"),
            }
            has_failed
        });
        println!("# {failed} failures");
        assert!(failed > 1);
    });
    let program = wasm.clone();
    tests.add("LOAD, each allocation failing once", move || {
        let device = device();
        let failed = each(|n| {
            let mut log = [0; 256];
            let mut load = request(&program, &mut log);
            let (answer, has_failed) = failing(n, || owned(call(&device, uapi::IOC_LOAD, &mut load)));
            if let Err(errno) = answer {
                assert!(ERRORS.contains(&errno), "{n}: error {errno}");
            }
            assert_eq!(ending(crate::signals::LOOP_ONCE).status, uapi::KWASMI_EXITED);
            has_failed
        });
        println!("# {failed} failures");
        assert!(failed > 50, "{failed}");
    });
    let program = wasm.clone();
    tests.add("START, each allocation failing once", move || {
        let module = load(&program).expect("loads");
        let args = b"name\0one\0two\0";
        let fds = [grant(0, 0), grant(2, 2)];
        let failed = each(|n| {
            let mut request = kwasmi_start {
                args: address(args),
                args_len: args.len() as u64,
                fds: address(&fds),
                fds_len: 2,
                ..kwasmi_start::default()
            };
            let (answer, has_failed) = failing(n, || owned(call(&module, uapi::IOC_START, &mut request)));
            if let Err(errno) = answer {
                assert!(ERRORS.contains(&errno), "{n}: error {errno}");
            }
            has_failed
        });
        println!("# {failed} failures");
        assert!(failed > 10, "{failed}");
    });
    let program = wasm;
    tests.add("RUN and close, each allocation failing once", move || {
        let module = load(&program).expect("loads");
        let (_output, feed) = pipe().expect("a pipe");
        let fds = [grant(feed.as_raw_fd(), 1)];
        let failed = each(|n| {
            let mut start = kwasmi_start { fds: address(&fds), fds_len: 1, ..kwasmi_start::default() };
            let instance = owned(call(&module, uapi::IOC_START, &mut start)).expect("starts");
            let ((), has_failed) = failing(n, || {
                let mut log = [0_u8; 256];
                let mut run = kwasmi_run {
                    log: log.as_mut_ptr().expose_provenance() as u64,
                    log_size: 256,
                    ..kwasmi_run::default()
                };
                judge(call(&instance, uapi::IOC_RUN, &mut run).map(|_| run), n);
                drop(instance);
            });
            has_failed
        });
        println!("# {failed} failures");
        assert!(failed > 3, "{failed}");
        let info = info();
        println!("# the reserve: {} of {} bytes at most", info.reserve_peak_bytes, info.reserve_bytes);
        // The reserve was used, but less than half of it. The next test's check that nothing is
        // held shows that it is refilled.
        assert!(info.reserve_peak_bytes > 0 && info.reserve_peak_bytes < info.reserve_bytes / 2);
    });
}
