// SPDX-License-Identifier: GPL-2.0

//! Target `compiled` on pseudo-random inputs, without libFuzzer: `compiled-loop [--seconds N]
//! [--seed S] [FILE]...`. With files it compares these programs or, if they are not Wasm, the
//! programs of these inputs.

use kwasmi_engine_fuzz::compiled::{
    self,
    Outcome, //
};
use std::{
    collections::BTreeMap,
    env, fs, panic,
    process::ExitCode,
    time::{
        Duration,
        Instant, //
    },
};

/// Longest input in bytes.
const LENGTH: u64 = 4096;

/// Pseudo-random numbers: xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn input(&mut self) -> Vec<u8> {
        let length = 1 + (self.next() >> 32) % LENGTH;
        (0..length).map(|_| self.next().to_be_bytes()[0]).collect()
    }
}

fn main() -> ExitCode {
    let (mut seconds, mut seed, mut files) = (30, 1, Vec::new());
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok()).expect("a number");
        match argument.as_str() {
            "--seconds" => seconds = number(),
            "--seed" => seed = number(),
            _ => files.push(argument),
        }
    }
    for file in &files {
        let bytes = fs::read(file).expect("a readable file");
        let outcome = if bytes.starts_with(b"\0asm") { compiled::compare(&bytes) } else { compiled::fuzz(&bytes) };
        println!("{file}: {outcome:?}");
    }
    if files.is_empty() { repeat(Duration::from_secs(seconds), seed) } else { ExitCode::SUCCESS }
}

/// Fuzzes until the time is over.
fn repeat(time: Duration, seed: u64) -> ExitCode {
    let begin = Instant::now();
    // The state of xorshift must not be 0.
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut faults: u64 = 0;
    while begin.elapsed() < time {
        let input = random.input();
        match panic::catch_unwind(|| compiled::fuzz(&input)) {
            Ok(Outcome::Refused(reason)) => *counts.entry(reason).or_default() += 1,
            Ok(outcome) => *counts.entry(format!("{outcome:?}")).or_default() += 1,
            Err(_) => {
                faults += 1;
                let path = format!("compiled-{seed}-{faults}");
                fs::write(&path, &input).expect("a writable directory");
                println!("fault: {path}");
                if faults >= 20 {
                    break;
                }
            }
        }
    }
    for (outcome, count) in &counts {
        println!("{count} {outcome}");
    }
    println!("{faults} faults in {} s from seed {seed}", begin.elapsed().as_secs());
    if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
