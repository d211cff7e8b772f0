// SPDX-License-Identifier: GPL-2.0

//! Runs the suites: each a shell script that prints KTAP.
//!
//! `qemu/checks/NAME.sh` runs here, `qemu/suites/NAME.sh` in a VM of its own, after which the kernel log must be clean. A line
//! `# options: --cpus 8 --timeout 900` near the beginning of the latter says which VM it wants. Several go on at the same
//! time, but for those whose options say `--alone`: these measure time, or take all processors.

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

/// The option of a suite beside which no other runs.
const ALONE: &str = "--alone";

/// How many lines of a suite's other output are shown when it failed.
const SHOWN_LINES: usize = 40;

/// Where a suite runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the build root.
    Here,
    /// In a VM.
    Vm,
}

/// A suite.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Its name: the file's, without `.sh`.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// Where it runs.
    pub place: Place,
    /// The VM's options.
    pub options: Vec<String>,
    /// Whether nothing else may go on at the same time.
    pub is_alone: bool,
}

/// What a suite printed, and how it ended.
#[derive(Debug)]
pub struct Output {
    /// KTAP.
    pub stdout: Vec<u8>,
    /// Anything.
    pub stderr: Vec<u8>,
    /// How it ended; a suite's own status is that of its last command. The kernel log is the VM's.
    pub finished: Finished,
}

/// Runs one suite in a VM with these options.
pub trait RunInVm: Send + Sync {
    /// Runs `argv`.
    ///
    /// # Errors
    /// What kept the VM from being started.
    fn run(&self, options: &[String], argv: &[&str], streams: Streams) -> Result<Finished>;
}

/// The suites under `top` that have one of `names`, or all; those that run here come first, and those that run alone last.
///
/// # Errors
/// Those of reading folders; a name that no suite has.
pub fn find(top: &Path, names: &[String]) -> Result<Vec<Suite>> {
    let mut suites = Vec::new();
    for (folder, place) in [("qemu/checks", Place::Here), ("qemu/suites", Place::Vm)] {
        let folder = top.join(folder);
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
            let is_suite = path.extension().is_some_and(|extension| extension == "sh");
            // What suites share has no results of its own.
            if let Some(name) = stem.filter(|name| is_suite && name != "ktap") {
                found.insert(name, path);
            }
        }
        for (name, path) in found {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let options = text.lines().take(20).filter_map(|line| line.strip_prefix("# options:"));
            let options = options.flat_map(str::split_whitespace).map(str::to_owned);
            let (alone, options): (Vec<_>, Vec<_>) = options.partition(|option| option == ALONE);
            suites.push(Suite { name, path, place, options, is_alone: !alone.is_empty() });
        }
    }
    let all: Vec<&str> = suites.iter().map(|suite| suite.name.as_str()).collect();
    for name in names {
        anyhow::ensure!(all.contains(&name.as_str()), "no suite '{name}'; the suites are: {}", all.join(" "));
    }
    if !names.is_empty() {
        suites.retain(|suite| names.contains(&suite.name));
    }
    suites.sort_by_key(|suite| suite.is_alone);
    Ok(suites)
}

/// What a thread has to tell.
enum Event {
    /// The suite with this number has ended, after this time.
    Done(usize, Result<Box<Output>>, Duration),
    /// A signal came.
    Signal(i32),
}

/// Runs `suites`, `jobs` at a time, prints the results of each in one piece and in their order to `to`, keeps all output under
/// `kept`. Whether all passed.
///
/// # Errors
/// Those of writing results; an interruption.
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
            // Some take minutes.
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
            // What goes on ends together with this process.
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

/// Runs a suite in a thread of its own.
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
            // It ends together with this thread, as a VM does.
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

/// What the suite's results come to, how it ended taken into account.
fn judge(output: &Output) -> Report {
    let mut report = ktap::read(&String::from_utf8_lossy(&output.stdout));
    let ending = &output.finished.ending;
    let problem = match ending {
        // A suite whose results are complete may end with the status of its last case.
        Ending::Command(0) | Ending::Signal(_) => None,
        Ending::Command(status) if report.failed() == 0 => {
            Some(format!("the script ended with status {status}, though no case failed"))
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

/// Memory that another thread writes to.
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
