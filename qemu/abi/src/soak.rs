// SPDX-License-Identifier: GPL-2.0

//! Soak test: guests of all kinds for a configurable time and number. Afterwards no memory may be
//! lost.
//!
//!     KWASMI_SOAK_GUESTS=N KWASMI_SOAK_SECONDS=S kwasmi-abi soak
//!
//! First N short guests run, one after another on each processor; then guests of all kinds by eight
//! threads for S seconds.

mod load;
mod memory;

use crate::{
    kernel::info,
    ktap::Tests,
    scale, //
};
use load::{
    KINDS,
    Load, //
};
use memory::Memory;
use std::{
    collections::BTreeMap,
    env,
    num::NonZero,
    sync::atomic::{
        AtomicU64,
        Ordering, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

const GUESTS: u32 = 2000;

const SECONDS: u64 = 60;

const THREADS: u64 = 8;

/// Short guests, and time of guests of all kinds, before memory is measured for the first time.
/// They fill the kernel's caches.
const WARM_UP: (u32, Duration) = (200, Duration::from_secs(5));

/// Interval of progress messages.
const TELLING: Duration = Duration::from_secs(60);

/// Number of guests by kind.
type Counts = BTreeMap<&'static str, u64>;

/// Returns a number from the environment, or the default.
fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Runs `guests` short guests in total, in one thread for each processor.
fn short(load: &Load, guests: u64) {
    let begin = Instant::now();
    let started = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for number in 0..threads {
            let started = &started;
            scope.spawn(move || {
                let mut told = begin;
                loop {
                    let count = started.fetch_add(1, Ordering::Relaxed);
                    if count >= guests {
                        break;
                    }
                    // The guest made by a C compiler takes three times as long.
                    if count.is_multiple_of(10) {
                        load.hello()
                    } else {
                        load.brief()
                    }
                    if number == 0 && told.elapsed() >= TELLING {
                        told = Instant::now();
                        println!("# {} s: {count} short guests", begin.elapsed().as_secs());
                    }
                }
            });
        }
    });
}

/// Runs guests of all kinds for `time` in all threads. Returns their numbers by kind.
fn mixed(load: &Load, time: Duration, seed: u64) -> Counts {
    let begin = Instant::now();
    let counts = thread::scope(|scope| {
        let runners: Vec<_> = (0..THREADS)
            .map(|number| {
                scope.spawn(move || {
                    let mut random = load::random(seed, number);
                    let mut counts = Counts::new();
                    while begin.elapsed() < time {
                        let kind = &KINDS[random.below(KINDS.len())];
                        (kind.run)(load, &mut random);
                        *counts.entry(kind.name).or_default() += 1;
                    }
                    counts
                })
            })
            .collect();
        while begin.elapsed() < time {
            thread::sleep(TELLING.min(time.saturating_sub(begin.elapsed())));
            let info = info();
            println!(
                "# {} s: {} modules, {} instances, {} bytes of heap",
                begin.elapsed().as_secs(),
                info.modules,
                info.instances,
                info.heap_bytes
            );
        }
        runners.into_iter().map(|runner| runner.join().expect("no panic")).collect::<Vec<_>>()
    });
    let mut all = Counts::new();
    for (name, count) in counts.into_iter().flatten() {
        *all.entry(name).or_default() += count;
    }
    all
}

pub(crate) fn tests(tests: &mut Tests) {
    let guests = number("KWASMI_SOAK_GUESTS", scale::iterations(GUESTS).into());
    let time = Duration::from_secs(number("KWASMI_SOAK_SECONDS", SECONDS));
    tests.add("short guests and guests of all kinds by eight threads lose no memory", move || {
        let load = Load::new();
        short(&load, scale::iterations(WARM_UP.0).into());
        mixed(&load, WARM_UP.1, 0x501);
        let before = Memory::settled(None);
        println!("# before: {before}");

        let begin = Instant::now();
        short(&load, guests);
        println!("# {guests} short guests in {:.1} s", begin.elapsed().as_secs_f64());
        let between = Memory::settled(Some(&before));
        println!("# between: {between}");

        let counts = mixed(&load, time, 0x50a4);
        println!("# {} guests of all kinds in {} s: {counts:?}", counts.values().sum::<u64>(), time.as_secs());
        let after = Memory::settled(Some(&before));
        println!("# after: {after}");
        println!("# grown, in KiB of what is mapped page by page: {}", after.growth(&before));
        for kind in &KINDS {
            assert!(time < Duration::from_secs(30) || counts.contains_key(kind.name), "no guest of kind {}", kind.name);
        }
        println!("# tolerance: {}", memory::tolerance());
        between.assert_like(&before);
        after.assert_like(&before);
    });
}
