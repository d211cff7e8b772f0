// SPDX-License-Identifier: GPL-2.0

//! Tests that end guests from outside: a thousand times in each way, each after a random time, in
//! different guests and calls.

use crate::{
    fuzz::Random,
    kernel::{
        address,
        call,
        device,
        grant,
        limit,
        limited,
        load,
        module,
        owned,
        run,
        start_with, //
    },
    ktap::Tests,
    signals::{
        self,
        LOOP,
        SLEEP, //
    },
};
use kwasmi::uapi::{
    self,
    kwasmi_load,
    kwasmi_run,
    kwasmi_start, //
};
use std::{
    fs::File,
    io::{
        PipeReader,
        PipeWriter,
        pipe, //
    },
    os::fd::{
        AsRawFd,
        FromRawFd,
        IntoRawFd,
        OwnedFd, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

/// Returns the number of rounds for each way to end a guest.
fn rounds() -> usize {
    usize::try_from(crate::scale::iterations(1000)).unwrap_or(usize::MAX)
}

/// Number of functions of a module whose translation is interrupted.
const LARGE: usize = 50_000;

/// Program that grows its memory until a limit.
pub(crate) const GROW: &str = r#"(module (memory (export "memory") 1)
    (func (export "_start") (loop (drop (memory.grow (i32.const 7))) (br 0))))"#;

/// Program whose single instructions take long.
pub(crate) const BULK: &str = r#"(module (memory (export "memory") 512)
    (func (export "_start")
        (loop
            (memory.fill (i32.const 0) (i32.const 1) (i32.const 33554432))
            (memory.copy (i32.const 1) (i32.const 0) (i32.const 33554431))
            (br 0))))"#;

/// Program that waits forever in `wait` of `kwasmi_batch_1`.
const WAIT: &str = r#"(module (import "kwasmi_batch_1" "wait" (func $wait (param i32 i32 i64 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 20) "\01\00\ff\ff\00\04\00\00\10")
    (func (export "_start")
        (loop (drop (call $wait (i32.const 0) (i32.const 1) (i64.const -1) (i32.const 2048) (i32.const 1) (i32.const 2052)))
            (br 0))))"#;

/// Program that makes calls of 1024 empty operations without end.
const NOTHINGS: &str = r#"(module (import "kwasmi_batch_1" "submit" (func $submit (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (loop (drop (call $submit (i32.const 0) (i32.const 1024) (i32.const 60000))) (br 0))))"#;

/// Program that copies without end in one call, from descriptor 1 to 2.
pub(crate) const COPY: &str = r#"(module (import "kwasmi_batch_1" "submit" (func $submit (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\ff\ff\ff\ff\ff\ff\ff\ff\00\00\00\00\00\00\00\00\01\00\00\00\06")
    (data (i32.const 32) "\02")
    (func (export "_start") (drop (call $submit (i32.const 0) (i32.const 1) (i32.const 1024))) (unreachable)))"#;

/// Program that copies from descriptor 3, a file, to 4, a pipe that nothing is read from.
const SEND: &str = r#"(module (import "kwasmi_batch_1" "submit" (func $submit (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\ff\ff\ff\ff\ff\ff\ff\ff\00\00\00\00\00\00\00\00\03\00\00\00\06")
    (data (i32.const 32) "\04")
    (func (export "_start") (drop (call $submit (i32.const 0) (i32.const 1) (i32.const 1024))) (unreachable)))"#;

/// Program that ends at once.
const SHORT: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

/// Returns a module with this many functions, whose translation takes long.
pub(crate) fn large(functions: usize) -> Vec<u8> {
    let many = "(func (drop (i32.add (i32.const 1) (i32.const 2))))".repeat(functions);
    wat::parse_str(format!(r#"(module {many} (func (export "_start")))"#)).expect("valid text")
}

/// Guests and modules, with their files, for calls that are interrupted.
struct Victims {
    modules: Vec<OwnedFd>,
    short: Vec<u8>,
    large: Vec<u8>,
    input: OwnedFd,
    zero: File,
    null: File,
    /// A file larger than a pipe's buffer.
    file: File,
    full: PipeWriter,
    /// The other ends of the pipes, kept open so that reads and writes wait.
    _feed: PipeWriter,
    _reader: PipeReader,
}

impl Victims {
    fn new() -> Self {
        let (input, feed) = pipe().expect("a pipe");
        let (reader, full) = pipe().expect("a pipe");
        Self {
            modules: [LOOP, GROW, BULK, SLEEP, crate::run::CAT, WAIT, NOTHINGS, COPY, SEND, SHORT].map(module).into(),
            short: wat::parse_str(SHORT).expect("valid text"),
            large: large(LARGE),
            input: input.into(),
            zero: File::open("/dev/zero").expect("there"),
            null: File::create("/dev/null").expect("there"),
            file: File::open("/bin/busybox").expect("there"),
            full,
            _feed: feed,
            _reader: reader,
        }
    }

    /// Starts guest number `which`, with its descriptors.
    fn start(&self, which: usize, time: u64) -> OwnedFd {
        let files = [&self.input as &dyn AsRawFd, &self.zero, &self.null, &self.file, &self.full];
        let fds: Vec<_> = (0..).zip(files).map(|(fd, file)| grant(file.as_raw_fd(), fd)).collect();
        let limits = [limit(uapi::KWASMI_LIMIT_MEMORY, 64 << 20), limit(uapi::KWASMI_LIMIT_TIME, time)];
        let request = kwasmi_start { fds: address(&fds), fds_len: 5, ..limited(&limits) };
        start_with(&self.modules[which], request).0.expect("starts")
    }

    /// Repeats call number `which` forever: runs a guest, translates a module, or loads, starts and
    /// runs a short one.
    fn forever(&self, which: usize) -> ! {
        loop {
            if which < self.modules.len() {
                let _ = run(&self.start(which, u64::MAX));
            } else if which == self.modules.len() {
                let _ = load(&self.large);
            } else if let Ok(module) = load(&self.short).0
                && let Ok(instance) = start_with(&module, kwasmi_start::default()).0
            {
                let _ = run(&instance);
            }
        }
    }

    /// Returns the number of different calls.
    fn len(&self) -> usize {
        self.modules.len() + 2
    }
}

fn moment(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(3000) as u64)
}

/// Returns `time` in nanoseconds, the unit of the interface.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Prints median, 99th percentile and maximum of `times` as a KTAP comment.
fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "# {what}, {} times: {:?} half of the time, {:?} at p99, {:?} at most",
        times.len(),
        at(50),
        at(99),
        at(100)
    );
}

/// Ends processes in the middle of their calls by `signal`.
fn by_signal(signal: i32, seed: u64) {
    let victims = Victims::new();
    let mut random = Random(seed);
    let mut times = Vec::new();
    for number in 0..rounds() {
        // SAFETY: The child only makes calls. This process has no other thread whose locks it would
        // need.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            victims.forever(number % victims.len());
        }
        thread::sleep(moment(&mut random));
        let before = Instant::now();
        // SAFETY: `kill` has no memory requirements, and `pid` is a child that was not waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
        let status = signals::wait(pid);
        times.push(before.elapsed());
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == signal, "{number}: {status:#x}");
    }
    tell(&format!("signal {signal} to the end of the process"), times);
}

/// Panics unless the guest was ended as `by` says, reached its memory limit, or exited.
fn was_ended(end: &kwasmi_run, by: (u32, u32)) {
    let own = [(uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_MEMORY), (uapi::KWASMI_EXITED, 0)];
    let ended = (end.status, end.code);
    assert!(ended == by || own.contains(&ended), "status {}, code {}", end.status, end.code);
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("SIGKILL at random moments", || by_signal(libc::SIGKILL, 0x51));
    tests.add("SIGINT at random moments", || by_signal(libc::SIGINT, 0x52));
    tests.add("KILL at random moments", || {
        let victims = Victims::new();
        let mut random = Random(0x53);
        let mut times = Vec::new();
        for number in 0..rounds() {
            let instance = victims.start(number % victims.modules.len(), u64::MAX);
            let wait = moment(&mut random);
            let before = thread::scope(|scope| {
                let runner = scope.spawn(|| run(&instance).expect("ends"));
                thread::sleep(wait);
                let before = Instant::now();
                signals::kill(instance.as_raw_fd());
                was_ended(&runner.join().expect("no panic"), (uapi::KWASMI_KILLED, 0));
                before
            });
            times.push(before.elapsed());
        }
        tell("KILL to the end of RUN", times);
    });
    tests.add("close of the running instance's descriptor, then KILL by another, at random moments", || {
        let victims = Victims::new();
        let mut random = Random(0x54);
        for number in 0..rounds() {
            let instance = victims.start(number % victims.modules.len(), u64::MAX);
            let other = instance.try_clone().expect("a descriptor");
            let fd = instance.into_raw_fd();
            let (first, second) = (moment(&mut random), moment(&mut random));
            thread::scope(|scope| {
                let runner = scope.spawn(move || {
                    let mut request = kwasmi_run::default();
                    call(&fd, uapi::IOC_RUN, &mut request).map(|_| request)
                });
                thread::sleep(first);
                // SAFETY: `into_raw_fd` has passed ownership to this test. Only a call that is
                // already running may still use it.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
                thread::sleep(second);
                signals::kill(other.as_raw_fd());
                match runner.join().expect("no panic") {
                    Ok(end) => was_ended(&end, (uapi::KWASMI_KILLED, 0)),
                    // The descriptor was closed before RUN looked it up.
                    Err(errno) => assert_eq!(errno, libc::EBADF),
                }
            });
        }
    });
    tests.add("close of the device's descriptor during LOAD, at random moments", || {
        let wasm = large(200);
        let mut random = Random(0x57);
        for _ in 0..rounds() {
            let fd = device().into_raw_fd();
            let wait = moment(&mut random);
            thread::scope(|scope| {
                let runner = scope.spawn(|| {
                    let mut request =
                        kwasmi_load { wasm: address(&wasm), wasm_len: wasm.len() as u64, ..kwasmi_load::default() };
                    owned(call(&fd, uapi::IOC_LOAD, &mut request)).map(drop)
                });
                thread::sleep(wait);
                // SAFETY: `into_raw_fd` has passed ownership to this test. Only a call that is
                // already running may still use it.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
                // The module was loaded, unless the descriptor was closed before LOAD looked it up.
                assert!([Ok(()), Err(libc::EBADF)].contains(&runner.join().expect("no panic")));
            });
        }
    });
    tests.add("random deadlines of guests", || {
        let victims = Victims::new();
        let mut random = Random(0x55);
        for number in 0..rounds() {
            let time = 1 + nanoseconds(moment(&mut random));
            let end = run(&victims.start(number % victims.modules.len(), time)).expect("ends");
            was_ended(&end, (uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_TIME));
        }
    });
    tests.add("random deadlines of LOAD", || {
        let wasm = large(LARGE);
        let mut random = Random(0x56);
        for _ in 0..rounds() {
            let time = 1 + nanoseconds(moment(&mut random));
            let (answer, request) = crate::kernel::load_limited(&wasm, &[limit(uapi::KWASMI_LIMIT_TIME, time)]);
            assert_eq!(answer.err(), Some(libc::EDQUOT));
            assert_eq!(request.limit, uapi::KWASMI_LIMIT_TIME);
        }
    });
}
