// SPDX-License-Identifier: GPL-2.0

//! Memory of idle instances: the kernel's figures before and after a pool has 2,000 of them.

use crate::{
    counters,
    kernel::{
        info,
        load_for,
        run, //
    },
    ktap::Tests,
    pool::{
        LONG,
        pool_of,
        try_member,
        until, //
    },
    reactor::call_for,
    signals,
    task::Child,
};
use kwasmi::uapi;
use std::{
    fs,
    os::fd::{
        AsRawFd as _,
        OwnedFd, //
    },
    sync::{
        Arc,
        mpsc, //
    },
    thread,
    time::Duration,
};

/// Number of instances.
const INSTANCES: usize = 2_000;

/// Number of instances that are started at once. Each keeps its stacks until it rests.
const AT_ONCE: usize = 100;

/// Upper bound of the memory of an idle instance besides its linear memory, in bytes.
const MOST: i64 = 96 << 10;

/// Reactor with one page of memory.
const SMALL: &str = r#"(module
    (memory (export "memory") 1)
    (global $sum (mut i64) (i64.const 0))
    (func (export "_initialize") (i32.store (i32.const 0) (i32.const 1)))
    (func (export "add") (param i64) (result i64)
        (global.set $sum (i64.add (global.get $sum) (local.get 0)))
        (global.get $sum)))"#;

/// Lines of /proc/meminfo that are printed.
const LINES: [&str; 7] = ["MemAvailable", "AnonPages", "Slab", "KernelStack", "PageTables", "VmallocUsed", "Percpu"];

/// Values of [`LINES`], in KiB.
fn memory() -> [i64; LINES.len()] {
    let _ = fs::write("/proc/sys/vm/drop_caches", "3");
    // Freed stacks are unmapped after a grace period.
    thread::sleep(Duration::from_secs(2));
    let text = fs::read_to_string("/proc/meminfo").expect("there");
    LINES.map(|name| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect(name);
        value.trim().trim_end_matches(" kB").parse().expect("a number")
    })
}

/// Prints the growth of each figure for one of [`INSTANCES`], in bytes.
fn print(what: &str, before: &[i64], after: &[i64]) {
    let each = |index: usize| (after[index] - before[index]) * 1024 / INSTANCES as i64;
    let parts: Vec<_> = (0..LINES.len()).map(|index| format!("{} {}", LINES[index], each(index))).collect();
    println!("# {what}, bytes each: {}", parts.join(", "));
}

fn measure(flags: u32) {
    let wasm = wat::parse_str(SMALL).expect("valid text");
    let module = load_for(&wasm, flags).0.expect("loads");
    let pool = pool_of(&module);
    thread::scope(|scope| {
        let start = memory();
        let threads: Vec<_> = (0..INSTANCES)
            .map(|_| {
                let (sender, receiver) = mpsc::channel::<Arc<OwnedFd>>();
                let serve = move || receiver.recv().map_or(Ok(0), |instance| run(&instance).map(|end| end.status));
                let thread = thread::Builder::new().stack_size(16 << 10).spawn_scoped(scope, serve).expect("a thread");
                (sender, thread)
            })
            .collect();
        let with_threads = memory();
        let stacks = || info().heap_bytes >> 20;
        let mut instances = Vec::new();
        for some in threads.chunks(AT_ONCE) {
            let before = stacks();
            for (sender, _) in some {
                let instance = Arc::new(try_member(&pool, &[]).expect("starts"));
                sender.send(instance.clone()).expect("the thread waits");
                instances.push(instance);
            }
            // Less than 256 KiB of each is left.
            until(|| stacks() <= before + AT_ONCE as u64 / 4);
        }
        if flags == uapi::KWASMI_LOAD_INTERPRET {
            thread::sleep(Duration::from_secs(2));
        }
        let end = memory();
        let linear = i64::try_from(counters::value(&*pool, uapi::KWASMI_COUNTER_MEMORY)).expect("small");
        let heap = i64::try_from(counters::value(&*pool, uapi::KWASMI_COUNTER_HEAP)).expect("small");
        let count = INSTANCES as i64;
        print("threads", &start, &with_threads);
        print("instances", &with_threads, &end);
        let all = ((start[0] - end[0]) * 1024 - linear) / count;
        let own = ((with_threads[0] - end[0]) * 1024 - linear) / count;
        println!("# linear memory {}, engine objects {}", linear / count, (heap - linear) / count);
        println!("# {all} bytes each besides linear memory, {own} of them not of the thread");
        let sum = call_for(&pool, "add", &[1], LONG).expect("answers");
        for instance in &instances {
            signals::kill(instance.as_raw_fd());
        }
        for (_, thread) in threads {
            assert_eq!(thread.join().expect("no panic"), Ok(uapi::KWASMI_KILLED));
        }
        assert_eq!((linear, sum), (count << 16, vec![1]));
        assert!(all <= MOST, "{all} bytes each");
    });
}

/// Measures in a process of its own, so that its threads leave no memory for the next measurement.
fn measure_in_child(flags: u32) {
    let child = Child::start(|| {
        measure(flags);
        0
    });
    assert_eq!(child.wait(), 0);
}

pub(crate) fn tests(tests: &mut Tests) {
    let limit = libc::rlimit { rlim_cur: 8192, rlim_max: 8192 };
    // SAFETY: `limit` is readable.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    tests.add("2,000 idle instances of a pool take at most 96 KiB each besides linear memory", || {
        measure_in_child(uapi::KWASMI_LOAD_COMPILE);
    });
    tests.add("2,000 idle instances that are interpreted take at most 96 KiB each besides linear memory", || {
        measure_in_child(uapi::KWASMI_LOAD_INTERPRET);
    });
}
