// SPDX-License-Identifier: GPL-2.0

//! Runs the tests of the WebAssembly specification through `/dev/kwasmi`, or by a command. Prints
//! KTAP with one result for each script. Exits with 1 if a script fails.
//!
//!     kwasmi-spec [--command PROGRAM] [--compiled] [--jobs N] [SCRIPT]...
//!
//! With `--compiled`, programs may use what only the compiler supports. SCRIPT is a part of a
//! script's name, such as `memory_`.

#![forbid(unsafe_code)]

use kwasmi_spec::{
    SCRIPTS,
    command::ByCommand,
    device::InKernel,
    features,
    judge::{
        self,
        Tally, //
    },
    runner::Runner,
    script::Script, //
};
use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    process::ExitCode,
    sync::{
        atomic::{
            AtomicUsize,
            Ordering, //
        },
        mpsc, //
    },
    thread,
    time::Instant, //
};
use wasmparser::WasmFeatures;

/// Options of the command line.
struct Options {
    command: Option<PathBuf>,
    is_compiled: bool,
    jobs: usize,
    scripts: Vec<String>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self { command: None, is_compiled: false, jobs: 0, scripts: Vec::new() };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--command" => options.command = Some(args.next()?.into()),
                "--compiled" => options.is_compiled = true,
                "--jobs" => options.jobs = args.next()?.parse().ok()?,
                _ if arg.starts_with('-') => return None,
                _ => options.scripts.push(arg),
            }
        }
        if options.jobs == 0 {
            options.jobs = thread::available_parallelism().map_or(1, usize::from);
        }
        Some(options)
    }

    /// Returns the proposals that the engine supports.
    fn features(&self) -> WasmFeatures {
        if self.is_compiled { features::COMPILER } else { features::INTERPRETER }
    }

    fn runner(&self) -> io::Result<Box<dyn Runner>> {
        Ok(match &self.command {
            Some(command) => Box::new(ByCommand::new(command.clone())?),
            None => Box::new(InKernel::new()?),
        })
    }
}

fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("usage: kwasmi-spec [--command PROGRAM] [--compiled] [--jobs N] [SCRIPT]...");
        return ExitCode::from(125);
    };
    let is_wanted = |name: &str| options.scripts.is_empty() || options.scripts.iter().any(|part| name.contains(part));
    let scripts: Vec<_> = SCRIPTS.iter().filter(|(name, _)| is_wanted(name)).collect();
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    println!("KTAP version 1\n1..{}", scripts.len());
    let total = thread::scope(|scope| {
        for _ in 0..options.jobs {
            let (sender, scripts, next, options) = (sender.clone(), &scripts, &next, &options);
            scope.spawn(move || {
                let mut runner = options.runner();
                while let Some((name, text)) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = match &mut runner {
                        Ok(runner) => run(name, text, options.features(), runner.as_mut()),
                        Err(error) => Err(error.to_string()),
                    };
                    if sender.send((*name, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        report(&scripts.iter().map(|(name, _)| *name).collect::<Vec<_>>(), &receiver)
    });
    for (reason, count) in &total.skipped {
        println!("# {count} skipped: {reason}");
    }
    println!("# {} programs in {} s", total.programs, began.elapsed().as_secs());
    println!("# {} known differences", total.known.len());
    println!("# {} of {} assertions passed", total.passed, total.tried());
    if total.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(name: &str, text: &str, engine: WasmFeatures, runner: &mut dyn Runner) -> Result<Tally, String> {
    Ok(judge::judge(&Script::new(name, text, engine)?, runner))
}

/// Prints the results of each script, in the order of `names`. Returns the sum.
fn report(names: &[&'static str], results: &mpsc::Receiver<(&'static str, Result<Tally, String>)>) -> Tally {
    let mut total = Tally::default();
    let mut early = BTreeMap::new();
    for (number, name) in (1..).zip(names) {
        while !early.contains_key(name) {
            let Ok((name, result)) = results.recv() else { return total };
            early.insert(name, result);
        }
        let tally = match early.remove(name) {
            Some(Ok(tally)) => tally,
            Some(Err(why)) => Tally { failed: vec![(0, why)], ..Tally::default() },
            None => Tally::default(),
        };
        print(number, name, &tally);
        total.passed += tally.passed;
        total.programs += tally.programs;
        total.failed.extend(tally.failed);
        total.known.extend(tally.known);
        for (reason, count) in tally.skipped {
            *total.skipped.entry(reason).or_default() += count;
        }
    }
    total
}

fn print(number: usize, name: &str, tally: &Tally) {
    for (line, why) in &tally.failed {
        println!("# {name}:{line}: {why}");
    }
    for (line, why) in &tally.known {
        println!("# {name}:{line}: known difference: {why}");
    }
    let tried = tally.tried();
    println!("# {name}: {} of {tried} passed in {} programs", tally.passed, tally.programs);
    for (reason, count) in &tally.skipped {
        println!("# {name}: {count} skipped: {reason}");
    }
    let verdict = if tally.failed.is_empty() { "ok" } else { "not ok" };
    match tally.skipped.first_key_value() {
        Some((reason, _)) if tried == 0 => println!("{verdict} {number} - {name} # SKIP {reason}"),
        _ => println!("{verdict} {number} - {name}"),
    }
}
