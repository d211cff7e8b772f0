// SPDX-License-Identifier: GPL-2.0

//! The command line of all commands but those in [`service`] and [`signing`].

pub mod boot;
pub mod service;
pub mod signing;

use self::{
    boot::ConfigCommand,
    service::{
        CallArgs,
        LogsArgs,
        NameArgs,
        PsArgs,
        RmArgs,
        SpawnArgs,
        StatsArgs,
        TopArgs,
        UpgradeArgs,
        WaitArgs, //
    },
    signing::{
        DenyArgs,
        KeyCommand,
        MinVersionArgs,
        SignArgs,
        VerifyArgs, //
    },
};
use crate::{
    device::Engine,
    guest_fds::{
        self,
        Directory, //
    },
    limits::{
        Limit,
        RequestedLimits, //
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
use clap_complete::Shell;
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
  the guest's own, if it exited
  124  a limit was reached: fuel, time, memory, ...; or memory ran out
  125  kwasmi itself failed, or cannot do what the options say
  126  the module was refused, or the file is not a module
  127  the file or the device does not exist
  134  the guest trapped
  128+n  signal n ended the command; 137 also if the guest was killed
With --sigpipe, SIGPIPE ends the command when the guest writes to a pipe without a reader.";

/// Runs WebAssembly programs inside the Linux kernel.
#[derive(Clone, Debug, Parser)]
#[command(name = "kwasmi", version, after_help = EXIT_STATUS)]
pub struct Cli {
    /// Command to execute.
    #[command(subcommand)]
    pub command: Command,
}

/// A command.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run a program in the kernel
    Run(Box<RunArgs>),
    /// Keep modules loaded in the kernel until a signal ends this command; `run` then shares their
    /// translated code
    Load(Box<LoadArgs>),
    /// Start a program as a service: it runs in the background, under a name
    Spawn(Box<SpawnArgs>),
    /// List the services
    Ps(PsArgs),
    /// Print the counters of services: runs, host calls, CPU time, memory
    Stats(StatsArgs),
    /// Show the counters of services periodically, sorted by CPU time
    Top(TopArgs),
    /// Print the output of a service
    Logs(LogsArgs),
    /// Wait until a service has ended, and exit with its status
    Wait(WaitArgs),
    /// Call a function of a service
    Call(CallArgs),
    /// Replace the program of a running service
    Upgrade(UpgradeArgs),
    /// End a service and remove its name
    Stop(NameArgs),
    /// End a service; its name, its output and its exit status stay until `rm`
    Kill(NameArgs),
    /// Remove the name of a service that has ended
    Rm(RmArgs),
    /// Show the contents of a module and the reasons for which it would be refused; needs no kernel
    /// module
    Inspect(InspectArgs),
    /// Show the machine code of a module
    Dump(DumpArgs),
    /// Sign a module; needs no kernel module
    Sign(SignArgs),
    /// Check a signed module as the kernel module would; needs no kernel module
    Verify(VerifyArgs),
    /// Make keys, and manage the keys whose signatures the kernel module accepts
    #[command(subcommand)]
    Key(KeyCommand),
    /// Deny modules, or list the denied ones: they are neither loaded nor started until the kernel
    /// module is unloaded
    Deny(DenyArgs),
    /// Set the minimum version of the modules with a name, or list the minimum versions: older
    /// modules are neither loaded nor started
    MinVersion(MinVersionArgs),
    /// Show the verification policy
    Policy(ReportArgs),
    /// Show the versions of this command and of the kernel module
    Version(ReportArgs),
    /// Show what the kernel module holds: modules, instances, memory
    Status(ReportArgs),
    /// Show the limits of the kernel module: defaults and ceilings
    Limits(ReportArgs),
    /// Check the files in /etc/kwasmi that describe services for the boot
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the script that completes this command's words in a shell
    Completions(CompletionsArgs),
    /// Write manual pages into a directory, a file for each command
    Man(ManArgs),
}

/// Environment, descriptors and engine of a guest.
#[derive(Args, Clone, Debug)]
pub struct GuestArgs {
    /// Variable of the guest's environment, repeatable; the environment is empty by default
    #[arg(long, value_name = "NAME=VALUE", value_parser = OsStringValueParser::new().try_map(|text| Variable::parse(&text)))]
    pub env: Vec<Variable>,

    /// Pass the environment of this command to the guest; --env overrides single variables
    #[arg(long)]
    pub inherit_env: bool,

    /// Directory for the guest, repeatable: host path, guest path (default: HOST), and read-only
    /// (:ro) or read-write access (:rw, default); guest descriptors 3 and up
    #[arg(long, value_name = "HOST[::GUEST][:ro|:rw]")]
    #[arg(value_parser = OsStringValueParser::new().try_map(|text| Directory::parse(&text)))]
    pub dir: Vec<Directory>,

    /// Address and port of a listening TCP socket for the guest, repeatable, such as 127.0.0.1:8080
    /// (host names are not resolved); guest descriptors after the directories
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = guest_fds::parse_address)]
    pub tcp_listen: Vec<SocketAddr>,

    /// Number of an inherited descriptor to pass to the guest, repeatable; guest descriptors after
    /// the sockets
    #[arg(long, value_name = "N", value_parser = guest_fds::parse_fd, allow_negative_numbers = true)]
    pub fd: Vec<RawFd>,

    /// Engine.
    #[command(flatten)]
    pub engine: EngineArg,
}

/// Arguments of `run`.
#[derive(Args, Clone, Debug)]
#[command(override_usage = "kwasmi run [OPTIONS] FILE [ARG]...", after_help = EXIT_STATUS)]
pub struct RunArgs {
    /// Environment, descriptors and engine of the guest.
    #[command(flatten)]
    pub guest: GuestArgs,

    /// Exported function to call in place of _start, after _initialize if that is exported; the
    /// arguments after FILE are numbers for its parameters, and its results are printed
    #[arg(long, value_name = "NAME")]
    pub invoke: Option<String>,

    /// File for the guest's standard input (default: that of this command)
    #[arg(long, value_name = "FILE")]
    pub stdin: Option<PathBuf>,

    /// End by SIGPIPE when the guest writes to a pipe or stream socket without a reader, as other
    /// filters do (default: the write fails in the guest)
    #[arg(long)]
    pub sigpipe: bool,

    /// After the run, print a line of statistics on standard error: fuel, memory (bytes), time (ms)
    #[arg(long)]
    pub stats: bool,

    /// Print the statistics and the end of the run as a line of JSON (docs/stats.md) on standard
    /// error, also if the guest did not start
    #[arg(short, long)]
    pub json: bool,

    /// The program's file and its arguments. One list, so that nothing after the file is parsed as
    /// an option.
    #[arg(value_name = "FILE", required = true, trailing_var_arg = true)]
    #[arg(help = "Program, in Wasm or its text format (\"-\": standard input), followed by its arguments")]
    pub program: Vec<OsString>,

    /// Limits. The last field, because options after it would appear under the heading of the
    /// limits.
    #[command(flatten)]
    pub limits: LimitArgs,
}

impl RunArgs {
    /// Returns the program's file and its arguments.
    #[must_use]
    pub fn file_and_args(&self) -> (&Path, &[OsString]) {
        file_and_args(&self.program)
    }
}

/// Splits the words behind the options into the program's file and its arguments.
fn file_and_args(program: &[OsString]) -> (&Path, &[OsString]) {
    match program.split_first() {
        Some((file, args)) => (Path::new(file), args),
        None => (Path::new(""), &[]),
    }
}

/// Heading of the options for limits.
const LIMITS: &str = "Limits (SIZE in bytes or with K, M, G or T; DURATION in seconds or with ns, us, ms, s, m or h; \
    kwasmi limits prints the defaults)";

/// Declares the options for limits: attributes for clap, field, and limit.
macro_rules! limit_args {
    ($($(#[$attribute:meta])* $field:ident: $limit:ident;)*) => {
        /// Options for limits. The kernel module's defaults apply to those that are not given.
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
            /// Returns the limits that were given.
            #[must_use]
            pub fn requested(&self) -> RequestedLimits {
                let all = [$((Limit(uapi::$limit), self.$field)),*];
                all.into_iter().filter_map(|(limit, value)| Some((limit, value?))).collect()
            }
        }
    };
}

limit_args! {
    /// Fuel, about one unit per instruction
    #[arg(value_name = "N")]
    fuel: KWASMI_LIMIT_FUEL;
    /// Linear memory, such as 64M
    #[arg(value_name = "SIZE")]
    memory: KWASMI_LIMIT_MEMORY;
    /// Real time for loading, and again for running, such as 1.5s or 500ms; in seconds without a
    /// unit
    #[arg(value_name = "DURATION")]
    timeout: KWASMI_LIMIT_TIME;
    /// CPU time for loading, and again for running; in seconds without a unit
    #[arg(value_name = "DURATION")]
    cpu_time: KWASMI_LIMIT_CPU_TIME;
    /// Wasm stack, such as 256K: values, and 64 bytes per call
    #[arg(value_name = "SIZE")]
    stack: KWASMI_LIMIT_STACK;
    /// Elements of all tables
    #[arg(value_name = "N")]
    table: KWASMI_LIMIT_TABLE;
    /// Engine memory for the guest, linear memory included
    #[arg(value_name = "SIZE")]
    heap: KWASMI_LIMIT_HEAP;
    /// Open descriptors
    #[arg(value_name = "N")]
    fds: KWASMI_LIMIT_FDS;
    /// Size of the module
    #[arg(value_name = "SIZE")]
    module_size: KWASMI_LIMIT_MODULE_SIZE;
    /// Engine memory for the translated module
    #[arg(value_name = "SIZE")]
    code: KWASMI_LIMIT_CODE;
    /// Functions of the module
    #[arg(value_name = "N")]
    functions: KWASMI_LIMIT_FUNCTIONS;
    /// Code size of one function
    #[arg(value_name = "SIZE")]
    function_size: KWASMI_LIMIT_FUNCTION_SIZE;
    /// Locals of one function, parameters excluded
    #[arg(value_name = "N")]
    locals: KWASMI_LIMIT_LOCALS;
    /// Parameters of one function type, or results
    #[arg(value_name = "N")]
    arity: KWASMI_LIMIT_ARITY;
    /// Globals of the module
    #[arg(value_name = "N")]
    globals: KWASMI_LIMIT_GLOBALS;
    /// Data segments of the module
    #[arg(value_name = "N")]
    data_segments: KWASMI_LIMIT_DATA_SEGMENTS;
    /// Element segments of the module
    #[arg(value_name = "N")]
    element_segments: KWASMI_LIMIT_ELEMENT_SEGMENTS;
}

/// Option for the engine.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct EngineArg {
    /// Engine that runs the module
    #[arg(long, value_name = "ENGINE", value_enum, default_value_t, hide_possible_values = true)]
    #[arg(
        help = "Engine: compiler (fails if the module cannot be compiled), interpreter, or auto (compiles if possible; run \
        interprets a module of over 1 MiB, unless load keeps it compiled; a module with a limit of fuel is interpreted)"
    )]
    pub engine: Engine,
}

/// Arguments of `load`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Prints the SHA-256 and the name of each program on a line, and closes standard output when all programs are loaded. run
shares the translated code of a program with the same bytes and the same limits for code: functions, function-size, locals,
arity, globals, data-segments, element-segments, stack, code.

Exit status:
  none once all programs are loaded: a signal ends the command
  124  a limit was reached
  125  kwasmi itself failed
  126  a module was refused
  127  a file or the device does not exist")]
pub struct LoadArgs {
    /// Programs, in Wasm or its text format ("-": standard input)
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Engine.
    #[command(flatten)]
    pub engine: EngineArg,

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
  127  the file does not exist")]
pub struct InspectArgs {
    /// Print JSON
    #[arg(short, long)]
    pub json: bool,

    /// Module, in Wasm or its text format ("-": standard input)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `dump`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Loads the module into the kernel, which compiles it. Needs CAP_SYS_ADMIN and CAP_SYSLOG.

Exit status:
  0    the machine code was printed
  124  a limit was reached
  125  kwasmi itself failed, the module is not compiled, or there is no such function
  126  the module was refused
  127  the file or the device does not exist")]
pub struct DumpArgs {
    /// Print JSON
    #[arg(short, long)]
    pub json: bool,

    /// Print the bytes of the machine code only
    #[arg(long)]
    pub raw: bool,

    /// Module, in Wasm or its text format ("-": standard input)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Function: name in the name section or of an export, or index (default: all functions)
    #[arg(value_name = "FUNCTION")]
    pub function: Option<String>,
}

/// Arguments of `completions`.
#[derive(Args, Clone, Copy, Debug)]
pub struct CompletionsArgs {
    /// Shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// Directory, which must exist
    #[arg(value_name = "DIRECTORY")]
    pub directory: PathBuf,
}

/// Arguments of commands that print a report.
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
    fn arguments_after_the_file_belong_to_the_guest() {
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
        assert_eq!(args.guest.env.len(), 2);
        assert_eq!(args.limits.memory.map(NonZeroU64::get), Some(64 << 20));
        assert_eq!(args.limits.requested().len(), 2);
        assert_eq!(args.limits.timeout.map(NonZeroU64::get), Some(500_000_000));
        assert!(args.stats && args.json);
    }
}
