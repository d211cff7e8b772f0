// SPDX-License-Identifier: GPL-2.0

//! Tests of guests in a memory cgroup that is too small for them: they end without the
//! out-of-memory killer, and do not affect guests outside.

use crate::{
    kernel::{
        ending,
        info,
        limit,
        limited,
        load_limited,
        module,
        run,
        start_with, //
    },
    ktap::Tests,
    task::{
        Child,
        refuse_huge_pages, //
    },
};
use kwasmi::uapi;
use std::{
    fs,
    num::NonZero,
    path::PathBuf,
    thread,
    time::{
        Duration,
        Instant, //
    },
};

const ROOT: &str = "/sys/fs/cgroup";

/// Value of a group's `memory.max`, in bytes.
const MAX: u64 = 16 << 20;

/// Upper bound of a group's memory after use, in bytes: what the kernel caches for the next
/// process.
const LEFT_MAX: u64 = 1 << 20;

/// Upper bound of the growth over many runs, in bytes. Nothing may leak, but the kernel counts in
/// batches, and each processor keeps up to 64 charged pages for the group whose task ran there last
/// (`MEMCG_CHARGE_BATCH`, include/linux/memcontrol.h).
const DRIFT_MAX: u64 = 512 << 10;
const STOCK_MAX: u64 = 64 * 4096;

/// Upper bound of the `max` events (slow attempts to reclaim memory) until a module is refused: a
/// few for one allocation.
const TRIES_MAX: u64 = 1000;

/// Guests that allocate without end: one page at a time, in pieces of 1 MiB that they use, and as a
/// table.
const GREEDY: [(&str, &str); 3] = [
    (
        "grows its memory by a page",
        r#"(module (memory (export "memory") 1) (func (export "_start") (loop (drop (memory.grow (i32.const 1))) (br 0))))"#,
    ),
    (
        "grows its memory by 1 MiB and uses that",
        r#"(module (memory (export "memory") 1)
            (func (export "_start") (local $at i32)
                (loop
                    (local.set $at (memory.grow (i32.const 16)))
                    (memory.fill (i32.shl (local.get $at) (i32.const 16)) (i32.const 1) (i32.const 1048576))
                    (br 0))))"#,
    ),
    (
        "grows a table",
        r#"(module (table 1 funcref)
            (func (export "_start") (loop (drop (table.grow 0 (ref.null func) (i32.const 10))) (br 0))))"#,
    ),
];

/// Memory cgroup, removed when this is dropped.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Self {
        fs::write(format!("{ROOT}/cgroup.subtree_control"), "+memory").expect("there is memory to control");
        let group = Self(PathBuf::from(ROOT).join(name));
        fs::create_dir(&group.0).expect("a new group");
        fs::write(group.0.join("memory.max"), MAX.to_string()).expect("a maximum");
        group
    }

    /// Runs `work` in a process of the group. Returns its status.
    fn status(&self, work: impl FnOnce(&Self) -> u8) -> u8 {
        let child = Child::start(|| {
            refuse_huge_pages();
            fs::write(self.0.join("cgroup.procs"), "0").expect("may join");
            work(self)
        });
        child.wait()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).expect(name)
    }

    /// Returns the group's current memory, in bytes.
    fn current(&self) -> u64 {
        self.read("memory.current").trim().parse().expect("a number")
    }

    /// Returns a counter of `memory.events`.
    fn events(&self, name: &str) -> u64 {
        let events = self.read("memory.events");
        let event = events.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        event.expect(name).parse().expect("a number")
    }

    /// Panics unless the group reached its maximum, no process was killed for it, and its memory
    /// was freed.
    fn assert_survived(&self) {
        let peak = self.read("memory.peak");
        println!("# peak {} bytes, {} times at the maximum", peak.trim(), self.events("max"));
        assert!(self.events("max") > 0, "it had all that it wanted");
        assert_eq!((self.events("oom"), self.events("oom_kill")), (0, 0));
        for _ in 0..100 {
            if self.current() <= LEFT_MAX {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        println!("# {} bytes are left", self.current());
        assert!(self.current() <= LEFT_MAX);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The last process has ended, but the kernel may still be removing it from the group.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Runs a guest. Returns the status of its end.
fn outcome(text: &str) -> u8 {
    // High limits, so that the group's maximum is the one that is reached.
    let limits = [limit(uapi::KWASMI_LIMIT_TABLE, 10_000_000)];
    let end = run(&start_with(&module(text), limited(&limits)).0.expect("starts")).expect("ends");
    println!("# status {}, code {}, {} bytes of linear memory", end.status, end.code, end.memory_peak);
    assert!(end.memory_peak < MAX && end.heap_peak < MAX, "{end:?}");
    u8::try_from(end.status).expect("small")
}

/// Does `work` while a process outside of the group runs guests that use memory, and checks that
/// each of these succeeds.
fn beside_others(work: impl FnOnce()) {
    let text = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (if (i32.ne (memory.grow (i32.const 400)) (i32.const 1)) (then (call $exit (i32.const 1))))
            (memory.fill (i32.const 0) (i32.const 1) (i32.const 26214400))
            (call $exit (i32.const 7))))"#;
    let (mut told, mut tell) = std::io::pipe().expect("a pipe");
    let other = Child::start(|| {
        loop {
            let end = ending(text);
            let is_well = (end.status, end.code) == (uapi::KWASMI_EXITED, 7);
            std::io::Write::write_all(&mut tell, &[u8::from(is_well)]).expect("read later");
        }
    });
    work();
    // The other process must also succeed after `work`.
    thread::sleep(Duration::from_millis(200));
    drop(other);
    drop(tell);
    let mut runs = Vec::new();
    std::io::Read::read_to_end(&mut told, &mut runs).expect("readable");
    println!("# {} runs of another guest", runs.len());
    assert!(!runs.is_empty() && runs.iter().all(|is_well| *is_well == 1));
}

/// Returns the line of /proc/vmstat that counts kills by the out-of-memory killer.
fn kills() -> String {
    let counters = fs::read_to_string("/proc/vmstat").expect("there");
    counters.lines().find(|line| line.starts_with("oom_kill ")).expect("is counted").to_owned()
}

pub(crate) fn tests(tests: &mut Tests) {
    for (number, (what, text)) in GREEDY.into_iter().enumerate() {
        tests.add(format!("in a memory cgroup of 16 MiB, a guest that {what} runs out of memory"), move || {
            let before = kills();
            let group = Group::new(&format!("kwasmi-greedy-{number}"));
            beside_others(|| {
                assert_eq!(u32::from(group.status(|_| outcome(text))), uapi::KWASMI_OUT_OF_MEMORY);
            });
            group.assert_survived();
            assert_eq!(kills(), before);
        });
    }
    tests.add("in a memory cgroup of 16 MiB, a module that takes more to translate is refused", || {
        let group = Group::new("kwasmi-module");
        // A module of several megabytes.
        let wasm = fs::read("/guests/big.wasm").expect("it is there");
        beside_others(|| {
            let errno = group.status(|_| {
                let before = Instant::now();
                let errno = load_limited(&wasm, &[]).0.expect_err("too large");
                println!("# refused after {:?}", before.elapsed());
                u8::try_from(errno).expect("small")
            });
            assert_eq!(i32::from(errno), libc::ENOMEM);
        });
        group.assert_survived();
        assert!(group.events("max") < TRIES_MAX);
        let info = info();
        println!("# the reserve: {} of {} bytes at most", info.reserve_peak_bytes, info.reserve_bytes);
        // At least half of the reserve must stay available to others.
        assert!(info.reserve_peak_bytes < info.reserve_bytes / 2);
    });
    tests.add("in a memory cgroup of 16 MiB, 30 such guests in a row leak nothing", || {
        let group = Group::new("kwasmi-often");
        let status = group.status(|group| {
            let mut first = 0;
            for round in 0..30 {
                assert_eq!(u32::from(outcome(GREEDY[round % GREEDY.len()].1)), uapi::KWASMI_OUT_OF_MEMORY);
                assert_eq!(ending(crate::signals::LOOP_ONCE).status, uapi::KWASMI_EXITED);
                // After one run of each guest.
                if round == 2 {
                    first = group.current();
                }
            }
            let processors = thread::available_parallelism().map_or(1, NonZero::get) as u64;
            let most = first + DRIFT_MAX + processors * STOCK_MAX;
            // The kernel module keeps a stack until no stack trace can read it, and the kernel
            // frees machine code later.
            let deadline = Instant::now() + Duration::from_secs(30);
            let last = loop {
                let current = group.current();
                if current <= most || Instant::now() > deadline {
                    break current;
                }
                thread::sleep(Duration::from_millis(100));
            };
            println!("# {first} bytes after 3 of them, {last} after 30");
            if last > most {
                print!("{}", group.read("memory.stat").lines().map(|line| format!("# {line}\n")).collect::<String>());
            }
            u8::from(last > most)
        });
        assert_eq!(status, 0);
        group.assert_survived();
    });
}
