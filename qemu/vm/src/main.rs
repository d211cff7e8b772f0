// SPDX-License-Identifier: GPL-2.0

//! `kwasmi-vm`: the part of `scripts/run` and `scripts/test` that runs inside the build root after
//! the build.

#![forbid(unsafe_code)]

use std::{
    env,
    ffi::OsString,
    fs::{
        self,
        File, //
    },
    io::{
        self,
        Read as _,
        Write as _, //
    },
    os::unix::ffi::OsStringExt as _,
    path::PathBuf,
    process::{
        Command,
        ExitCode, //
    },
    sync::Arc,
    time::Duration, //
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
use kwasmi_vm::{
    image::Contents,
    kernel::Kernel,
    ktap::{
        self,
        Outcome, //
    },
    machine::{
        self,
        Ending,
        Finished,
        Interrupted,
        Machine,
        Streams, //
    },
    protocol::Job,
    qemu::Disk,
    suites,
    terminal::{
        self,
        RawMode, //
    },
};

/// Number of lines of the kernel log that are shown after a failure.
const SHOWN_LINES: usize = 60;

/// Needs of an instrumented kernel: minimum memory in MiB, and the factor by which time limits
/// grow.
const INSTRUMENTED: (u32, u64) = (2048, 6);

/// Kernel arguments for the system on a disk. Its messages about units are in the journal.
const SYSTEM_ARGUMENTS: &[&str] = &["systemd.show_status=false"];

/// Factor by which the time limit of a boot grows for the system on a disk.
const SYSTEM_SLOWNESS: u64 = 3;

/// Boots a kernel in QEMU and runs commands or test suites in it.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Runs a command in a VM, with the command's output and exit status.
    Run(Box<RunArgs>),
    /// Runs test suites. The last line of the output is "N passed, N failed".
    Test(TestArgs),
    /// Prints the results in KTAP files. The last line of the output is "N passed, N failed".
    Ktap {
        /// Files of KTAP results. Default: standard input.
        files: Vec<PathBuf>,
    },
}

/// Locations of the build's inputs and outputs.
#[derive(Args, Debug)]
struct Built {
    /// Folder of the kernel, as printed by qemu/kernel.
    #[arg(long, env = "KWASMI_KERNEL", value_name = "DIR")]
    kernel: PathBuf,
    /// Name of the kernel.
    #[arg(long, env = "KWASMI_KERNEL_NAME", value_name = "NAME")]
    kernel_name: String,
    /// Folder for state that is kept between runs.
    #[arg(long, default_value = "/cache", value_name = "DIR")]
    cache: PathBuf,
    /// Top folder of the checkout.
    #[arg(long, default_value = "/kwasmi", value_name = "DIR")]
    top: PathBuf,
}

/// Options of the VM.
#[derive(Args, Debug)]
struct VmArgs {
    /// Copies PATH to /host/NAME in the VM.
    #[arg(long, num_args = 2, value_names = ["PATH", "NAME"], allow_hyphen_values = true)]
    add: Vec<OsString>,
    /// Copies the contents of /out in the VM to DIR after the command.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Number of processors.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,
    /// Emulates one processor, with a clock that advances by one nanosecond per instruction.
    #[arg(long)]
    icount: bool,
    /// Memory of the VM, in MiB.
    #[arg(long, default_value_t = 1024, value_name = "MIB", value_parser = clap::value_parser!(u32).range(256..=65536))]
    memory: u32,
    /// Time limit of the run, in seconds, boots included; 0: no limit.
    #[arg(long, default_value_t = 1800, value_name = "S")]
    timeout: u64,
    /// Time limit of a boot until the module is inserted, in seconds. After a time-out or a kernel
    /// failure before that point the VM is booted again, at most twice.
    #[arg(long, default_value_t = 120, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    boot_timeout: u64,
    /// Kernel argument for the first N boots only, to test failing boots.
    #[arg(long, hide = true, num_args = 2, value_names = ["N", "ARG"])]
    first_boots: Vec<String>,
    /// Module parameter.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_parameter)]
    param: Vec<String>,
    /// Kernel argument, appended to the default ones.
    #[arg(long, value_name = "ARG")]
    kernel_argument: Vec<String>,
    /// Environment variable to pass to the command, if it is set.
    #[arg(long, value_name = "NAME")]
    env: Vec<String>,
    /// Boots the system in this image of a root file system, and runs the command as a service of
    /// it. The module and the command are not added.
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Disk that keeps the changes of the run, and is shut down after it. A missing or empty file
    /// becomes a copy of the image.
    #[arg(long, value_name = "FILE", requires = "image")]
    disk: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(args_override_self = true)]
struct RunArgs {
    #[command(flatten)]
    built: Built,
    #[command(flatten)]
    vm: VmArgs,
    /// Prints the kernel log to standard error after the run.
    #[arg(long)]
    log: bool,
    /// Gives the command a terminal if standard input and output are one.
    #[arg(long)]
    terminal: bool,
    /// The command and its arguments.
    #[arg(required = true, last = true)]
    argv: Vec<OsString>,
}

#[derive(Args, Debug)]
struct TestArgs {
    #[command(flatten)]
    built: Built,
    /// Maximum number of suites that run at the same time.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Suites to run. Default: all.
    suites: Vec<String>,
}

/// Command line of a suite's VM options, for clap.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct SuiteOptions {
    #[command(flatten)]
    vm: VmArgs,
}

/// Checks a module parameter and quotes its value for the kernel if the value contains spaces.
fn parse_parameter(text: &str) -> Result<String, String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("expected NAME=VALUE".into());
    };
    if name.is_empty() || text.contains('"') || name.contains(char::is_whitespace) {
        return Err("a parameter must not contain a double quote, nor spaces in its name".into());
    }
    Ok(if value.contains(char::is_whitespace) { format!("{name}=\"{value}\"") } else { text.to_owned() })
}

impl VmArgs {
    fn machine(&self, built: &Built) -> Result<Machine> {
        let target = built.top.join("target");
        let programs = target.join("x86_64-unknown-linux-gnu/release");
        let pairs = self.add.chunks_exact(2).filter_map(|pair| match pair {
            [path, name] => Some((PathBuf::from(path), name.clone())),
            _ => None,
        });
        let kernel = Kernel::new(&built.kernel, &built.cache)?;
        let (least_memory, slowness) = if kernel.is_instrumented() { INSTRUMENTED } else { (0, 1) };
        let first_boots = match self.first_boots.as_slice() {
            [count, argument] => Some((count.parse().context("--first-boots: N is not a number")?, argument.clone())),
            _ => None,
        };
        let disk = self.disk()?;
        let common = Contents {
            lock: Some(target.join("made/lock")),
            init: programs.join("kwasmi-init"),
            added: pairs.collect(),
            ..Contents::default()
        };
        let contents = if disk.is_some() {
            common
        } else {
            Contents {
                kernel_modules: kernel.modules(),
                module: Some(target.join("kmod").join(&built.kernel_name).join("kwasmi.ko")),
                commands: vec![
                    programs.join("kwasmi"),
                    programs.join("kwasmi-abi"),
                    target.join("native").join(&built.kernel_name).join("kwasmi-native"),
                ],
                guests: Some(target.join("guests")),
                suites: Some(built.top.join("qemu/suites")),
                ..common
            }
        };
        let system_arguments = if disk.is_some() { SYSTEM_ARGUMENTS } else { [].as_slice() };
        let kernel_arguments =
            system_arguments.iter().copied().map(str::to_owned).chain(self.kernel_argument.iter().cloned());
        let boot_factor = slowness.saturating_mul(if disk.is_some() { SYSTEM_SLOWNESS } else { 1 });
        Ok(Machine {
            kernel,
            contents,
            cpus: self.cpus,
            is_counted: self.icount,
            memory: self.memory.max(least_memory),
            kernel_arguments: kernel_arguments.collect(),
            first_boots,
            boot_limit: Duration::from_secs(self.boot_timeout.saturating_mul(boot_factor)),
            time_limit: (self.timeout > 0).then(|| Duration::from_secs(self.timeout.saturating_mul(slowness))),
            out: self.out.clone(),
            disk,
        })
    }

    /// Returns the disk, if there is one. Copies the image to a missing or empty file.
    fn disk(&self) -> Result<Option<Disk>> {
        let Some(image) = &self.image else {
            return Ok(None);
        };
        let Some(file) = &self.disk else {
            return Ok(Some(Disk { file: image.clone(), is_kept: false }));
        };
        if fs::metadata(file).map_or(0, |metadata| metadata.len()) == 0 {
            let copied = Command::new("cp").args(["--sparse=always", "--"]).arg(image).arg(file).status();
            let copied = copied.context("cannot run cp")?;
            anyhow::ensure!(copied.success(), "cannot copy {} to {}", image.display(), file.display());
        }
        Ok(Some(Disk { file: file.clone(), is_kept: true }))
    }

    fn job(&self, argv: Vec<Vec<u8>>) -> Job {
        let environment = self.env.iter().filter_map(|name| Some((name.clone(), env::var(name).ok()?))).collect();
        let parameters = self.param.join(" ");
        Job {
            argv,
            environment,
            parameters,
            terminal: None,
            is_out_wanted: self.out.is_some(),
            has_disk: self.image.is_some(),
            is_shut_down: self.disk.is_some(),
        }
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // There is no other channel to report a failed write to standard error.
            error.print().ok();
            return ExitCode::from(if error.use_stderr() { 125 } else { 0 });
        }
    };
    let result = match cli.command {
        Subcommands::Run(args) => run(*args),
        Subcommands::Test(args) => test(args),
        Subcommands::Ktap { files } => judge(&files),
    };
    result.unwrap_or_else(|error| {
        if let Some(Interrupted(signal)) = error.downcast_ref() {
            return Ending::Signal(*signal).status().into();
        }
        eprintln!("kwasmi: {error:#}");
        ExitCode::from(125)
    })
}

fn run(args: RunArgs) -> Result<ExitCode> {
    let machine = args.vm.machine(&args.built)?;
    if let Some(out) = &machine.out {
        fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    }
    let mut job = args.vm.job(args.argv.into_iter().map(OsString::into_vec).collect());
    let raw = if args.terminal {
        job.terminal = terminal::current();
        job.terminal.as_ref().map(|_| RawMode::new()).transpose()?
    } else {
        None
    };
    let result = machine.run(&job, machine::own_streams()?);
    drop(raw);
    let finished = result?;
    explain(&finished, machine.time_limit, args.log)?;
    Ok(finished.ending.status().into())
}

/// Prints to standard error why the run failed, if it did, with the end of the kernel log; prints
/// the whole log if `is_log_wanted`.
fn explain(finished: &Finished, limit: Option<Duration>, is_log_wanted: bool) -> Result<()> {
    let mut stderr = io::stderr().lock();
    let log = &finished.log;
    let why = finished.ending.problem(limit);
    if is_log_wanted {
        finished.write_log(&mut stderr)?;
    } else if why.is_some() && !log.text().is_empty() {
        writeln!(stderr, "kwasmi: the end of the kernel log:")?;
        stderr.write_all(log.end(SHOWN_LINES))?;
        writeln!(stderr)?;
    }
    if let Some(why) = why {
        writeln!(stderr, "kwasmi: {why}")?;
    }
    Ok(())
}

/// Runner of suites in VMs.
struct SuiteRunner {
    built: Built,
}

impl suites::RunInVm for SuiteRunner {
    fn run(&self, options: &[String], argv: &[&str], streams: Streams) -> Result<Finished> {
        let options = SuiteOptions::try_parse_from(options)?;
        let job = options.vm.job(argv.iter().map(|argument| argument.as_bytes().to_vec()).collect());
        options.vm.machine(&self.built)?.run(&job, streams)
    }
}

fn test(args: TestArgs) -> Result<ExitCode> {
    let suites = suites::find(&args.built.top, &args.suites)?;
    let kept = args.built.top.join(if args.built.kernel_name == "stock" {
        "target/test".into()
    } else {
        format!("target/test-{}", args.built.kernel_name)
    });
    let runner: Arc<dyn suites::RunInVm> = Arc::new(SuiteRunner { built: args.built });
    let passed = suites::run_all(&suites, &runner, args.jobs.into(), &kept, &mut io::stdout())?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn judge(files: &[PathBuf]) -> Result<ExitCode> {
    let mut streams: Vec<Box<dyn io::Read>> = Vec::new();
    for file in files {
        streams.push(Box::new(File::open(file).with_context(|| file.display().to_string())?));
    }
    if files.is_empty() {
        streams.push(Box::new(io::stdin()));
    }
    let (mut passed, mut failed) = (0, 0);
    for mut stream in streams {
        let mut text = Vec::new();
        stream.read_to_end(&mut text)?;
        let report = ktap::read(&String::from_utf8_lossy(&text));
        for case in &report.cases {
            let word = match case.outcome {
                Outcome::Passed => "passed",
                Outcome::Failed => "FAILED",
                Outcome::Skipped => "skipped",
            };
            println!("{word}: {}", case.name);
        }
        report.problems.iter().for_each(|problem| println!("FAILED: {problem}"));
        passed += report.count(Outcome::Passed);
        failed += report.failed();
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
