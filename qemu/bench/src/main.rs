// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! `kwasmi-bench`: what `scripts/bench` does, inside the build root and inside the VM.
//!
//!     kwasmi-bench drive     has everything measured, prints tables, draws plots, compares
//!     kwasmi-bench measure   measures here, and writes a JSON file
//!     kwasmi-bench bpf       does a piece of work, as `guests/bench` does, by eBPF
//!     kwasmi-bench anew      begins a program again and again
//!     kwasmi-bench limit     the same, by a kernel module without Wasm

mod bpf;
mod case;
mod client;
mod compare;
mod contestant;
mod drive;
mod facts;
mod limit;
mod measure;
mod memcached;
mod plot;
mod result;
mod sample;
mod statistics;
mod table;
mod wrk;

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::PathBuf,
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
    contestant::Tools,
    measure::{
        Effort,
        measure, //
    },
    result::Place,
    sample::Sampler,
    wrk::Wrk,
};

/// Measures guests in the kernel against what a user would run instead.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Has everything measured, and tells what came out.
    Drive(drive::Options),
    /// Measures here.
    Measure(MeasureOptions),
    /// Begins a program with nothing on its standard input and waits for its end, as often as standard input says; prints how
    /// many nanoseconds that took.
    Anew {
        /// The program, and its arguments.
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Does a piece of work by the kernel module that is the limit, as often as standard input says; prints how many nanoseconds that took.
    Limit {
        /// What to do.
        work: String,
        /// Arguments of the work.
        args: Vec<String>,
    },
    /// As above, by eBPF.
    Bpf {
        /// What to do.
        work: String,
    },
}

#[derive(Args, Debug)]
struct MeasureOptions {
    /// Cases and groups of them; everything if there is none.
    names: Vec<String>,
    /// Fewer and shorter samples.
    #[arg(long)]
    quick: bool,
    /// Where this is.
    #[arg(long)]
    place: Place,
    /// The `kwasmi` command, if there is a kernel module.
    #[arg(long)]
    kwasmi: Option<PathBuf>,
    /// `kwasmi-native`.
    #[arg(long)]
    engine: PathBuf,
    /// `kwasmi-rivals`.
    #[arg(long)]
    rivals: PathBuf,
    /// `kwasmi_limit.ko`, which is loaded.
    #[arg(long)]
    limit: Option<PathBuf>,
    /// What starts memcached, where it could be fetched.
    #[arg(long)]
    memcached: Option<PathBuf>,
    /// What starts wrk, where it could be fetched.
    #[arg(long)]
    wrk: Option<PathBuf>,
    /// The folder of guests.
    #[arg(long)]
    guests: PathBuf,
    /// The folder to write to.
    #[arg(long)]
    output: PathBuf,
}

/// The cases called `names`, or in groups that are.
fn chosen(names: &[String]) -> Result<Vec<Case>> {
    for name in names {
        let is_known = CASES.iter().any(|case| case.name == name || case.group == name);
        anyhow::ensure!(is_known, "there is no benchmark '{name}'");
    }
    let is_chosen = |case: &&Case| names.is_empty() || names.iter().any(|name| name == case.name || name == case.group);
    Ok(CASES.iter().filter(is_chosen).copied().collect())
}

fn measure_here(options: &MeasureOptions) -> Result<()> {
    if let Some(limit) = &options.limit {
        anyhow::ensure!(options.place != Place::Host, "no module is loaded on the host");
        limit::load(limit)?;
    }
    let tools = Tools {
        own: env::current_exe()?,
        kwasmi: options.kwasmi.clone(),
        engine: options.engine.clone(),
        rivals: options.rivals.clone(),
        guest: options.guests.join("bench.wasm"),
        batch_guest: options.guests.join("bench-batch.wasm"),
        twin: options.guests.join("native/bench"),
        memcached: options.memcached.clone(),
    };
    let effort = Effort::new(options.place, options.quick);
    let wrk = options.wrk.as_deref().and_then(|program| Wrk::find(program, effort.sample));
    let measurements = measure(&Sampler::new(tools, wrk)?, &chosen(&options.names)?, options.place, effort)?;
    fs::create_dir_all(&options.output)?;
    let path = options.output.join(format!("{}.json", options.place.name()));
    Ok(fs::write(path, serde_json::to_string_pretty(&measurements)?)?)
}

/// Does `work` as often as each line of standard input says.
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
        Subcommands::Limit { work, args } => work_on(limit::run, &work, &args),
        Subcommands::Anew { command } => {
            for line in io::stdin().lines() {
                println!("{}", anew(&command, line?.trim().parse()?)?.as_nanos());
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

/// How long it takes to begin `words` and wait for their end, `count` times.
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
