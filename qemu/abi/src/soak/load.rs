// SPDX-License-Identifier: GPL-2.0

//! Kinds of guests for the soak test, each with the end that it must have.

use crate::{
    fuzz::Random,
    kernel::{
        address,
        grant,
        limit,
        limited,
        load,
        load_for,
        load_limited,
        run,
        start_with, //
    },
    kill::{
        BULK,
        GROW,
        large,
        nanoseconds, //
    },
    run::CAT,
    signals::{
        self,
        LOOP,
        SLEEP, //
    },
};
use kwasmi::uapi::{
    self,
    kwasmi_fd,
    kwasmi_limit,
    kwasmi_run,
    kwasmi_start, //
};
use std::{
    fs,
    io::{
        Read,
        Write,
        pipe, //
    },
    os::{
        fd::{
            AsRawFd,
            OwnedFd, //
        },
        unix::process::ExitStatusExt,
    },
    process::{
        Command,
        Stdio, //
    },
    thread,
    time::Duration,
};

/// Kind of guest.
pub(super) struct Kind {
    /// Name in the test's output.
    pub(super) name: &'static str,
    /// Runs one guest, and panics unless it ends as expected.
    pub(super) run: fn(&Load, &mut Random),
}

/// All kinds of guests.
pub(super) const KINDS: [Kind; 10] = [
    Kind { name: "hello", run: |load, _| load.hello() },
    Kind { name: "cat", run: Load::cat },
    Kind { name: "fuel", run: Load::fuel },
    Kind { name: "trap", run: Load::trap },
    Kind { name: "kill", run: Load::kill },
    Kind { name: "signal", run: Load::signal },
    Kind { name: "growth", run: Load::growth },
    Kind { name: "bad module", run: Load::bad_module },
    Kind { name: "deadline", run: Load::deadline },
    Kind { name: "deadline of loading", run: Load::deadline_of_loading },
];

/// Programs that trap.
const TRAPS: [&str; 3] = [
    r#"(module (func (export "_start") unreachable))"#,
    r#"(module (memory 1) (func (export "_start") (drop (i32.load (i32.const 65533)))))"#,
    r#"(module (table 1 funcref) (func (export "_start") (call_indirect (i32.const 0))))"#,
];

/// Programs that grow without end, with the limit that they reach.
const GROWTH: [(&str, u32, u64); 4] = [
    (GROW, uapi::KWASMI_LIMIT_MEMORY, 4 << 20),
    (GROW, uapi::KWASMI_LIMIT_HEAP, 3 << 20),
    (
        r#"(module (table 1 funcref)
            (func (export "_start") (loop (drop (table.grow 0 (ref.null func) (i32.const 100))) (br 0))))"#,
        uapi::KWASMI_LIMIT_TABLE,
        50_000,
    ),
    (r#"(module (func $f (export "_start") (call $f) (call $f)))"#, uapi::KWASMI_LIMIT_STACK, 1 << 20),
];

/// Minimal program that prints a line.
const HELLO: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\06\00\00\00........Hello\n")
    (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

/// Upper bound of the bytes that are piped, in bytes: less than a pipe's buffer.
const PIPED: usize = 60_000;

/// Returns the random number generator of a thread.
pub(super) fn random(seed: u64, thread: u64) -> Random {
    Random(seed.wrapping_mul(0x9e37_79b9).wrapping_add(thread) | 1)
}

/// Programs in binary format.
pub(super) struct Load {
    hello: Vec<u8>,
    brief: Vec<u8>,
    cat: Vec<u8>,
    endless: [Vec<u8>; 2],
    /// A program that sleeps, and one that waits for input.
    waiting: [Vec<u8>; 2],
    traps: [Vec<u8>; 3],
    growth: [Vec<u8>; 4],
    large: Vec<u8>,
}

fn assemble(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("valid text")
}

fn milliseconds(random: &mut Random, most: usize) -> Duration {
    Duration::from_micros(random.below(most * 1000) as u64)
}

/// Loads a module and starts an instance of it, an interpreted one if `limits` limit its fuel.
fn start(wasm: &[u8], fds: &[kwasmi_fd], limits: &[kwasmi_limit]) -> OwnedFd {
    let fds_len = u32::try_from(fds.len()).expect("few");
    let request = kwasmi_start { fds: address(fds), fds_len, ..limited(limits) };
    let has_fuel = limits.iter().any(|limit| limit.limit == uapi::KWASMI_LIMIT_FUEL);
    let (module, log) = load_for(wasm, if has_fuel { uapi::KWASMI_LOAD_INTERPRET } else { 0 });
    let module = module.unwrap_or_else(|errno| panic!("error {errno}: {log}"));
    let (instance, log) = start_with(&module, request);
    instance.unwrap_or_else(|errno| panic!("error {errno}: {log}"))
}

/// Runs an instance, which must end with this status and code.
fn ends(instance: &OwnedFd, status: u32, code: u32) -> kwasmi_run {
    let end = run(instance).expect("ends");
    assert_eq!((end.status, end.code), (status, code));
    end
}

/// Runs a guest that must print `words` and exit with 0.
fn says(wasm: &[u8], words: &str) {
    let (mut drain, output) = pipe().expect("a pipe");
    let instance = start(wasm, &[grant(output.as_raw_fd(), 1)], &[]);
    drop(output);
    ends(&instance, uapi::KWASMI_EXITED, 0);
    let mut text = String::new();
    drain.read_to_string(&mut text).expect("text");
    assert_eq!(text, words);
}

impl Load {
    pub(super) fn new() -> Self {
        Self {
            hello: fs::read("/guests/hello-c.wasm").expect("a guest"),
            brief: assemble(HELLO),
            cat: fs::read("/guests/cat-rust.wasm").expect("a guest"),
            endless: [LOOP, BULK].map(assemble),
            waiting: [SLEEP, CAT].map(assemble),
            traps: TRAPS.map(assemble),
            growth: GROWTH.map(|(text, _, _)| assemble(text)),
            large: large(20_000),
        }
    }

    /// Returns a random program among those that never end.
    fn endless(&self, random: &mut Random) -> &[u8] {
        let all: Vec<_> = self.endless.iter().chain(&self.waiting).collect();
        all[random.below(all.len())]
    }

    /// Runs a program made by a C compiler that prints a line.
    pub(super) fn hello(&self) {
        says(&self.hello, "Hello from C!\n");
    }

    /// Runs a minimal program that prints a line.
    pub(super) fn brief(&self) {
        says(&self.brief, "Hello\n");
    }

    /// Runs a guest that copies from one pipe to another.
    fn cat(&self, random: &mut Random) {
        let data: Vec<u8> = (0..random.below(PIPED)).map(|_| random.byte()).collect();
        let ((input, mut feed), (mut drain, output)) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
        let instance = start(&self.cat, &[grant(input.as_raw_fd(), 0), grant(output.as_raw_fd(), 1)], &[]);
        drop((input, output));
        feed.write_all(&data).expect("there is room");
        drop(feed);
        ends(&instance, uapi::KWASMI_EXITED, 0);
        let mut seen = Vec::new();
        drain.read_to_end(&mut seen).expect("can be read");
        assert!(seen == data);
    }

    /// Runs a guest until its fuel is used up.
    fn fuel(&self, random: &mut Random) {
        let fuel = 1 + random.below(2_000_000) as u64;
        let instance = start(&self.endless[random.below(2)], &[], &[limit(uapi::KWASMI_LIMIT_FUEL, fuel)]);
        let end = ends(&instance, uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_FUEL);
        assert!(end.fuel_used <= fuel);
    }

    fn trap(&self, random: &mut Random) {
        let instance = start(&self.traps[random.below(TRAPS.len())], &[], &[]);
        assert_eq!(run(&instance).expect("ends").status, uapi::KWASMI_TRAPPED);
    }

    /// Runs a guest that another thread kills after a random time.
    fn kill(&self, random: &mut Random) {
        let (input, _feed) = pipe().expect("a pipe");
        let instance = start(self.endless(random), &[grant(input.as_raw_fd(), 0)], &[]);
        let wait = milliseconds(random, 10);
        thread::scope(|scope| {
            let runner = scope.spawn(|| ends(&instance, uapi::KWASMI_KILLED, 0));
            thread::sleep(wait);
            signals::kill(instance.as_raw_fd());
            runner.join().expect("no panic");
        });
    }

    /// Runs the command with a guest, and kills it after a random time.
    fn signal(&self, random: &mut Random) {
        let mut command = Command::new("kwasmi");
        command.args(["run", "/guests/fixtures/loop.wat"]).stdin(Stdio::null());
        let mut child = command.spawn().expect("the command is there");
        thread::sleep(milliseconds(random, 100));
        child.kill().expect("it runs");
        assert_eq!(child.wait().expect("our child").signal(), Some(libc::SIGKILL));
    }

    /// Runs a guest that grows until a limit.
    fn growth(&self, random: &mut Random) {
        let which = random.below(GROWTH.len());
        let (_, number, value) = GROWTH[which];
        let limits = [limit(number, value)];
        // The limit on the stack applies to the module.
        let module = load_limited(&self.growth[which], &limits).0.expect("fine");
        let instance = start_with(&module, limited(&limits)).0.expect("starts");
        ends(&instance, uapi::KWASMI_LIMITED, number);
    }

    /// Loads random bytes, or a module with changed bytes, and runs it if it is accepted.
    fn bad_module(&self, random: &mut Random) {
        let mut wasm = self.hello.clone();
        if random.below(2) == 0 {
            wasm.truncate(8);
            wasm.extend((0..random.below(300)).map(|_| random.byte()));
        } else {
            // The first sections declare what the later ones contain.
            for _ in 0..=random.below(20) {
                wasm[8 + random.below(300)] = random.byte();
            }
        }
        match load(&wasm) {
            (Err(errno), log) => {
                assert!([libc::ENOEXEC, libc::EDQUOT].contains(&errno), "{errno}: {log}");
                assert!(!log.is_empty());
            }
            (Ok(module), _) => {
                let limits = [limit(uapi::KWASMI_LIMIT_CPU_TIME, 5_000_000), limit(uapi::KWASMI_LIMIT_MEMORY, 4 << 20)];
                if let Ok(instance) = start_with(&module, limited(&limits)).0 {
                    run(&instance).expect("ends");
                }
            }
        }
    }

    /// Runs a guest until its deadline.
    fn deadline(&self, random: &mut Random) {
        let (input, _feed) = pipe().expect("a pipe");
        let time = 1 + nanoseconds(milliseconds(random, 10));
        let limits = [limit(uapi::KWASMI_LIMIT_TIME, time)];
        let instance = start(self.endless(random), &[grant(input.as_raw_fd(), 0)], &limits);
        ends(&instance, uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_TIME);
    }

    /// Loads a large module with a deadline that is most often too early.
    fn deadline_of_loading(&self, random: &mut Random) {
        let time = 1 + nanoseconds(milliseconds(random, 3));
        match load_limited(&self.large, &[limit(uapi::KWASMI_LIMIT_TIME, time)]) {
            (Err(errno), request) => {
                assert_eq!((errno, request.limit), (libc::EDQUOT, uapi::KWASMI_LIMIT_TIME));
            }
            // Loading ended before the deadline.
            (Ok(_), _) => {}
        }
    }
}
