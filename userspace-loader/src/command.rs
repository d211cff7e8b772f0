// SPDX-License-Identifier: GPL-2.0

//! Execution of the commands: reads their arguments, and prints results and failures.

mod boot;
mod call;
mod dump;
mod help;
mod key;
mod policy;
mod service;
mod sign;
mod supervisor;
mod upgrade;
mod watch;

use crate::{
    cli::{
        Cli,
        Command,
        GuestArgs,
        InspectArgs,
        LimitArgs,
        LoadArgs,
        ReportArgs,
        RunArgs,
        boot::ConfigCommand,
        signing::KeyCommand, //
    },
    device::{
        Engine,
        GuestFd,
        Identity,
        Info,
        Start,
        words, //
    },
    exit::Exit,
    failure::{
        Failure,
        line, //
    },
    guest_fds::GuestFds,
    inspect::Inspection,
    invoke::{
        self,
        Invocation, //
    },
    kernel_device::{
        self,
        KernelDevice, //
    },
    limits::Limit,
    report::{
        self,
        Contents,
        Limits,
        Status, //
    },
    run::{
        self,
        Program,
        Run, //
    },
    signals,
    source::{
        self,
        FILE_BYTES_MAX,
        Source, //
    },
    stats::Stats,
    stdio::{
        self,
        Stdio, //
    },
    strings::{
        self,
        Variable, //
    },
    uapi, //
};
use clap::{
    Parser as _,
    error::ErrorKind, //
};
use rustix::io::Errno;
use serde::Serialize;
use std::{
    env,
    ffi::OsString,
    io::{
        self,
        Write as _, //
    },
    path::Path,
    thread, //
};

/// Executes the command line `args`, prints failures on standard error, and returns how the process
/// must end. Must be called before the process opens any file: it records which standard streams
/// are open.
pub fn main(args: impl Iterator<Item = OsString>) -> Exit {
    let stdio = match Stdio::take() {
        Ok(stdio) => stdio,
        Err(errno) => {
            complain(&Failure::new(Exit::Failed, "/dev/null", words(errno.into())));
            return Exit::Failed;
        }
    };
    let args: Vec<OsString> = args.collect();
    if boot::is_generator(&args) {
        return boot::generate(&args);
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version arrive as an error, too.
            let exit = if error.use_stderr() { Exit::Failed } else { Exit::Guest(0) };
            let printed = match error.kind() {
                _ if !error.use_stderr() => error.print(),
                // A command without a subcommand prints its help, as an error.
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.print(),
                _ => writeln!(io::stderr(), "kwasmi: {}", usage(&error)),
            };
            return printed.map_or(Exit::Failed, |()| exit);
        }
    };
    let result = match &cli.command {
        Command::Run(args) => run(args, stdio),
        Command::Load(args) => load(args),
        Command::Spawn(args) => supervisor::spawn(args, stdio),
        Command::Ps(args) => service::ps(args),
        Command::Stats(args) => watch::stats(args),
        Command::Top(args) => watch::top(args),
        Command::Logs(args) => service::logs(args),
        Command::Wait(args) => service::wait(args),
        Command::Call(args) => call::call(args),
        Command::Upgrade(args) => upgrade::upgrade(args),
        Command::Stop(args) => service::stop(args),
        Command::Kill(args) => service::kill(args),
        Command::Rm(args) => service::rm(args),
        Command::Inspect(args) => inspect(args),
        Command::Dump(args) => dump::dump(args),
        Command::Sign(args) => sign::sign(args),
        Command::Verify(args) => sign::verify(args),
        Command::Key(KeyCommand::New(args)) => key::new(args),
        Command::Key(KeyCommand::List(args)) => key::list(*args),
        Command::Key(KeyCommand::Add(args)) => key::add(args),
        Command::Key(KeyCommand::Seal) => key::seal(),
        Command::Deny(args) => policy::deny(args),
        Command::MinVersion(args) => policy::min_version(args),
        Command::Policy(args) => policy::policy(*args),
        Command::Version(args) => version(*args),
        Command::Status(args) => status(*args),
        Command::Limits(args) => limits(*args),
        Command::Config(ConfigCommand::Check(args)) => boot::check(args),
        Command::Completions(args) => help::completions(*args),
        Command::Man(args) => help::man(args),
    };
    result.unwrap_or_else(|failure| {
        complain(&failure);
        failure.exit
    })
}

/// Returns the error of a command line as one line: clap's message without usage and reference to
/// the help.
fn usage(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let is_advice = |part: &&str| !part.starts_with("Usage:") && !part.starts_with("For more information");
    let parts = text.split("\n\n").take_while(is_advice).map(|part| match part.trim().strip_prefix("tip: ") {
        // The first tip is enough.
        Some(tips) => format!("({})", line(tips.lines().next().unwrap_or_default())),
        None => line(part),
    });
    let words = parts.collect::<Vec<_>>().join(" ");
    match error.kind() {
        // The message contains what is expected.
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => words,
        _ => words + "; see --help",
    }
}

/// Prints one line on standard error. If standard error is closed, the message is lost.
fn complain(what: &Failure) {
    let _ = writeln!(io::stderr(), "kwasmi: {what}");
}

/// Prints `text` on standard output.
fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// Prints `bytes` on standard output.
fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::new(Exit::Failed, "standard output", words(error)))
}

/// Formats `value` as a line of JSON.
fn json(value: &impl Serialize) -> Result<String, Failure> {
    match serde_json::to_string(value) {
        Ok(text) => Ok(text + "\n"),
        Err(error) => Err(Failure::new(Exit::Failed, "JSON", error.to_string())),
    }
}

fn open_device() -> Result<KernelDevice, Failure> {
    KernelDevice::open().map_err(|errno| {
        let hint = match errno {
            Errno::NOENT | Errno::NODEV | Errno::NXIO => " (is the kernel module loaded?)",
            Errno::ACCESS | Errno::PERM => " (are you root?)",
            _ => "",
        };
        let reason = words(errno.into()) + hint;
        Failure::new(Exit::of_open(errno), kernel_device::PATH, reason)
    })
}

/// Opens the device, and checks that its ioctl interface has the version of this command.
fn device() -> Result<KernelDevice, Failure> {
    let device = open_device()?;
    run::info(&device)?;
    Ok(device)
}

/// Returns the guest's arguments: the file's name without its folder, and `args`.
fn guest_args(file: &Path, args: &[OsString]) -> Result<Vec<u8>, String> {
    let name = file.file_name().unwrap_or(file.as_os_str());
    strings::join([name].into_iter().chain(args.iter().map(OsString::as_os_str)))
}

/// Reads the guest's standard input from the file at `path`.
fn read_from(stdio: &mut Stdio, path: &Path) -> Result<(), Failure> {
    stdio
        .read_from(path)
        .map_err(|errno| Failure::new(Exit::of_open(errno), path.to_string_lossy(), words(errno.into())))
}

/// Returns the guest's environment.
fn guest_env(args: &GuestArgs) -> Result<Vec<u8>, String> {
    let inherited = args.inherit_env.then(env::vars_os).into_iter().flatten();
    environment(inherited, &args.env)
}

/// Returns an environment: the inherited variables, overridden by the given ones.
fn environment(inherited: impl Iterator<Item = (OsString, OsString)>, given: &[Variable]) -> Result<Vec<u8>, String> {
    let inherited = inherited.map(|(name, value)| Variable { name, value });
    strings::join(strings::environment(inherited.chain(given.iter().cloned())))
}

fn run(args: &RunArgs, stdio: Stdio) -> Result<Exit, Failure> {
    let name = source::name(args.file_and_args().0);
    let (run, printed) = match run_program(args, &name, stdio) {
        Ok(run) => run,
        Err(failure) if args.json => {
            complain(&failure);
            print_stats(&Stats::of_failure(&name, &failure))?;
            return Ok(failure.exit);
        }
        Err(failure) => return Err(failure),
    };
    print(&printed)?;
    let exit = run.result.ending.exit();
    if let Some(reason) = run.result.reason() {
        complain(&Failure::new(exit, name.as_str(), reason));
    }
    let stats = Stats::new(&name, &run);
    if args.json {
        print_stats(&stats)?;
    } else if args.stats {
        complain(&Failure::new(exit, name, stats.to_string()));
    }
    if let Some(signal) = run.signal {
        signals::raise(signal);
    }
    Ok(exit)
}

/// Prints statistics on standard error, as a line of JSON.
fn print_stats(stats: &Stats) -> Result<(), Failure> {
    let _ = io::stderr().write_all(json(stats)?.as_bytes());
    Ok(())
}

/// Runs the program of the command line; `name` is its name in messages. Returns its end, and the
/// results of an invoked function as text.
fn run_program(args: &RunArgs, name: &str, mut stdio: Stdio) -> Result<(Run, String), Failure> {
    let (file, guest) = args.file_and_args();
    let source = Source::open(file)?;
    source.check()?;
    let device = device()?;
    let size_max = module_size_max(&device)?;
    if let Some(path) = &args.stdin {
        read_from(&mut stdio, path)?;
    }
    let wasm = source.into_wasm(size_max)?;
    let invoke = invocation(args.invoke.as_deref(), name, guest, &wasm)?;
    let guest_fds = GuestFds::open(&args.guest.dir, &args.guest.tcp_listen, &args.guest.fd)?;
    let mut fds = stdio.guest_fds();
    fds.extend_from_slice(guest_fds.as_slice());
    let start =
        Start { sigpipe: args.sigpipe, invoke, ..start_of(&args.guest, &args.limits, name, (file, guest), fds)? };
    let catches_signals = args.stats || args.json;
    let engine = match args.guest.engine.engine {
        Engine::Auto => Engine::AutoOnce,
        engine => engine,
    };
    let program = Program { wasm, name: name.to_owned(), start, engine, catches_signals };
    let run = run::run(&device, &program)?;
    let printed = program.start.invoke.map_or_else(String::new, |invoke| invoke.print(&run.results));
    Ok((run, printed))
}

/// Returns the settings of a guest with the descriptors `fds`; `name` is the name of its program in
/// messages. It calls no function in place of `_start`.
fn start_of(
    guest: &GuestArgs,
    limits: &LimitArgs,
    name: &str,
    (file, words): (&Path, &[OsString]),
    fds: Vec<GuestFd>,
) -> Result<Start, Failure> {
    let failed = |what: &str, reason: String| Failure::new(Exit::Failed, name, format!("{what}: {reason}"));
    Ok(Start {
        args: guest_args(file, words).map_err(|reason| failed("arguments", reason))?,
        env: guest_env(guest).map_err(|reason| failed("environment", reason))?,
        fds,
        limits: limits.requested(),
        ..Start::default()
    })
}

/// Returns the call of an exported function that the command line requests, if it does.
fn invocation(
    function: Option<&str>,
    name: &str,
    words: &[OsString],
    wasm: &[u8],
) -> Result<Option<Invocation>, Failure> {
    // The kernel module tells what is wrong with any other module.
    let Ok(functions) = invoke::exported(wasm) else {
        return Ok(None);
    };
    match (function, invoke::is_reactor(&functions)) {
        (Some(function), _) => Invocation::new(&functions, function, words)
            .map(Some)
            .map_err(|reason| Failure::new(Exit::Failed, name, reason)),
        (None, Some(reason)) => Err(Failure::new(Exit::Refused, name, reason)),
        (None, None) => Ok(None),
    }
}

/// Returns a note with the reason why the module is interpreted, if it is.
fn interpreted(name: &str, identity: &Identity) -> Option<String> {
    let reason = &identity.engine_reason;
    (!reason.is_empty()).then(|| format!("{}: interpreted: {}", line(name), line(reason)))
}

/// Prints a note on standard error. Without standard error, nobody reads it.
fn print_note(note: &str) {
    let _ = writeln!(io::stderr(), "kwasmi: {note}");
}

fn load(args: &LoadArgs) -> Result<Exit, Failure> {
    let device = device()?;
    let size_max = module_size_max(&device)?;
    let limits = args.limits.requested();
    let mut kept = Vec::new();
    for file in &args.files {
        let source = Source::open(file)?;
        source.check()?;
        let name = source::name(file);
        let loaded = run::load(&device, &name, &source.into_wasm(size_max)?, &limits, args.engine.engine)?;
        if let Some(note) = interpreted(&name, &loaded.identity) {
            print_note(&note);
        }
        print(&format!("{} {}\n", loaded.identity.sha256, line(&name)))?;
        kept.push(loaded);
    }
    // End of file tells a reader that all modules are loaded.
    stdio::close_output().map_err(|errno| Failure::new(Exit::Failed, "standard output", words(errno.into())))?;
    loop {
        thread::park();
    }
}

fn inspect(args: &InspectArgs) -> Result<Exit, Failure> {
    let source = Source::open(&args.file)?;
    let inspection = Inspection::new(&source.into_wasm(FILE_BYTES_MAX)?);
    let name = source::name(&args.file);
    if args.json {
        print(&json(&inspection)?)?;
    } else {
        print(&Contents(&line(&name), &inspection).to_string())?;
    }
    Ok(if inspection.refused.is_empty() { Exit::Guest(0) } else { Exit::Refused })
}

/// Output of `version --json`.
#[derive(Serialize)]
struct Versions {
    version: &'static str,
    abi: u32,
    kernel: Option<KernelVersion>,
}

/// Versions and features of the kernel module.
#[derive(Serialize)]
struct KernelVersion {
    version: String,
    abi: u32,
    features: Vec<&'static str>,
}

impl From<&Info> for KernelVersion {
    fn from(info: &Info) -> Self {
        Self { version: info.version.clone(), abi: info.abi, features: report::features(info.features) }
    }
}

fn version(args: ReportArgs) -> Result<Exit, Failure> {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let abi = crate::uapi::KWASMI_ABI;
    // A missing device is printed and is not a failure; a device that fails the ioctl is a failure.
    let info = match open_device() {
        Ok(device) => Ok(device_info(&device)?),
        Err(failure) => Err(failure),
    };
    if args.json {
        print(&json(&Versions { version: VERSION, abi, kernel: info.as_ref().ok().map(KernelVersion::from) })?)?;
    } else {
        let kernel = info.map_or_else(|failure| format!("kernel module: {failure}"), |info| report::version(&info));
        print(&format!("kwasmi {VERSION}, interface {abi}\n{kernel}\n"))?;
    }
    Ok(Exit::Guest(0))
}

/// Returns the device's information, without checking the version of the interface.
fn device_info(device: &KernelDevice) -> Result<Info, Failure> {
    use crate::device::Device as _;
    device.info().map_err(|refusal| Failure::new(Exit::Failed, kernel_device::PATH, refusal.to_string()))
}

/// Returns the largest module size that the device can accept, in bytes: the size up to which a
/// file must be read.
fn module_size_max(device: &KernelDevice) -> Result<u64, Failure> {
    use crate::device::Device as _;
    let limits =
        device.limits().map_err(|refusal| Failure::new(Exit::Failed, kernel_device::PATH, refusal.to_string()))?;
    let known = limits.iter().find(|known| known.limit == Limit(uapi::KWASMI_LIMIT_MODULE_SIZE));
    Ok(known.map_or(FILE_BYTES_MAX, |known| known.ceiling.min(FILE_BYTES_MAX)))
}

fn limits(args: ReportArgs) -> Result<Exit, Failure> {
    use crate::device::Device as _;
    let device = device()?;
    let limits =
        device.limits().map_err(|refusal| Failure::new(Exit::Failed, kernel_device::PATH, refusal.to_string()))?;
    print(&if args.json { json(&limits)? } else { Limits(&limits).to_string() })?;
    Ok(Exit::Guest(0))
}

fn status(args: ReportArgs) -> Result<Exit, Failure> {
    let info = run::info(&open_device()?)?;
    print(&if args.json { json(&info)? } else { Status(&info).to_string() })?;
    Ok(Exit::Guest(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_gets_the_files_name_only() {
        let args = ["", "a b"].map(OsString::from);
        assert_eq!(guest_args(Path::new("dir/x.wasm"), &args), Ok(b"x.wasm\0\0a b\0".to_vec()));
        assert_eq!(guest_args(Path::new("x.wat"), &[]), Ok(b"x.wat\0".to_vec()));
    }

    #[test]
    fn given_variables_override_inherited_ones() {
        let inherited = [("A", "1"), ("B", "2")].map(|(name, value)| (name.into(), value.into()));
        let given = [("B", "3"), ("C", "")].map(|(name, value)| Variable { name: name.into(), value: value.into() });
        assert_eq!(environment(inherited.into_iter(), &given), Ok(b"A=1\0B=3\0C=\0".to_vec()));
        assert_eq!(environment(std::iter::empty(), &[]), Ok(vec![]));
    }
}
