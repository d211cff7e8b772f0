// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! `kwasmi-bench`: the part of `scripts/bench` that runs inside the build root and inside the VM.
//!
//!     kwasmi-bench drive     runs all measurements, prints tables, draws plots, compares
//!     kwasmi-bench measure   measures on this machine and writes a JSON file
//!     kwasmi-bench anew      starts a program repeatedly
//!     kwasmi-bench whole     runs a program repeatedly, and does not count its translation
//!     kwasmi-bench bpf       does work of `guests/bench` by eBPF
//!     kwasmi-bench bound     does work of `guests/bench` by a kernel module without Wasm

mod bound;
mod bpf;
mod case;
mod client;
mod compare;
mod drive;
mod facts;
mod measure;
mod memcached;
mod plot;
mod result;
mod sample;
mod scripts;
mod statistics;
mod table;
mod variant;
mod wrk;

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        ExitCode,
        Stdio, //
    },
    time::{
        Duration,
        Instant, //
    },
};

use anyhow::{
    Context as _,
    Result, //
};
use clap::{
    Args,
    Parser,
    Subcommand, //
};

use crate::{
    case::{
        CASES,
        Case, //
    },
    measure::{
        Effort,
        measure, //
    },
    result::Place,
    sample::Sampler,
    variant::Tools,
    wrk::Wrk,
};

/// Benchmarks guests in the kernel against native processes and other runtimes.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Runs the measurements in VMs and on the host, and prints the results.
    Drive(drive::Options),
    /// Measures on this machine and writes a JSON file.
    Measure(MeasureOptions),
    /// Reads numbers from standard input; for each, starts a program that often, with empty
    /// standard input, waits for its end, and prints the elapsed nanoseconds.
    Anew {
        /// Program and its arguments.
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Reads numbers from standard input; for each, runs a program that often, with empty standard
    /// input and without output, and prints the elapsed nanoseconds.
    Whole {
        /// Folder in which the program runs.
        #[arg(long)]
        folder: PathBuf,
        /// Program and its arguments. `{time}` stands for a file to which the program writes the
        /// nanoseconds that count.
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Reads numbers from standard input; for each, does the work that often by the kernel module
    /// of `qemu/bound`, and prints the elapsed nanoseconds.
    Bound {
        /// Name of the work.
        work: String,
        /// Arguments of the work.
        args: Vec<String>,
    },
    /// Reads numbers from standard input; for each, does the work that often by eBPF, and prints
    /// the elapsed nanoseconds.
    Bpf {
        /// Name of the work.
        work: String,
    },
}

#[derive(Args, Debug)]
struct MeasureOptions {
    /// Cases or groups to measure. Default: all.
    names: Vec<String>,
    /// Takes fewer and shorter samples.
    #[arg(long)]
    quick: bool,
    /// Place that this machine is.
    #[arg(long)]
    place: Place,
    /// Path of the `kwasmi` command, if the kernel module is loaded.
    #[arg(long)]
    kwasmi: Option<PathBuf>,
    /// Path of `kwasmi-native`.
    #[arg(long)]
    engine: PathBuf,
    /// Path of `kwasmi-runtimes`.
    #[arg(long)]
    runtimes: PathBuf,
    /// Path of `kwasmi_bound.ko`, to load before the measurements.
    #[arg(long)]
    bound: Option<PathBuf>,
    /// Script that starts memcached, if it was fetched.
    #[arg(long)]
    memcached: Option<PathBuf>,
    /// Script that starts wrk, if it was fetched.
    #[arg(long)]
    wrk: Option<PathBuf>,
    /// Folder of the programs by other authors.
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Folder of machine code.
    #[arg(long)]
    machine_code: Option<PathBuf>,
    /// Folder of the guests.
    #[arg(long)]
    guests: PathBuf,
    /// Folder for the JSON file.
    #[arg(long)]
    output: PathBuf,
}

/// Returns the cases that `names` selects, by name or by group.
fn chosen(names: &[String]) -> Result<Vec<Case>> {
    for name in names {
        let is_known = CASES.iter().any(|case| case.name == name || case.group == name);
        anyhow::ensure!(is_known, "no benchmark '{name}'");
    }
    let is_chosen = |case: &&Case| names.is_empty() || names.iter().any(|name| name == case.name || name == case.group);
    Ok(CASES.iter().filter(is_chosen).copied().collect())
}

fn measure_here(options: &MeasureOptions) -> Result<()> {
    if let Some(bound) = &options.bound {
        anyhow::ensure!(options.place != Place::Host, "--bound: kernel modules are not loaded on the host");
        bound::load(bound)?;
    }
    let tools = Tools {
        own: env::current_exe()?,
        kwasmi: options.kwasmi.clone(),
        engine: options.engine.clone(),
        runtimes: options.runtimes.clone(),
        guest: options.guests.join("bench.wasm"),
        batch_guest: options.guests.join("bench-batch.wasm"),
        twin: options.guests.join("native/bench"),
        memcached: options.memcached.clone(),
        programs: options.programs.clone(),
        machine_code: options.machine_code.clone(),
    };
    let effort = Effort::new(options.place, options.quick);
    let wrk = options.wrk.as_deref().and_then(|program| Wrk::find(program, effort.sample));
    let measurements = measure(&Sampler::new(tools, wrk)?, &chosen(&options.names)?, options.place, effort)?;
    fs::create_dir_all(&options.output)?;
    let path = options.output.join(format!("{}.json", options.place.name()));
    Ok(fs::write(path, serde_json::to_string_pretty(&measurements)?)?)
}

/// For each line of standard input, does `work` that many times and prints the elapsed nanoseconds.
fn work_on(work: fn(&str, u64, &[String]) -> Result<Duration>, name: &str, args: &[String]) -> Result<bool> {
    for line in io::stdin().lines() {
        println!("{}", work(name, line?.trim().parse()?, args)?.as_nanos());
    }
    Ok(true)
}

fn run() -> Result<bool> {
    match Cli::parse().command {
        Subcommands::Drive(options) => drive::drive(&options),
        Subcommands::Measure(options) => measure_here(&options).map(|()| true),
        Subcommands::Bound { work, args } => work_on(bound::run, &work, &args),
        Subcommands::Anew { command } => {
            for line in io::stdin().lines() {
                println!("{}", anew(&command, line?.trim().parse()?)?.as_nanos());
            }
            Ok(true)
        }
        Subcommands::Whole { folder, command } => {
            for line in io::stdin().lines() {
                println!("{}", whole(&folder, &command, line?.trim().parse()?)?.as_nanos());
            }
            Ok(true)
        }
        Subcommands::Bpf { work } => {
            let mut program = bpf::Program::load(&work)?;
            for line in io::stdin().lines() {
                println!("{}", program.run(line?.trim().parse()?)?.as_nanos());
            }
            Ok(true)
        }
    }
}

/// Starts the command `words` and waits for its end, `count` times. Returns the elapsed time.
fn anew(words: &[OsString], count: u64) -> Result<Duration> {
    let (program, args) = words.split_first().context("no program")?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    let began = Instant::now();
    for _ in 0..count {
        let status = command.status()?;
        anyhow::ensure!(status.success(), "{command:?}: {status}");
    }
    Ok(began.elapsed())
}

/// Word of a command that stands for a file to which the program writes the nanoseconds that count.
pub(crate) const TIME_FILE: &str = "{time}";

/// Runs the command `words` in `folder`, `count` times. Returns the elapsed time, or the time that
/// the program wrote to [`TIME_FILE`].
fn whole(folder: &Path, words: &[OsString], count: u64) -> Result<Duration> {
    let (program, args) = words.split_first().context("no program")?;
    let file = tempfile::NamedTempFile::new()?;
    let tells_time = args.iter().any(|word| word == TIME_FILE);
    let args = args.iter().map(|word| if word == TIME_FILE { file.path().as_os_str() } else { word });
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    let mut sum = Duration::ZERO;
    for _ in 0..count {
        let began = Instant::now();
        let status = command.status()?;
        let elapsed = began.elapsed();
        anyhow::ensure!(status.success(), "{command:?}: {status}");
        sum += match tells_time {
            true => Duration::from_nanos(fs::read_to_string(file.path())?.trim().parse()?),
            false => elapsed,
        };
    }
    Ok(sum)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("kwasmi-bench: {error:#}");
            ExitCode::from(125)
        }
    }
}
