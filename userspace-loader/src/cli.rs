// SPDX-License-Identifier: GPL-2.0

//! The command line.

use crate::{
    duration,
    size,
    strings::Variable, //
};
use clap::{
    Args,
    Parser,
    Subcommand,
    builder::{
        OsStringValueParser,
        TypedValueParser as _, //
    }, //
};
use std::{
    ffi::OsString,
    num::NonZeroU64,
    path::{
        Path,
        PathBuf, //
    }, //
};

const EXIT_STATUS: &str = "\
Exit status:
  the guest's own, when it ran to an end
  124  a limit ended the guest: fuel, time, memory
  125  kwasmi itself failed
  126  the module was refused
  127  there is no such file or device
  134  the guest trapped
  137  the guest was killed";

/// Runs WebAssembly programs inside the Linux kernel.
#[derive(Clone, Debug, Parser)]
#[command(name = "kwasmi", version, after_help = EXIT_STATUS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run a program in the kernel
    Run(RunArgs),
    /// Tell what is in a module and whether it would run; needs no kernel module
    Inspect(InspectArgs),
    /// Print the versions of this command and of the kernel module
    Version(ReportArgs),
    /// Print what the kernel module holds: modules, instances, memory
    Status(ReportArgs),
}

/// Arguments of `run`.
#[derive(Args, Clone, Debug)]
#[command(override_usage = "kwasmi run [OPTIONS] FILE [ARG]...", after_help = EXIT_STATUS)]
pub struct RunArgs {
    /// Set a variable of the guest's environment, which is empty otherwise; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = OsStringValueParser::new().try_map(|text| Variable::parse(&text)))]
    pub env: Vec<Variable>,

    /// Hand the caller's environment to the guest; --env overrides it
    #[arg(long)]
    pub inherit_env: bool,

    /// End the guest after about this many instructions [default: no limit]
    #[arg(long, value_name = "N")]
    pub fuel: Option<NonZeroU64>,

    /// Let a linear memory grow no larger, such as 64M [default: the kernel module's]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub memory: Option<NonZeroU64>,

    /// Let the engine take no more memory for the guest, linear memories included [default: the kernel module's]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub heap: Option<NonZeroU64>,

    /// Let the guest's value stack grow no larger, such as 256K [default: the kernel module's]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub stack: Option<NonZeroU64>,

    /// End the guest after this time, such as 2s or 500ms [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub timeout: Option<NonZeroU64>,

    /// At the end, print on standard error what the guest took: fuel, memory, time
    #[arg(long)]
    pub stats: bool,

    /// With --stats: print it as JSON
    #[arg(short, long, requires = "stats")]
    pub json: bool,

    /// The program's file and its arguments: one list, so that nothing after the file is taken for an option.
    #[arg(value_name = "FILE", required = true, trailing_var_arg = true)]
    #[arg(help = "The program: Wasm, or its text format if the name ends in .wat; what follows are its arguments")]
    pub program: Vec<OsString>,
}

impl RunArgs {
    /// The program's file, and its arguments.
    #[must_use]
    pub fn file_and_args(&self) -> (&Path, &[OsString]) {
        match self.program.split_first() {
            Some((file, args)) => (Path::new(file), args),
            None => (Path::new(""), &[]),
        }
    }
}

/// Arguments of `inspect`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Exit status:
  0    the module would run
  125  kwasmi itself failed
  126  the module would be refused
  127  there is no such file")]
pub struct InspectArgs {
    /// Print JSON
    #[arg(short, long)]
    pub json: bool,

    /// The module: Wasm, or its text format if the name ends in .wat
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `version` and `status`.
#[derive(Args, Clone, Copy, Debug)]
pub struct ReportArgs {
    /// Print JSON
    #[arg(short, long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn run(args: &[&str]) -> Result<RunArgs, clap::Error> {
        let args = ["kwasmi", "run"].iter().chain(args);
        match Cli::try_parse_from(args)?.command {
            Command::Run(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_the_file_is_the_guests() {
        let args = run(&["--fuel", "5", "a.wasm", "--fuel", "6", "-j", "--help", "--", "x", ""]).expect("valid");
        let (file, rest) = args.file_and_args();
        assert_eq!(file, Path::new("a.wasm"));
        assert_eq!(rest, ["--fuel", "6", "-j", "--help", "--", "x", ""]);
        assert_eq!(args.fuel.map(NonZeroU64::get), Some(5));
        assert!(!args.json);
        let args = run(&["--", "-a.wasm", "--fuel"]).expect("valid");
        assert_eq!(args.program, ["-a.wasm", "--fuel"]);
    }

    #[test]
    fn values_are_checked() {
        let wrong: [&[&str]; 9] = [
            &[],
            &["--fuel", "0", "a"],
            &["--fuel", "-1", "a"],
            &["--memory", "64X", "a"],
            &["--timeout", "soon", "a"],
            &["--env", "A", "a"],
            &["--env", "=A", "a"],
            &["--json", "a"],
            &["--nonsense", "a"],
        ];
        for args in wrong {
            assert!(run(args).is_err(), "{args:?}");
        }
        let args = run(&["--env", "A=1", "--env=B=", "--memory", "64M", "--timeout=500ms", "--stats", "-j", "a"])
            .expect("valid");
        assert_eq!(args.env.len(), 2);
        assert_eq!(args.memory.map(NonZeroU64::get), Some(64 << 20));
        assert_eq!(args.timeout.map(NonZeroU64::get), Some(500_000_000));
        assert!(args.stats && args.json);
    }
}
