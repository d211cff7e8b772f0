// SPDX-License-Identifier: GPL-2.0

//! Tests of CPU time: a guest that computes without end gets the share of an ordinary process, and
//! not more.

use crate::{
    kernel::{
        module,
        run,
        start, //
    },
    ktap::Tests,
    signals::LOOP,
    task::{
        self,
        Child, //
    },
};
use std::{
    hint, thread,
    time::{
        Duration,
        Instant, //
    },
};

/// Time of a measurement.
const TIME: Duration = Duration::from_secs(3);

/// Minimum and maximum share of the processor for each of two tasks, as fractions.
const FAIR: (f64, f64) = (0.4, 0.6);

/// Upper bound of the difference between the share of a guest and of an ordinary process, as a
/// fraction.
const DIFFERENCE_MAX: f64 = 0.1;

/// Number of attempts, of which one must be fair: the VM itself may be short of processors for a
/// moment. A guest that keeps the processor fails each time.
const ATTEMPTS: usize = 4;

/// Guests without an end: one computes, one moves memory in large pieces, one makes host calls.
const ENDLESS: [(&str, &str); 3] = [
    ("computes", LOOP),
    (
        "moves memory",
        r#"(module (memory (export "memory") 512)
            (func (export "_start") (loop (memory.copy (i32.const 1) (i32.const 0) (i32.const 33554431)) (br 0))))"#,
    ),
    (
        "calls the host",
        r#"(module
            (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
            (memory (export "memory") 16)
            (func (export "_start") (loop (drop (call $random (i32.const 0) (i32.const 1000000))) (br 0))))"#,
    ),
];

/// Computes forever, as an ordinary process.
fn busy() -> u8 {
    task::pin(0);
    let mut n = 0_u64;
    loop {
        n = hint::black_box(n.wrapping_add(1));
    }
}

/// Returns the share of a processor's time that `first` gets beside `second`, as a fraction.
fn share(first: &Child, second: &Child) -> f64 {
    // Lets both start.
    thread::sleep(Duration::from_millis(300));
    let (begin, before) = (Instant::now(), [first, second].map(Child::cpu_time));
    thread::sleep(TIME);
    let (time, after) = (begin.elapsed(), [first, second].map(Child::cpu_time));
    let [first, second] = [0, 1].map(|which| (after[which] - before[which]).as_secs_f64());
    println!("# CPU time {first:.3} s and {second:.3} s in {:.3} s", time.as_secs_f64());
    // Both run on one processor.
    assert!(first + second < 1.2 * time.as_secs_f64(), "not on the same processor");
    first / (first + second)
}

/// Returns true if a guest and an ordinary process beside another each get a fair share, and about
/// the same.
fn is_fair(text: &str) -> bool {
    let native = share(&Child::start(busy), &Child::start(busy));
    let module = module(text);
    let guest = Child::start(|| {
        task::pin(0);
        let _ = run(&start(&module));
        0
    });
    let guest = share(&guest, &Child::start(busy));
    println!("# share of a process {native:.3}, of the guest in its place {guest:.3}");
    [native, guest].iter().all(|share| (FAIR.0..=FAIR.1).contains(share)) && (native - guest).abs() <= DIFFERENCE_MAX
}

pub(crate) fn tests(tests: &mut Tests) {
    for (what, text) in ENDLESS {
        tests.add(
            format!("a guest that {what} without end leaves another process its share of the processor"),
            move || {
                let before = task::affinity();
                task::pin(1);
                let is_fair = (0..ATTEMPTS).any(|_| is_fair(text));
                task::set_affinity(&before);
                assert!(is_fair);
            },
        );
    }
}
