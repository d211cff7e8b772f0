// SPDX-License-Identifier: GPL-2.0

//! Workloads of the benchmark. The same source is built as a guest and as its native twin.
//!
//!     bench WORK [ARG]...   for each number on standard input, repeats WORK that many times and
//!                           prints the time in nanoseconds
//!
//! The time is measured by the monotonic clock, read once before and once after the repetitions. A
//! running program takes further numbers, so that it is started once and can take turns with
//! others.

#[cfg(feature = "batch")]
mod batched;
mod calls;
mod compute;
mod coremark;
mod files;
mod http;
mod kv;
mod pipes;
mod policy;
mod serve;
#[cfg(target_os = "linux")]
mod uring;

use std::{
    env,
    hint::black_box,
    io,
    process::ExitCode,
    time::{
        Duration,
        Instant, //
    }, //
};

/// Function that repeats a workload `count` times with these arguments, and returns the time.
type Work = fn(u64, &[String]) -> io::Result<Duration>;

/// Workloads by name.
const WORKS: [(&str, Work); 28] = [
    ("null", calls::null),
    ("null-engine", calls::null_engine),
    ("null-switch", calls::null_switch),
    ("clock", calls::clock),
    ("clock-syscall", calls::clock_syscall),
    ("spin", calls::spin),
    ("selfpipe", pipes::own),
    ("ping", pipes::ping),
    ("pong", pipes::pong),
    ("scan", files::scan),
    ("files", files::small),
    ("policy", policy::serve),
    ("decide", policy::decide),
    ("fib", compute::fib),
    ("sieve", compute::sieve),
    ("matmul-i32", compute::matmul_i32),
    ("matmul-f32", compute::matmul_f32),
    ("matmul-f64", compute::matmul_f64),
    ("sha256", compute::sha256),
    ("coremark", coremark::run),
    ("echo", serve::echo),
    ("http", serve::http),
    ("http-file", serve::http_file),
    ("http-close", serve::http_close),
    ("kv", serve::kv),
    ("relay", serve::relay),
    ("relay-file", serve::relay_file),
    ("relay-file-syscall", serve::relay_file_syscall),
];

/// Measures the time of `count` calls of `work`.
fn time(count: u64, mut work: impl FnMut() -> io::Result<()>) -> io::Result<Duration> {
    let began = Instant::now();
    for _ in 0..count {
        work()?;
    }
    Ok(began.elapsed())
}

/// Like [`time`], for work that cannot fail. Its results are not optimized away.
fn time_result<T>(count: u64, mut work: impl FnMut() -> T) -> io::Result<Duration> {
    time(count, || {
        black_box(work());
        Ok(())
    })
}

/// Parses argument `index`.
fn argument<T: std::str::FromStr>(args: &[String], index: usize) -> io::Result<T> {
    args.get(index).and_then(|text| text.parse().ok()).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

fn run() -> io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let name: String = argument(&args, 0)?;
    let works = WORKS.iter();
    #[cfg(feature = "batch")]
    let works = batched::WORKS.iter().chain(works);
    #[cfg(target_os = "linux")]
    let works = works.chain(&uring::WORKS);
    let mut works = works;
    let (_, work) = works.find(|(known, _)| *known == name).ok_or(io::ErrorKind::NotFound)?;
    for line in io::stdin().lines() {
        let count = line?.trim().parse().map_err(|_| io::ErrorKind::InvalidInput)?;
        let took = work(count, args.get(1..).unwrap_or_default())?;
        println!("{}", took.as_nanos());
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
