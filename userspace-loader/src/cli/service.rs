// SPDX-License-Identifier: GPL-2.0

//! The command line of the commands for services: `spawn`, `ps`, `stats`, `top`, `call`, `logs`,
//! `wait`, `upgrade`, `stop`, `kill` and `rm`.

use super::{
    EngineArg,
    GuestArgs,
    LimitArgs,
    file_and_args, //
};
use crate::{
    duration,
    service::{
        Name,
        ring::{
            CAPACITY_MAX,
            CAPACITY_MIN, //
        }, //
    },
    size, //
};
use clap::Args;
use std::{
    ffi::OsString,
    num::{
        NonZeroU32,
        NonZeroU64, //
    },
    path::{
        Path,
        PathBuf, //
    }, //
};

/// Upper bound of the instances of a service: that of the kernel module.
const INSTANCES_MAX: u32 = 4096;

/// Default of `--max-restarts`.
const MAX_RESTARTS: u32 = 10;

/// Parses the size of a log.
///
/// # Errors
///
/// A message if `text` is not a size from [`CAPACITY_MIN`] to [`CAPACITY_MAX`].
pub fn log_size(text: &str) -> Result<NonZeroU64, String> {
    let size = size::parse(text)?;
    if (CAPACITY_MIN..=CAPACITY_MAX).contains(&size.get()) {
        Ok(size)
    } else {
        Err("expected a size from 4K to 1G".to_owned())
    }
}

/// Parses the number of instances of a service.
///
/// # Errors
///
/// A message if `text` is not a number from 1 to [`INSTANCES_MAX`].
pub fn instances(text: &str) -> Result<NonZeroU32, String> {
    let number = text.parse::<NonZeroU32>().ok().filter(|number| number.get() <= INSTANCES_MAX);
    number.ok_or_else(|| format!("expected a number from 1 to {INSTANCES_MAX}"))
}

/// Arguments of `spawn`.
#[derive(Args, Clone, Debug)]
#[command(
    override_usage = "kwasmi spawn [OPTIONS] NAME FILE [ARG]...",
    after_help = "\
A separate kwasmi process, the supervisor, runs the service. It inherits the resource limits, cgroup and user of the
caller, and the service ends when the supervisor ends. If the guest exits with 0, the supervisor ends. Otherwise the
supervisor keeps the name, the output and the exit status until kwasmi rm, or until kwasmi spawn uses the name again.

Exit status:
  0    the service has started; with --foreground the guest's own status, as for run
  124  a limit was reached, or memory ran out
  125  kwasmi itself failed, or the name is in use
  126  the module was refused, or the file is not a module
  127  the file or the device does not exist"
)]
pub struct SpawnArgs {
    /// Environment, descriptors and engine of the guest.
    #[command(flatten)]
    pub guest: GuestArgs,

    /// File for the guest's standard input (default: /dev/null)
    #[arg(long, value_name = "FILE")]
    pub stdin: Option<PathBuf>,

    /// Size of the ring buffer that keeps the guest's last output for kwasmi logs
    #[arg(long, value_name = "SIZE", default_value = "64K", value_parser = log_size)]
    pub log_size: NonZeroU64,

    /// Run N instances of the program (1 to 4096), and replace instances that fail. All instances
    /// serve the calls and the sockets of the service
    #[arg(long, value_name = "N", value_parser = instances)]
    pub instances: Option<NonZeroU32>,

    /// Maximum number of consecutive replacements of each of the N instances; the next failure ends
    /// the service. An instance that has run for 10 s resets the count
    #[arg(long, value_name = "N", default_value_t = MAX_RESTARTS, requires = "instances")]
    pub max_restarts: u32,

    /// Run the service in this process, copy its output to standard output and standard error, and
    /// exit with its status; for service managers such as systemd
    #[arg(long)]
    pub foreground: bool,

    /// Set in the command line of the supervisor, which `spawn` starts.
    #[arg(long, hide = true, conflicts_with = "foreground")]
    pub supervisor: bool,

    /// Name of the service: 1 to 64 characters of a-z 0-9 . _ -
    #[arg(value_name = "NAME")]
    pub name: Name,

    /// The program's file and its arguments, as for `run`.
    #[arg(value_name = "FILE", required = true, trailing_var_arg = true)]
    #[arg(help = "Program, in Wasm or its text format (\"-\": standard input), followed by its arguments")]
    pub program: Vec<OsString>,

    /// Limits. This is the last field, because the help would print later options under the heading
    /// of the limits.
    #[command(flatten)]
    pub limits: LimitArgs,
}

impl SpawnArgs {
    /// Returns the program's file and its arguments.
    #[must_use]
    pub fn file_and_args(&self) -> (&Path, &[OsString]) {
        file_and_args(&self.program)
    }
}

/// Arguments of `ps`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Memory and CPU time are those of the supervisor, and include those of the guest. The CPU time of calls that run in
their callers is not included; kwasmi stats prints it.")]
pub struct PsArgs {
    /// Print JSON
    #[arg(short, long)]
    pub json: bool,

    /// Services to list (default: all)
    #[arg(value_name = "NAME")]
    pub names: Vec<Name>,
}

/// Arguments of `stats`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Prints a table of all services, or all counters of the named ones. docs/stats.md describes the counters.")]
pub struct StatsArgs {
    /// Print JSON
    #[arg(short, long)]
    pub json: bool,

    /// Print the counters of the services and the resources of the kernel module in the text format
    /// of Prometheus
    #[arg(long, conflicts_with = "json")]
    pub prometheus: bool,

    /// Services (default: all)
    #[arg(value_name = "NAME")]
    pub names: Vec<Name>,
}

/// Arguments of `top`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
%CPU and CALLS/S are those of the last interval. On a terminal, q or Ctrl-C ends the command. Elsewhere it prints one table
after another.")]
pub struct TopArgs {
    /// Time between two tables, such as 500ms; a number without a unit is in seconds
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration::parse)]
    pub interval: NonZeroU64,

    /// Number of tables (default: no limit)
    #[arg(short = 'n', long, value_name = "N")]
    pub iterations: Option<u64>,

    /// Services (default: all)
    #[arg(value_name = "NAME")]
    pub names: Vec<Name>,
}

/// Arguments of `logs`.
#[derive(Args, Clone, Debug)]
pub struct LogsArgs {
    /// Print a line of JSON on standard output for each line of the log
    #[arg(short, long, conflicts_with = "timestamps")]
    pub json: bool,

    /// Print new output, too, until the service ends
    #[arg(short, long)]
    pub follow: bool,

    /// Print the time (UTC) before each line
    #[arg(short, long)]
    pub timestamps: bool,

    /// Name of the service
    #[arg(value_name = "NAME")]
    pub name: Name,
}

/// Arguments of `wait`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
A service that exits with 0 loses its name: start kwasmi wait before that.

Exit status:
  the guest's own, if it exited
  124  a limit was reached, memory ran out, or the time of --timeout is over
  125  kwasmi itself failed
  127  there is no such service, or it has exited with 0 before
  134  the guest trapped
  137  the guest was killed")]
pub struct WaitArgs {
    /// Print how the guest ended as JSON
    #[arg(short, long)]
    pub json: bool,

    /// Longest time to wait, such as 1.5s or 500ms; a number without a unit is in seconds
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub timeout: Option<NonZeroU64>,

    /// Name of the service
    #[arg(value_name = "NAME")]
    pub name: Name,
}

/// Arguments of `call`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Prints the results of the function, one per line; with -j as JSON (docs/calls.md).

Exit status:
  0    the function has returned
  124  a limit of the service was reached, memory ran out, or the time of --timeout is over
  125  kwasmi itself failed, the function cannot be called, or the service has ended before the call
  127  there is no such service
  134  the guest trapped
  137  the guest was killed
If the guest exits during the call, the exit status is the guest's own; 125 if that is 0.")]
pub struct CallArgs {
    /// Print JSON
    #[arg(short, long)]
    pub json: bool,

    /// File that the function can read, of at most 1 MiB ("-": standard input)
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,

    /// File for the bytes that the function writes, at most 1 MiB ("-": standard output)
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Longest time to wait, such as 1.5s or 500ms; a number without a unit is in seconds
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub timeout: Option<NonZeroU64>,

    /// Name of the service
    #[arg(value_name = "NAME")]
    pub name: Name,

    /// Name of the exported function
    #[arg(value_name = "FUNCTION")]
    pub function: String,

    /// Arguments of the function: numbers
    #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<OsString>,
}

/// Arguments of `upgrade`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Loads the new program. The supervisor of the service starts it with the options that kwasmi spawn was given, and then
gives it the name of the service. Until the new program has the name, the former program serves all calls. The former
program then finishes its running and queued calls, and ends. If the new program is refused or traps, or its function
kwasmi_health does not return 0, the former program keeps the name. The limits below apply to the load; those of
kwasmi spawn apply to the guest.

Exit status:
  0    the new program has the name
  124  a limit was reached, memory ran out, or the time of --health-timeout is over
  125  kwasmi itself failed, or the service has ended
  126  the new program was refused, ended or is not healthy, or the file is not a module
  127  the file or the service does not exist")]
pub struct UpgradeArgs {
    /// Longest time for _initialize and kwasmi_health of a reactor to return
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    pub health_timeout: NonZeroU64,

    /// Time for which a new program with _start must run before it gets the name
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration::parse)]
    pub settle: NonZeroU64,

    /// Time after which the former program is killed (default: 30s for a reactor, which ends
    /// earlier after its last call; at once for other programs)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub drain: Option<NonZeroU64>,

    /// Name of the service
    #[arg(value_name = "NAME")]
    pub name: Name,

    /// New program, in Wasm or its text format ("-": standard input)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Engine.
    #[command(flatten)]
    pub engine: EngineArg,

    /// Limits of the load. This is the last field, as in [`SpawnArgs`].
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Arguments of `rm`.
#[derive(Args, Clone, Debug)]
pub struct RmArgs {
    /// First end the services that are still running
    #[arg(short, long)]
    pub force: bool,

    /// Names of the services
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<Name>,
}

/// Arguments of `stop` and `kill`.
#[derive(Args, Clone, Debug)]
pub struct NameArgs {
    /// Names of the services
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<Name>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{
        Cli,
        Command, //
    };
    use clap::Parser as _;

    fn spawn(args: &[&str]) -> Result<SpawnArgs, clap::Error> {
        match Cli::try_parse_from(["kwasmi", "spawn"].iter().chain(args))?.command {
            Command::Spawn(args) => Ok(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_come_before_the_name_or_before_the_file() {
        let args = spawn(&["--memory", "64M", "web", "--dir", "/srv", "a.wasm", "--dir", "x"]).expect("valid");
        assert_eq!(args.name.to_string(), "web");
        assert_eq!(args.guest.dir.len(), 1);
        let (file, rest) = args.file_and_args();
        assert_eq!(file, Path::new("a.wasm"));
        assert_eq!(rest, ["--dir", "x"]);
        assert_eq!(args.log_size.get(), 64 << 10);
        assert_eq!((args.instances, args.max_restarts), (None, 10));
        let args = spawn(&["--instances", "4", "--max-restarts", "0", "web", "a.wasm"]).expect("valid");
        assert_eq!((args.instances.map(NonZeroU32::get), args.max_restarts), (Some(4), 0));
    }

    #[test]
    fn values_are_checked() {
        let wrong: [&[&str]; 11] = [
            &[],
            &["web"],
            &["Web", "a.wasm"],
            &["", "a.wasm"],
            &["--log-size", "1K", "web", "a.wasm"],
            &["--log-size", "2G", "web", "a.wasm"],
            &["--instances", "0", "web", "a.wasm"],
            &["--instances", "4097", "web", "a.wasm"],
            &["--instances", "two", "web", "a.wasm"],
            &["--max-restarts", "3", "web", "a.wasm"],
            &["--foreground", "--supervisor", "web", "a.wasm"],
        ];
        for args in wrong {
            assert!(spawn(args).is_err(), "{args:?}");
        }
    }
}
