// SPDX-License-Identifier: GPL-2.0

//! Tests of `KWASMI_IOC_LOAD`.

use crate::{
    kernel::{
        address,
        call,
        device,
        info,
        load,
        load_limited,
        owned, //
    },
    ktap::Tests,
};
use kwasmi::uapi::{
    self,
    kwasmi_load, //
};
use std::{
    fs::{
        self,
        File, //
    },
    io::Read as _,
    os::{
        fd::{
            FromRawFd as _,
            OwnedFd, //
        },
        unix::process::{
            CommandExt as _,
            ExitStatusExt as _, //
        },
    },
    process::{
        Command,
        ExitCode, //
    },
    ptr,
};

fn program() -> Vec<u8> {
    wat::parse_str(r#"(module (memory (export "memory") 1) (data (i32.const 0) "data") (func (export "_start")))"#)
        .expect("valid text")
}

fn refused(wasm: &[u8], errno: i32, words: &str) {
    let (answer, log) = load(wasm);
    assert_eq!(answer.err(), Some(errno), "{log}");
    assert!(log.contains(words), "{log:?} has not {words:?}");
}

/// Tries LOAD on standard input, which is the device that root opened, as an unprivileged user.
/// Succeeds if that is EPERM.
pub(crate) fn unprivileged() -> ExitCode {
    let wasm = program();
    let mut request = kwasmi_load { wasm: address(&wasm), wasm_len: wasm.len() as u64, ..kwasmi_load::default() };
    // Standard input is the device, opened by root.
    match call(&std::io::stdin(), uapi::IOC_LOAD, &mut request) {
        Err(libc::EPERM) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Returns a module whose load takes more than a second on any machine: 40 functions of 100,000
/// nested loops.
fn slow_to_load() -> Vec<u8> {
    const DEPTH: usize = 100_000;
    let text = r#"(module (func (export "_start")))"#;
    let small = wat::parse_str(text).expect("valid text");
    let (functions, bodies): (Vec<u8>, Vec<Vec<u8>>) = (0..40)
        .map(|_| {
            let code = [&[0][..], &[0x03, 0x40].repeat(DEPTH), &[0x0b].repeat(DEPTH), &[0x0b]].concat();
            (0, [leb(code.len()), code].concat())
        })
        .unzip();
    // The type and the export sections are those of the small module.
    let section = |id: u8, contents: &[u8]| [&[id][..], &leb(contents.len()), contents].concat();
    let find = |id: u8| {
        let mut rest = &small[8..];
        while rest[0] != id {
            rest = &rest[2 + usize::from(rest[1])..];
        }
        rest[..2 + usize::from(rest[1])].to_vec()
    };
    [
        small[..8].to_vec(),
        find(1),
        section(3, &[leb(functions.len()), functions].concat()),
        find(7),
        section(10, &[leb(bodies.len()), bodies.concat()].concat()),
    ]
    .concat()
}

/// Encodes `value` as an unsigned LEB128 number.
fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).expect("seven bits"));
    bytes
}

/// Checks that a slow load shows its progress on a terminal, and that SIGINT ends it.
fn shows_progress() {
    const FILE: &str = "/tmp/slow-to-load.wasm";
    fs::write(FILE, slow_to_load()).expect("can be written");
    let (mut terminal, mut command) = (-1, -1);
    // SAFETY: `openpty` writes two descriptors to live variables; the other pointers may be null.
    let answer =
        unsafe { libc::openpty(&raw mut terminal, &raw mut command, ptr::null_mut(), ptr::null(), ptr::null()) };
    assert_eq!(answer, 0);
    // SAFETY: `openpty` returned the descriptor, which nothing else owns.
    let mut terminal = unsafe { File::from_raw_fd(terminal) };
    // SAFETY: `openpty` returned the descriptor, which nothing else owns.
    let command = unsafe { OwnedFd::from_raw_fd(command) };
    let mut child =
        Command::new("kwasmi").args(["run", FILE]).env("TERM", "xterm").stderr(command).spawn().expect("it can be run");
    let mut shown = Vec::new();
    while !shown.ends_with(b"loading") {
        let mut byte = [0];
        // After the end of the command, reading fails.
        assert_eq!(terminal.read(&mut byte).unwrap_or(0), 1, "shown: {}", shown.escape_ascii());
        shown.push(byte[0]);
    }
    // SAFETY: `kill` has no memory requirements.
    assert_eq!(unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) }, 0);
    assert_eq!(child.wait().expect("our child").signal(), Some(libc::SIGINT));
    fs::remove_file(FILE).expect("it is there");
    assert_eq!(info().modules, 0);
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("a load of more than a second shows its progress on a terminal, and SIGINT ends it", shows_progress);
    tests.add("LOAD makes a descriptor that is closed on exec", || {
        let (module, log) = load(&program());
        let module = module.expect("fine");
        assert_eq!(log, "");
        // SAFETY: `fcntl` with F_GETFD has no memory requirements.
        let flags = unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&module), libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        assert_eq!(info().modules, 1);
    });
    tests.add("LOAD with unknown flags or reserved bits is EINVAL", || {
        let wasm = program();
        let chosen = uapi::KWASMI_LOAD_COMPILE | uapi::KWASMI_LOAD_INTERPRET | uapi::KWASMI_LOAD_ONCE;
        let bits = || (0..32).map(|bit| 1 << bit);
        let unknown = bits().filter(|flag| flag & chosen == 0).chain([3, 5, 6, 7]).map(|flags| (flags, 0));
        for (flags, reserved) in unknown.chain(bits().map(|reserved| (0, reserved))) {
            let mut request = kwasmi_load {
                wasm: address(&wasm),
                wasm_len: wasm.len() as u64,
                flags,
                reserved,
                ..kwasmi_load::default()
            };
            assert_eq!(call(&device(), uapi::IOC_LOAD, &mut request), Err(libc::EINVAL));
        }
    });
    tests.add("LOAD from addresses that cannot be read is EFAULT", || {
        for (wasm, wasm_len) in [(0, 1), (8, 4096), (u64::MAX, 1), (1 << 63, 8), (0xffff_8880_0000_0000, 64)] {
            let mut request = kwasmi_load { wasm, wasm_len, ..kwasmi_load::default() };
            assert_eq!(call(&device(), uapi::IOC_LOAD, &mut request), Err(libc::EFAULT), "{wasm:#x}");
        }
    });
    tests.add("LOAD of a module at the end of a mapping reads no further", || {
        let wasm = program();
        // SAFETY: The kernel chooses the address, so no existing mapping is replaced.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                8192,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(map, libc::MAP_FAILED);
        // SAFETY: The second page belongs to this test's mapping, and nothing refers to it.
        assert_eq!(unsafe { libc::munmap(map.wrapping_byte_add(4096), 4096) }, 0);
        let start = map.wrapping_byte_add(4096 - wasm.len());
        // SAFETY: The source is a live slice, and the destination is the end of the first page of
        // the mapping, which has room for the module.
        unsafe { std::ptr::copy_nonoverlapping(wasm.as_ptr(), start.cast(), wasm.len()) };
        for (more, expected) in [(0, None), (1, Some(libc::EFAULT))] {
            let mut request = kwasmi_load {
                wasm: start.expose_provenance() as u64,
                wasm_len: wasm.len() as u64 + more,
                ..kwasmi_load::default()
            };
            assert_eq!(owned(call(&device(), uapi::IOC_LOAD, &mut request)).err(), expected);
        }
        // SAFETY: The first page belongs to this test's mapping, and nothing refers to it any more.
        assert_eq!(unsafe { libc::munmap(map, 4096) }, 0);
    });
    tests.add("LOAD of nothing, zeros, text or just a header is ENOEXEC with a reason", || {
        refused(b"", libc::ENOEXEC, "offset");
        refused(&vec![0; 1 << 20], libc::ENOEXEC, "offset 0");
        refused(b"#!/bin/sh\necho no\n", libc::ENOEXEC, "offset 0");
        refused(b"\0asm\x01\0\0\0", libc::ENOEXEC, "_start");
        refused(b"\0asm\x02\0\0\0", libc::ENOEXEC, "offset");
    });
    tests.add("LOAD of 160 MiB of zeros is EDQUOT", || {
        let (answer, request) = load_limited(&vec![0; 160 << 20], &[]);
        assert_eq!(answer.err(), Some(libc::EDQUOT));
        assert_eq!((request.limit, request.limit_value), (uapi::KWASMI_LIMIT_MODULE_SIZE, 128 << 20));
    });
    tests.add("LOAD of lengths beyond all limits is EDQUOT", || {
        for wasm_len in [u64::MAX, 1 << 63, 1 << 32, (128 << 20) + 1] {
            let mut request = kwasmi_load { wasm_len, ..kwasmi_load::default() };
            assert_eq!(call(&device(), uapi::IOC_LOAD, &mut request), Err(libc::EDQUOT));
        }
    });
    tests.add("LOAD of a module truncated at every byte is ENOEXEC", || {
        let wasm = program();
        for len in 0..wasm.len() {
            let (answer, log) = load(&wasm[..len]);
            if answer.is_ok() {
                // The cut is between two sections, after all that the program needs.
                continue;
            }
            assert_eq!(answer.err(), Some(libc::ENOEXEC), "{len}");
            assert!(log.contains("offset") || log.contains("_start"), "{len}: {log}");
        }
    });
    tests.add("LOAD with missing imports lists each of them", || {
        let wasm =
            wat::parse_str(r#"(module (import "a" "b" (func)) (import "c" "d" (func)) (func (export "_start")))"#)
                .expect("valid text");
        refused(&wasm, libc::ENOEXEC, "a.b");
        refused(&wasm, libc::ENOEXEC, "c.d");
    });
    tests.add("LOAD with a log that cannot be written is EFAULT and leaks nothing", || {
        for wasm in [b"no module".to_vec(), program()] {
            let mut request = kwasmi_load {
                wasm: address(&wasm),
                wasm_len: wasm.len() as u64,
                log: 8,
                log_size: 4096,
                ..kwasmi_load::default()
            };
            let answer = owned(call(&device(), uapi::IOC_LOAD, &mut request));
            // With an empty log the buffer is not accessed. ENOEXEC takes precedence over EFAULT.
            let expected = if wasm.starts_with(b"no") { Some(libc::ENOEXEC) } else { None };
            assert_eq!(answer.err(), expected);
        }
    });
    tests.add("LOAD cuts off the log at the buffer's size and returns its whole length", || {
        let (_, whole) = load(b"no module");
        for size in [0, 1, 5, 4096] {
            let mut text = vec![0xaa_u8; 4096];
            let mut request = kwasmi_load {
                wasm: address(b"no module"),
                wasm_len: 9,
                log: text.as_mut_ptr().expose_provenance() as u64,
                log_size: size,
                ..kwasmi_load::default()
            };
            assert_eq!(call(&device(), uapi::IOC_LOAD, &mut request), Err(libc::ENOEXEC));
            assert_eq!(request.log_len as usize, whole.len());
            let written = whole.len().min(size as usize);
            assert_eq!(&text[..written], &whole.as_bytes()[..written]);
            assert!(text[written..].iter().all(|byte| *byte == 0xaa));
        }
    });
    tests.add("LOAD without CAP_SYS_ADMIN is EPERM, even if root opened the device", || {
        let status = Command::new("/proc/self/exe")
            .arg("--unprivileged-load")
            .uid(65_534)
            .gid(65_534)
            .stdin(device())
            .status()
            .expect("it can be run");
        assert!(status.success());
    });
    tests.add("LOAD when no descriptor is left is EMFILE and leaks nothing", || {
        let device = device();
        let wasm = program();
        let mut files = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            files.push(file);
        }
        let mut request = kwasmi_load { wasm: address(&wasm), wasm_len: wasm.len() as u64, ..kwasmi_load::default() };
        assert_eq!(owned(call(&device, uapi::IOC_LOAD, &mut request)).err(), Some(libc::EMFILE));
    });
    tests.add("1,000 modules at the same time are all freed", || {
        // SAFETY: `limit` is a valid `rlimit`, and `setrlimit` only reads it.
        unsafe {
            let limit = libc::rlimit { rlim_cur: 4096, rlim_max: 4096 };
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
        let wasm = program();
        let modules: Vec<_> = (0..1000).map(|_| load(&wasm).0.expect("fine")).collect();
        assert_eq!(info().modules, 1000);
        drop(modules);
    });
}
