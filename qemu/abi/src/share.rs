// SPDX-License-Identifier: GPL-2.0

//! A guest that computes without end has its share of a processor, as any process, and not more.

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

/// How long both are watched.
const TIME: Duration = Duration::from_secs(3);

/// The least and the most of the processor that one of two may have, of 1.
const FAIR: (f64, f64) = (0.4, 0.6);

/// How far a guest may be from what an ordinary process would have had in its place.
const DIFFERENCE_MAX: f64 = 0.1;

/// How often it is watched before it counts as unfair: a VM that is itself short of processors for a moment is no proof. A guest
/// that keeps the processor is unfair each time.
const ATTEMPTS: usize = 4;

/// Guests without an end: that compute, that move memory in large pieces, that call the host.
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

/// An ordinary process that is busy.
fn busy() -> u8 {
    task::pin(0);
    let mut n = 0_u64;
    loop {
        n = hint::black_box(n.wrapping_add(1));
    }
}

/// What share of a processor's time `first` has beside `second`, of 1.
fn share(first: &Child, second: &Child) -> f64 {
    // Both are there.
    thread::sleep(Duration::from_millis(300));
    let (begin, before) = (Instant::now(), [first, second].map(Child::cpu_time));
    thread::sleep(TIME);
    let (time, after) = (begin.elapsed(), [first, second].map(Child::cpu_time));
    let [first, second] = [0, 1].map(|which| (after[which] - before[which]).as_secs_f64());
    println!("# CPU time {first:.3} s and {second:.3} s in {:.3} s", time.as_secs_f64());
    // They have one processor between them.
    assert!(first + second < 1.2 * time.as_secs_f64(), "not on the same processor");
    first / (first + second)
}

/// Whether a guest has a fair share, and an ordinary process one that is about the same.
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
            format!("a guest that {what} without end leaves a neighbour its share of the processor"),
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
