// SPDX-License-Identifier: GPL-2.0

//! Runs the test suites: shell scripts that print KTAP.
//!
//! `qemu/checks/NAME.sh` runs in the build root. `qemu/suites/NAME.sh` runs in a separate VM, whose
//! kernel log must have no faults. A line `# options: --cpus 8 --timeout 900` in the first 20 lines
//! of a suite sets options of its VM. Several suites run at the same time, except those with the
//! option `--alone`: they measure time or use all processors. A suite with a line `# on demand` in
//! the first 20 lines runs only if it is named.

use std::{
    collections::BTreeMap,
    fs,
    io::{
        self,
        Write, //
    },
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        Stdio, //
    },
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{
            self,
            Sender, //
        },
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

use anyhow::{
    Context as _,
    Result, //
};
use signal_hook::{
    consts::{
        SIGHUP,
        SIGINT,
        SIGQUIT,
        SIGTERM, //
    },
    iterator::Signals,
};

use crate::{
    ktap::{
        self,
        Outcome,
        Report, //
    },
    log::KernelLog,
    machine::{
        Ending,
        Finished,
        Interrupted,
        Streams, //
    },
    process,
};

/// Option of a suite that must not run at the same time as another suite.
const ALONE: &str = "--alone";

/// Line of a suite that runs only if it is named.
const ON_DEMAND: &str = "# on demand";

/// Number of first lines of a suite that have its options.
const OPTION_LINES: usize = 20;

/// Number of lines of a failed suite's standard error, and of the kernel log, that are shown.
const SHOWN_LINES: usize = 40;

/// Place where a suite runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The build root.
    Here,
    /// A VM.
    Vm,
}

/// Test suite.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Name of the suite: the name of its file without `.sh`.
    pub name: String,
    /// File of the suite.
    pub path: PathBuf,
    /// Place where the suite runs.
    pub place: Place,
    /// Options of the VM.
    pub options: Vec<String>,
    /// Set if no other suite may run at the same time.
    pub is_alone: bool,
    /// Set if the suite runs only if it is named.
    pub is_on_demand: bool,
}

/// Output and ending of a suite.
#[derive(Debug)]
pub struct Output {
    /// Standard output: KTAP.
    pub stdout: Vec<u8>,
    /// Standard error: free text.
    pub stderr: Vec<u8>,
    /// Ending of the suite, and the kernel log of its VM. The exit status of a suite is that of its
    /// last command.
    pub finished: Finished,
}

/// Runner of suites in VMs.
pub trait RunInVm: Send + Sync {
    /// Runs `argv` in a VM with `options`.
    ///
    /// # Errors
    /// Fails if the options are invalid or the VM cannot be started.
    fn run(&self, options: &[String], argv: &[&str], streams: Streams) -> Result<Finished>;
}

/// Environment variable with options for the VMs of all suites, such as `--param compiler=0`.
const MORE_OPTIONS: &str = "KWASMI_SUITE_OPTIONS";

/// Returns the suites under `top` with one of `names`, or all but those on demand if `names` is
/// empty. Suites of the build root come first; suites that run alone come last.
///
/// # Errors
/// Fails if a folder or a suite cannot be read, or if no suite has one of `names`.
pub fn find(top: &Path, names: &[String]) -> Result<Vec<Suite>> {
    let mut suites = Vec::new();
    let more = std::env::var(MORE_OPTIONS).unwrap_or_default();
    for (folder, place) in [("qemu/checks", Place::Here), ("qemu/suites", Place::Vm)] {
        let folder = top.join(folder);
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
            let is_suite = path.extension().is_some_and(|extension| extension == "sh");
            // ktap.sh is a library of the suites.
            if let Some(name) = stem.filter(|name| is_suite && name != "ktap") {
                found.insert(name, path);
            }
        }
        for (name, path) in found {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let is_on_demand = text.lines().take(OPTION_LINES).any(|line| line == ON_DEMAND);
            let options = text.lines().take(OPTION_LINES).filter_map(|line| line.strip_prefix("# options:"));
            let options = options.flat_map(str::split_whitespace).map(str::to_owned);
            let (alone, mut options): (Vec<_>, Vec<_>) = options.partition(|option| option == ALONE);
            options.extend(more.split_whitespace().map(str::to_owned));
            suites.push(Suite { name, path, place, options, is_alone: !alone.is_empty(), is_on_demand });
        }
    }
    let all: Vec<&str> = suites.iter().map(|suite| suite.name.as_str()).collect();
    for name in names {
        anyhow::ensure!(all.contains(&name.as_str()), "no suite '{name}'; the suites are: {}", all.join(" "));
    }
    suites.retain(|suite| if names.is_empty() { !suite.is_on_demand } else { names.contains(&suite.name) });
    suites.sort_by_key(|suite| suite.is_alone);
    Ok(suites)
}

/// Report of a thread.
enum Event {
    /// The suite with this number ended after this time.
    Done(usize, Result<Box<Output>>, Duration),
    /// This process received a signal.
    Signal(i32),
}

/// Runs `suites`, up to `jobs` at a time. Writes the results to `to`, suite by suite in the given
/// order, and all output to files in `kept`. Returns true if no case failed.
///
/// # Errors
/// Fails if a suite cannot be started or results cannot be written. [`Interrupted`] if this process
/// receives a signal.
pub fn run_all(suites: &[Suite], vm: &Arc<dyn RunInVm>, jobs: usize, kept: &Path, to: &mut dyn Write) -> Result<bool> {
    fs::create_dir_all(kept).with_context(|| kept.display().to_string())?;
    let (sender, events) = mpsc::channel();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT])?;
    let to_us = sender.clone();
    thread::spawn(move || signals.forever().try_for_each(|signal| to_us.send(Event::Signal(signal))));

    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let mut waiting = suites.iter().enumerate().peekable();
    let mut running = BTreeMap::new();
    let mut ended = BTreeMap::new();
    let mut printed = 0;
    while printed < suites.len() {
        let is_alone = running.values().any(|suite: &&Suite| suite.is_alone);
        let is_room_for = |suite: &Suite| running.is_empty() || running.len() < jobs && !is_alone && !suite.is_alone;
        if let Some((number, suite)) = waiting.next_if(|(_, suite)| is_room_for(suite)) {
            // A suite may take minutes, so its start is reported.
            eprintln!("kwasmi: running suite {} ...", suite.name);
            start(number, suite, vm, &sender);
            running.insert(number, suite);
            continue;
        }
        match events.recv()? {
            Event::Done(number, output, time) => {
                let output = output?;
                if let Some(suite) = running.remove(&number) {
                    keep(&output, kept, &suite.name)?;
                    for boot in &output.finished.failed_boots {
                        eprintln!("kwasmi: suite {}: {}", suite.name, boot.notice);
                    }
                }
                ended.insert(number, (output, time));
            }
            // Running suites end with this process.
            Event::Signal(signal) => return Err(Interrupted(signal).into()),
        }
        while let Some((suite, (output, time))) = suites.get(printed).zip(ended.remove(&printed)) {
            if let Ending::Signal(signal) = output.finished.ending {
                return Err(Interrupted(signal).into());
            }
            let report = judge(&output);
            passed += report.count(Outcome::Passed);
            skipped += report.count(Outcome::Skipped);
            failed += report.failed();
            print(suite, &output, &report, time, kept, to)?;
            printed += 1;
        }
    }
    if skipped > 0 {
        writeln!(to, "{skipped} skipped")?;
    }
    writeln!(to, "{passed} passed, {failed} failed")?;
    Ok(failed == 0)
}

/// Runs a suite in a new thread.
fn start(number: usize, suite: &Suite, vm: &Arc<dyn RunInVm>, events: &Sender<Event>) {
    let (suite, vm, events) = (suite.clone(), Arc::clone(vm), events.clone());
    thread::spawn(move || {
        let start = Instant::now();
        let output = run(&suite, vm.as_ref()).map(Box::new);
        events.send(Event::Done(number, output, start.elapsed()))
    });
}

fn run(suite: &Suite, vm: &dyn RunInVm) -> Result<Output> {
    match suite.place {
        Place::Here => {
            // The kernel kills the script when this thread exits.
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "--", "bash"]).arg(&suite.path);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = process::spawn(&mut command).with_context(|| suite.path.display().to_string())?;
            let output = child.wait_with_output().with_context(|| suite.path.display().to_string())?;
            let ending = match output.status.code() {
                Some(code) => Ending::Command(u8::try_from(code).unwrap_or(255)),
                None => Ending::Failed(output.status.to_string()),
            };
            let finished = Finished { ending, log: KernelLog::default(), failed_boots: Vec::new() };
            Ok(Output { stdout: output.stdout, stderr: output.stderr, finished })
        }
        Place::Vm => {
            let (stdout, stderr) = (Buffer::default(), Buffer::default());
            let streams = Streams {
                stdin: Box::new(io::empty()),
                stdout: Box::new(stdout.clone()),
                stderr: Box::new(stderr.clone()),
            };
            let script = format!("/suites/{}.sh", suite.name);
            let finished = vm.run(&suite.options, &["sh", &script], streams)?;
            Ok(Output { stdout: stdout.take(), stderr: stderr.take(), finished })
        }
    }
}

/// Returns the results of a suite, with a problem added if its ending is a failure.
fn judge(output: &Output) -> Report {
    let mut report = ktap::read(&String::from_utf8_lossy(&output.stdout));
    let ending = &output.finished.ending;
    let problem = match ending {
        // A non-zero status needs no further report if a case failed.
        Ending::Command(0) | Ending::Signal(_) => None,
        Ending::Command(status) if report.failed() == 0 => {
            Some(format!("the script exited with status {status}, but no case failed"))
        }
        Ending::Command(_) => None,
        Ending::TimeOut => Some("time-out: the suite took longer than its VM may run".into()),
        _ => ending.problem(None),
    };
    report.problems.extend(problem);
    report
}

fn keep(output: &Output, kept: &Path, name: &str) -> Result<()> {
    let mut log = Vec::new();
    output.finished.write_log(&mut log)?;
    for (end, bytes) in [("ktap", &output.stdout), ("stderr", &output.stderr), ("log", &log)] {
        let path = kept.join(format!("{name}.{end}"));
        fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn print(
    suite: &Suite,
    output: &Output,
    report: &Report,
    time: Duration,
    kept: &Path,
    to: &mut dyn Write,
) -> Result<()> {
    for case in report.cases.iter().filter(|case| case.outcome != Outcome::Passed) {
        let word = if case.outcome == Outcome::Failed { "FAILED" } else { "skipped" };
        let note = if case.note.is_empty() { String::new() } else { format!(" ({})", case.note) };
        writeln!(to, "  {word}: {}: {}{note}", suite.name, case.name)?;
        if case.outcome == Outcome::Failed {
            case.diagnostics.iter().try_for_each(|text| writeln!(to, "    {text}"))?;
        }
    }
    for problem in &report.problems {
        writeln!(to, "  FAILED: {}: {problem}", suite.name)?;
    }
    if report.failed() > 0 {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = stderr.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(SHOWN_LINES)) {
            writeln!(to, "    {line}")?;
        }
        if suite.place == Place::Vm && !matches!(output.finished.ending, Ending::Command(_)) {
            writeln!(to, "{}", String::from_utf8_lossy(output.finished.log.end(SHOWN_LINES)))?;
        }
        writeln!(to, "    the whole output: {}", kept.join(&suite.name).with_extension("*").display())?;
    }
    writeln!(
        to,
        "{}: {} passed, {} failed ({:.1} s)",
        suite.name,
        report.count(Outcome::Passed),
        report.failed(),
        time.as_secs_f64()
    )?;
    Ok(to.flush()?)
}

/// Buffer shared with the thread that writes to it.
#[derive(Clone, Debug, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
