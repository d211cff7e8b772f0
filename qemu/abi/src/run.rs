// SPDX-License-Identifier: GPL-2.0

//! Tests of `KWASMI_IOC_RUN`: how guests end.

use crate::{
    kernel::{
        address,
        call,
        ending,
        grant,
        info,
        ioctl,
        module,
        run,
        start,
        start_with,
        start_with_fds, //
    },
    ktap::Tests,
};
use kwasmi::uapi::{
    self,
    kwasmi_run,
    kwasmi_start, //
};
use std::{
    fs::File,
    io::{
        Read,
        Write,
        pipe, //
    },
    os::{
        fd::AsRawFd,
        unix::net::UnixStream, //
    },
    thread,
};

const PROGRAM: &str = r#"(module (func (export "_start")))"#;

/// Program that copies descriptor 0 to descriptor 1 until the end, 4 KiB at a time.
pub(crate) const CAT: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (local $left i32) (local $errno i32)
        (loop $again
            (i32.store (i32.const 0) (i32.const 4096))
            (i32.store (i32.const 4) (i32.const 4096))
            (local.set $errno (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            (if (local.get $errno) (then (call $exit (local.get $errno))))
            (if (i32.load (i32.const 8)) (then
                (local.set $left (i32.load (i32.const 8)))
                (loop $rest
                    (i32.store (i32.const 0) (i32.sub (i32.add (i32.const 4096) (i32.load (i32.const 8))) (local.get $left)))
                    (i32.store (i32.const 4) (local.get $left))
                    (local.set $errno (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
                    (if (local.get $errno) (then (call $exit (local.get $errno))))
                    (local.set $left (i32.sub (local.get $left) (i32.load (i32.const 12))))
                    (br_if $rest (local.get $left)))
                (br $again))))))"#;

/// Program that copies descriptor 0 to descriptor 1 by one batch operation, and exits with its
/// error.
pub(crate) const BATCH_COPY: &str = r#"(module
    (import "kwasmi_batch_1" "submit" (func $submit (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (i64.store (i32.const 0) (i64.const -1))
        (i32.store8 (i32.const 20) (i32.const 6))
        (i32.store (i32.const 32) (i32.const 1))
        (drop (call $submit (i32.const 0) (i32.const 1) (i32.const 64)))
        (call $exit (i32.load16_u (i32.const 22)))))"#;

/// Runs `text` with `output` as its descriptor 1 and a file of 100 KiB as descriptor 0. Returns
/// status and code.
fn copies_to(text: &str, output: &impl AsRawFd, flags: u32) -> (u32, u32) {
    let path = "/tmp/kwasmi-abi-copied";
    std::fs::write(path, vec![b'x'; 100 << 10]).expect("writable");
    let input = std::fs::File::open(path).expect("there");
    let fds = [grant(input.as_raw_fd(), 0), grant(output.as_raw_fd(), 1)];
    let request = kwasmi_start { fds: address(&fds), fds_len: 2, flags, ..kwasmi_start::default() };
    let module = module(text);
    let instance = start_with(&module, request).0.expect("starts");
    let end = run(&instance).expect("runs");
    assert_eq!(run(&instance).expect("tells it again").code, end.code);
    (end.status, end.code)
}

/// Returns a program whose `_start` is `body`.
fn program(body: &str) -> String {
    format!(
        r#"(module (memory (export "memory") 1) (table 1 funcref) (elem (i32.const 0) $other)
            (func $other (param i32)) (func $deep (call $deep) (call $deep)) (func (export "_start") {body}))"#
    )
}

fn trap(body: &str, code: u32) {
    let end = ending(&program(body));
    assert_eq!((end.status, end.code), (uapi::KWASMI_TRAPPED, code), "{body}");
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("RUN returns the exit status", || {
        for status in [0_u32, 1, 42, 255, 256, u32::MAX] {
            let end = ending(&format!(
                r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                    (func (export "_start") (call $exit (i32.const {}))))"#,
                status.cast_signed()
            ));
            let expected = if status < 256 {
                (uapi::KWASMI_EXITED, status)
            } else {
                (uapi::KWASMI_TRAPPED, uapi::KWASMI_TRAP_OTHER)
            };
            assert_eq!((end.status, end.code), expected, "{status}");
        }
        assert_eq!(ending(PROGRAM).status, uapi::KWASMI_EXITED);
    });
    tests.add("RUN returns the kind of a trap", || {
        trap("unreachable", uapi::KWASMI_TRAP_UNREACHABLE);
        trap("(drop (i32.load (i32.const 65533)))", uapi::KWASMI_TRAP_MEMORY_BOUNDS);
        trap("(i64.store (i32.const -1) (i64.const 1))", uapi::KWASMI_TRAP_MEMORY_BOUNDS);
        trap("(memory.fill (i32.const 1) (i32.const 0) (i32.const 65536))", uapi::KWASMI_TRAP_MEMORY_BOUNDS);
        trap("(drop (i32.rem_u (i32.const 1) (i32.const 0)))", uapi::KWASMI_TRAP_DIVIDE_BY_ZERO);
        trap("(drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1)))", uapi::KWASMI_TRAP_INTEGER_OVERFLOW);
        trap("(drop (i32.trunc_f64_u (f64.const -1)))", uapi::KWASMI_TRAP_INTEGER_OVERFLOW);
        trap("(drop (i64.trunc_f32_s (f32.const nan)))", uapi::KWASMI_TRAP_BAD_CONVERSION);
        trap("(call_indirect (i32.const 0))", uapi::KWASMI_TRAP_BAD_SIGNATURE);
        trap("(call_indirect (i32.const 1))", uapi::KWASMI_TRAP_TABLE_BOUNDS);
    });
    tests.add("RUN returns the trap of a start function", || {
        let end = ending(r#"(module (func $f unreachable) (func (export "_start")) (start $f))"#);
        assert_eq!((end.status, end.code), (uapi::KWASMI_TRAPPED, uapi::KWASMI_TRAP_UNREACHABLE));
    });
    tests.add("RUN of an ended instance returns the same result and log again", || {
        let module = module(&program("unreachable"));
        let instance = start(&module);
        let mut before = None;
        for _ in 0..3 {
            let mut text = vec![0_u8; 100];
            let mut request = kwasmi_run {
                log: text.as_mut_ptr().expose_provenance() as u64,
                log_size: 100,
                ..kwasmi_run::default()
            };
            assert_eq!(call(&instance, uapi::IOC_RUN, &mut request), Ok(0));
            let now = (request.status, request.code, request.fuel_used, request.stack_peak, text);
            assert!(now.4.starts_with(b"wasm `unreachable`"));
            assert_eq!(*before.get_or_insert_with(|| now.clone()), now);
        }
    });
    tests.add("RUN with unknown flags or reserved bits is EINVAL, at a bad address EFAULT", || {
        let module = module(PROGRAM);
        let instance = start(&module);
        for bit in 0..32 {
            for (flags, reserved) in [(1 << bit, 0), (0, 1 << bit)] {
                let mut request = kwasmi_run { flags, reserved, ..kwasmi_run::default() };
                assert_eq!(call(&instance, uapi::IOC_RUN, &mut request), Err(libc::EINVAL));
            }
        }
        for address in [0, 8, usize::MAX - 8, 1 << 63] {
            // SAFETY: Nothing of this process is mapped at these addresses, so the kernel cannot
            // write there.
            let answer = unsafe { ioctl(instance.as_raw_fd(), u64::from(uapi::IOC_RUN), address) };
            assert_eq!(answer, Err(libc::EFAULT));
        }
        assert_eq!(run(&instance).expect("runs").status, uapi::KWASMI_EXITED);
    });
    tests.add("an instance that is never run is freed", || {
        let module = module(&program(""));
        for _ in 0..50 {
            drop(start(&module));
        }
    });
    tests.add("arguments and environment arrive byte for byte", || {
        // Writes the buffers of args_get and environ_get to descriptor 1.
        let text = r#"(module
            (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func $out (i32.store (i32.const 16) (i32.const 4096))
                (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24))))
            (func (export "_start")
                (drop (call $args_sizes (i32.const 0) (i32.const 20)))
                (drop (call $args (i32.const 1024) (i32.const 4096))) (call $out)
                (drop (call $env_sizes (i32.const 0) (i32.const 20)))
                (drop (call $env (i32.const 1024) (i32.const 4096))) (call $out)))"#;
        let (mut reader, writer) = pipe().expect("a pipe");
        let args = b"name\0\0two words\n\xff\xfe\0";
        let env = b"A=1\0=\0EMPTY=\0";
        let fds = [grant(writer.as_raw_fd(), 1)];
        let request = kwasmi_start {
            args: address(args),
            args_len: args.len() as u64,
            env: address(env),
            env_len: env.len() as u64,
            fds: address(&fds),
            fds_len: 1,
            ..kwasmi_start::default()
        };
        let module = module(text);
        let instance = start_with(&module, request).0.expect("starts");
        drop(writer);
        assert_eq!(run(&instance).expect("runs").status, uapi::KWASMI_EXITED);
        // When the guest has ended, its end of the pipe is closed, although the instance still
        // exists.
        let mut seen = Vec::new();
        reader.read_to_end(&mut seen).expect("readable");
        assert_eq!(seen, [args.as_slice(), env.as_slice()].concat());
    });
    tests.add("1 MiB goes through a guest between two pipes", || {
        let data: Vec<u8> = (0..1 << 20).map(|n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
        let ((input, mut feed), (mut drain, output)) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
        let module = module(CAT);
        let instance = start_with_fds(&module, &[grant(input.as_raw_fd(), 0), grant(output.as_raw_fd(), 1)]);
        drop((input, output));
        let copy = data.clone();
        let writer = thread::spawn(move || feed.write_all(&copy));
        let reader = thread::spawn(move || {
            let mut seen = Vec::new();
            drain.read_to_end(&mut seen).map(|_| seen)
        });
        let end = run(&instance).expect("runs");
        assert_eq!((end.status, end.code), (uapi::KWASMI_EXITED, 0));
        writer.join().expect("no panic").expect("written");
        assert!(reader.join().expect("no panic").expect("read") == data);
    });
    tests.add("writing to a pipe or socket without a reader is an error, with SIGPIPE the end", || {
        // Rust programs ignore SIGPIPE. Here its default action applies, so that a signal to this
        // process would be noticed.
        // SAFETY: SIG_DFL installs no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let pipe_errno = 64;
        let sigpipe = libc::SIGPIPE.cast_unsigned();
        for text in [CAT, BATCH_COPY] {
            let (reader, writer) = pipe().expect("a pipe");
            drop(reader);
            assert_eq!(copies_to(text, &writer, 0), (uapi::KWASMI_EXITED, pipe_errno));
            assert_eq!(copies_to(text, &writer, uapi::KWASMI_START_SIGPIPE), (uapi::KWASMI_KILLED, sigpipe));
            let (reader, writer) = UnixStream::pair().expect("a pair");
            drop(reader);
            assert_eq!(copies_to(text, &writer, 0), (uapi::KWASMI_EXITED, pipe_errno));
            assert_eq!(copies_to(text, &writer, uapi::KWASMI_START_SIGPIPE), (uapi::KWASMI_KILLED, sigpipe));
        }
    });
    tests.add("a file's position is shared with the caller's", || {
        let path = "/tmp/kwasmi-abi-position";
        std::fs::write(path, vec![b'x'; 10_000]).expect("writable");
        let mut file = std::fs::File::open(path).expect("there");
        let null = std::fs::File::options().write(true).open("/dev/null").expect("there");
        file.read_exact(&mut [0; 100]).expect("readable");
        let module = module(CAT);
        let instance = start_with_fds(&module, &[grant(file.as_raw_fd(), 0), grant(null.as_raw_fd(), 1)]);
        assert_eq!(run(&instance).expect("runs").code, 0);
        assert_eq!(std::io::Seek::stream_position(&mut file).expect("seekable"), 10_000);
        std::fs::remove_file(path).expect("there");
    });
    tests.add("a file without read_iter is read if it is a seq_file, else it is notsup", || {
        let cat = |input: &File, output: &File| {
            let module = module(CAT);
            let instance = start_with_fds(&module, &[grant(input.as_raw_fd(), 0), grant(output.as_raw_fd(), 1)]);
            run(&instance).expect("runs").code
        };
        let to_write = |path| File::options().write(true).open(path).expect(path);
        let to_read = |path| File::open(path).expect(path);
        let copy = "/tmp/kwasmi-abi-copied";
        for path in ["/proc/self/limits", "/proc/version"] {
            let output = File::create(copy).expect("writable");
            assert_eq!(cat(&to_read(path), &output), 0, "{path}");
            assert!(std::fs::read(copy).expect("there") == std::fs::read(path).expect("there"), "{path}");
        }
        let (notsup, nospc) = (58, 51);
        assert_eq!(cat(&to_read("/dev/kmsg"), &to_write("/dev/null")), notsup);
        assert_eq!(cat(&to_read("/proc/version"), &to_write("/proc/self/oom_score_adj")), notsup);
        assert_eq!(cat(&to_read("/proc/version"), &to_write("/dev/full")), nospc);
    });
    tests.add("a directory or a file open for writing cannot be read", || {
        let module = module(CAT);
        let directory = std::fs::File::open("/tmp").expect("there");
        let instance = start_with_fds(&module, &[grant(directory.as_raw_fd(), 0)]);
        // Preview 1 `isdir`.
        assert_eq!(run(&instance).expect("runs").code, 31);
        let null = std::fs::File::options().write(true).open("/dev/null").expect("there");
        let instance = start_with_fds(&module, &[grant(null.as_raw_fd(), 0)]);
        // Preview 1 `notcapable`: the file is not open for reading, so the right is removed.
        assert_eq!(run(&instance).expect("runs").code, 76);
    });
    tests.add("a panic of the engine ends only its guest", || {
        if info().features & u64::from(uapi::KWASMI_FEATURE_FAULT_INJECTION) == 0 {
            return;
        }
        let text = r#"(module (import "kwasmi_test" "panic" (func $panic)) (memory 10) (func (export "_start") (call $panic)))"#;
        let broken = module(text);
        let (first, second) = (start(&broken), start(&broken));
        let end = run(&first).expect("runs");
        assert_eq!(end.status, uapi::KWASMI_ENGINE_FAULT);
        assert_eq!(run(&second).expect("runs").status, uapi::KWASMI_ENGINE_FAULT);
        let (answer, log) = start_with(&broken, kwasmi_start::default());
        assert_eq!(answer.err(), Some(libc::EIO), "{log}");
        assert!(log.contains("earlier"), "{log}");
        assert_eq!(ending(PROGRAM).status, uapi::KWASMI_EXITED);
        assert!(info().reclaimed_bytes > 0);
    });
    tests.add("eight guests run at the same time", || {
        let guests: Vec<_> = (1..=8_u32)
            .map(|number| {
                thread::spawn(move || {
                    ending(&format!(
                        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                            (func (export "_start") (local $n i32)
                                (loop (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 500000))))
                                (call $exit (i32.const {number}))))"#
                    ))
                })
            })
            .collect();
        for (number, guest) in (1..).zip(guests) {
            let end = guest.join().expect("no panic");
            assert_eq!((end.status, end.code), (uapi::KWASMI_EXITED, number));
        }
    });
    tests.add("two instances of one module do not share memory", || {
        let text = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1) (global $g (mut i32) (i32.const 0))
            (func (export "_start")
                (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
                (global.set $g (i32.add (global.get $g) (i32.const 1)))
                (call $exit (i32.add (i32.load (i32.const 0)) (global.get $g)))))"#;
        let module = module(text);
        let instances: Vec<_> = (0..8).map(|_| start(&module)).collect();
        for instance in &instances {
            assert_eq!(run(instance).expect("runs").code, 2);
        }
    });
}
