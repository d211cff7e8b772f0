// SPDX-License-Identifier: GPL-2.0

//! The command line.

pub mod signing;

use self::signing::{
    DenyArgs,
    KeyCommand,
    LeastArgs,
    SignArgs,
    VerifyArgs, //
};
use crate::{
    handed::{
        self,
        Directory, //
    },
    limits::{
        Asked,
        Limit, //
    },
    strings::Variable,
    uapi, //
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
    net::SocketAddr,
    num::NonZeroU64,
    os::fd::RawFd,
    path::{
        Path,
        PathBuf, //
    }, //
};

const EXIT_STATUS: &str = "\
Exit status:
  the guest's own, when it ran to an end
  124  a limit was reached: fuel, time, memory, ...
  125  kwasmi itself failed, or cannot do what the options say
  126  the module was refused, or is none
  127  there is no such file or device
  134  the guest trapped
  128+n  signal n ended it; 137 also if the guest was killed
With --sigpipe, SIGPIPE ends the command when the guest writes to a pipe that nobody reads.";

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
    Run(Box<RunArgs>),
    /// Keep programs in the kernel until this command is ended: meanwhile `run` need not translate what has the same bytes
    Load(Box<LoadArgs>),
    /// Tell what is in a module and whether it would run; needs no kernel module
    Inspect(InspectArgs),
    /// Sign a module; needs no kernel module
    Sign(SignArgs),
    /// Tell whether a signed module would be accepted; needs no kernel module
    Verify(VerifyArgs),
    /// Make keys, and tell the kernel module whose signatures count
    #[command(subcommand)]
    Key(KeyCommand),
    /// Deny modules: they are not loaded nor started any more, until the kernel module is unloaded
    Deny(DenyArgs),
    /// Set the least version of the modules of a name: older ones are not loaded nor started any more
    Least(LeastArgs),
    /// Print what it takes for a module to be loaded
    Policy(ReportArgs),
    /// Print the versions of this command and of the kernel module
    Version(ReportArgs),
    /// Print what the kernel module holds: modules, instances, memory
    Status(ReportArgs),
    /// Print the limits of the kernel module: defaults and ceilings
    Limits(ReportArgs),
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

    /// Hand a directory to the guest, which finds it as GUEST (else as HOST); with :ro nothing in it can change, with :rw
    /// or neither it can. May be repeated, with a GUEST of its own each; descriptors 3 and up
    #[arg(long, value_name = "HOST[::GUEST][:ro|:rw]")]
    #[arg(value_parser = OsStringValueParser::new().try_map(|text| Directory::parse(&text)))]
    pub dir: Vec<Directory>,

    /// Listen on this address, such as 127.0.0.1:8080 (names are not resolved), and hand the socket to the guest; may be
    /// repeated; the descriptors after the directories
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = handed::parse_address)]
    pub tcp_listen: Vec<SocketAddr>,

    /// Hand this descriptor of the caller to the guest; may be repeated; the descriptors after the sockets
    #[arg(long, value_name = "N", value_parser = handed::parse_fd, allow_negative_numbers = true)]
    pub fd: Vec<RawFd>,

    /// Read the guest's standard input from this file; otherwise it is the caller's
    #[arg(long, value_name = "FILE")]
    pub stdin: Option<PathBuf>,

    /// Die by SIGPIPE when the guest writes to a pipe that nobody reads, as other filters do; else the guest gets an error
    #[arg(long)]
    pub sigpipe: bool,

    /// When the guest has ended, however it did, print on standard error what it took: fuel, memory, time
    #[arg(long)]
    pub stats: bool,

    /// Print that as a line of JSON (docs/stats.md), with how the run ended; also if the guest was not even started
    #[arg(short, long)]
    pub json: bool,

    /// The program's file and its arguments: one list, so that nothing after the file is taken for an option.
    #[arg(value_name = "FILE", required = true, trailing_var_arg = true)]
    #[arg(help = "The program: Wasm, or its text format; \"-\" is standard input; what follows are its arguments")]
    pub program: Vec<OsString>,

    /// Limits: the last, since what follows would be under their heading in the help.
    #[command(flatten)]
    pub limits: LimitArgs,
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

/// The heading of the options for limits.
const LIMITS: &str = "Limits (SIZE in bytes or with K, M, G or T; DURATION in seconds or with ms, s, m or h; defaults: \
    kwasmi limits)";

/// Declares the options for limits: the field, the limit, what else clap is told.
macro_rules! limit_args {
    ($($(#[$attribute:meta])* $field:ident: $limit:ident;)*) => {
        /// The options for limits. What is not given is up to the kernel module; see `kwasmi limits`.
        #[derive(Args, Clone, Debug, Default)]
        #[command(next_help_heading = LIMITS)]
        pub struct LimitArgs {
            $(
                $(#[$attribute])*
                #[arg(long, allow_negative_numbers = true)]
                #[arg(value_parser = |text: &str| Limit(uapi::$limit).parse(text))]
                pub $field: Option<NonZeroU64>,
            )*
        }

        impl LimitArgs {
            /// Those that were given.
            #[must_use]
            pub fn asked(&self) -> Asked {
                let all = [$((Limit(uapi::$limit), self.$field)),*];
                all.into_iter().filter_map(|(limit, value)| Some((limit, value?))).collect()
            }
        }
    };
}

limit_args! {
    /// End the guest after about this many instructions
    #[arg(value_name = "N")]
    fuel: KWASMI_LIMIT_FUEL;
    /// Linear memory, such as 64M
    #[arg(value_name = "SIZE")]
    memory: KWASMI_LIMIT_MEMORY;
    /// End the guest after this time, such as 1.5s or 500ms; without a unit it is seconds
    #[arg(value_name = "DURATION")]
    timeout: KWASMI_LIMIT_TIME;
    /// End the guest after this much CPU time, as for --timeout
    #[arg(value_name = "DURATION")]
    cpu_time: KWASMI_LIMIT_CPU_TIME;
    /// The Wasm stack, such as 256K: values, and 64 bytes for each call
    #[arg(value_name = "SIZE")]
    stack: KWASMI_LIMIT_STACK;
    /// Elements of tables
    #[arg(value_name = "N")]
    table: KWASMI_LIMIT_TABLE;
    /// What the engine takes for the guest, linear memory included
    #[arg(value_name = "SIZE")]
    heap: KWASMI_LIMIT_HEAP;
    /// Open descriptors
    #[arg(value_name = "N")]
    fds: KWASMI_LIMIT_FDS;
    /// The module's size
    #[arg(value_name = "SIZE")]
    module_size: KWASMI_LIMIT_MODULE_SIZE;
    /// What the engine takes for the translated module
    #[arg(value_name = "SIZE")]
    code: KWASMI_LIMIT_CODE;
    /// The module's functions
    #[arg(value_name = "N")]
    functions: KWASMI_LIMIT_FUNCTIONS;
    /// The code of one function
    #[arg(value_name = "SIZE")]
    function_size: KWASMI_LIMIT_FUNCTION_SIZE;
    /// Locals of one function
    #[arg(value_name = "N")]
    locals: KWASMI_LIMIT_LOCALS;
    /// Parameters of one function type, or results
    #[arg(value_name = "N")]
    arity: KWASMI_LIMIT_ARITY;
    /// The module's globals
    #[arg(value_name = "N")]
    globals: KWASMI_LIMIT_GLOBALS;
    /// The module's data segments
    #[arg(value_name = "N")]
    data_segments: KWASMI_LIMIT_DATA_SEGMENTS;
    /// The module's element segments
    #[arg(value_name = "N")]
    element_segments: KWASMI_LIMIT_ELEMENT_SEGMENTS;
}

/// Arguments of `load`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
It prints a line for each program, its SHA-256 and its name, and closes its standard output when all are loaded. A program is
the same for `run` if its bytes are, and the limits for code: functions, function-size, locals, arity, globals,
data-segments, element-segments, stack, code.

Exit status:
  it has none: a signal ends it
  124  a limit was reached
  125  kwasmi itself failed
  126  a module was refused
  127  there is no such file or device")]
pub struct LoadArgs {
    /// The programs: Wasm, or its text format; "-" is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Limits.
    #[command(flatten)]
    pub limits: LimitArgs,
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

    /// The module: Wasm, or its text format; "-" is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of commands that only tell something.
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
            Command::Run(args) => Ok(*args),
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
        assert_eq!(args.limits.fuel.map(NonZeroU64::get), Some(5));
        assert!(!args.json);
        let args = run(&["--", "-a.wasm", "--fuel"]).expect("valid");
        assert_eq!(args.program, ["-a.wasm", "--fuel"]);
    }

    #[test]
    fn values_are_checked() {
        let wrong: [&[&str]; 15] = [
            &[],
            &["--fuel", "0", "a"],
            &["--fuel", "-1", "a"],
            &["--memory", "64X", "a"],
            &["--timeout", "soon", "a"],
            &["--env", "A", "a"],
            &["--env", "=A", "a"],
            &["--memory", "1", "a"],
            &["--dir", "::x", "a"],
            &["--dir", "x::/a:ro:ro", "a"],
            &["--fd", "-1", "a"],
            &["--tcp-listen", "8080", "a"],
            &["--tcp-listen", "localhost:8080", "a"],
            &["--fd", "three", "a"],
            &["--nonsense", "a"],
        ];
        for args in wrong {
            assert!(run(args).is_err(), "{args:?}");
        }
        let args = run(&["--env", "A=1", "--env=B=", "--memory", "64M", "--timeout=500ms", "--stats", "-j", "a"])
            .expect("valid");
        assert_eq!(args.env.len(), 2);
        assert_eq!(args.limits.memory.map(NonZeroU64::get), Some(64 << 20));
        assert_eq!(args.limits.asked().len(), 2);
        assert_eq!(args.limits.timeout.map(NonZeroU64::get), Some(500_000_000));
        assert!(args.stats && args.json);
    }
}
