// SPDX-License-Identifier: GPL-2.0

//! One run: boots a VM, lets it do a job, and judges how that ended.

use std::{
    fmt,
    fs::File,
    io::{
        self,
        Read,
        Write, //
    },
    os::unix::net::UnixStream,
    path::{
        Path,
        PathBuf, //
    },
    process::ExitStatus,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{
            self,
            RecvTimeoutError,
            Sender, //
        },
    },
    thread::{
        self,
        JoinHandle, //
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
use signal_hook::{
    consts::{
        SIGHUP,
        SIGINT,
        SIGQUIT,
        SIGTERM,
        SIGWINCH, //
    },
    iterator::Signals,
};

use crate::{
    image::{
        self,
        Contents, //
    },
    kernel::Kernel,
    log::KernelLog,
    protocol::{
        FrameReader,
        FrameWriter,
        Job,
        Port,
        ToGuest,
        ToHost,
        read_message,
        write_message, //
    },
    qemu::{
        Accelerator,
        Hardware,
        Qemu, //
    },
    terminal,
};

/// How many times a VM is booted that fails before its module is inserted.
const MAX_BOOTS: u32 = 3;

/// How long KVM may take to boot a kernel when it is tried.
const PROBE_TIME: Duration = Duration::from_secs(15);

/// How long the rest of the streams is waited for after the VM has gone.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// How long QEMU may take to exit after it has closed its ports.
const EXIT_TIME: Duration = Duration::from_secs(10);

/// The host's side of a job's standard streams.
pub struct Streams {
    /// What the command reads.
    pub stdin: Box<dyn Read + Send>,
    /// Where its output goes.
    pub stdout: Box<dyn Write + Send>,
    /// Where its errors go.
    pub stderr: Box<dyn Write + Send>,
}

/// A VM to be.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What it boots.
    pub kernel: Kernel,
    /// What it finds.
    pub contents: Contents,
    /// Processors.
    pub cpus: u32,
    /// Whether its clock counts instructions: on one processor, in emulation.
    pub is_counted: bool,
    /// MiB of memory.
    pub memory: u32,
    /// What its kernel is told after all else.
    pub kernel_arguments: Vec<String>,
    /// What its kernel is told besides in the first boots, so many: for tests of boots that fail.
    pub first_boots: Option<(u32, String)>,
    /// How long a boot may take until the module is inserted.
    pub boot_limit: Duration,
    /// How long a job may take, all boots included.
    pub time_limit: Option<Duration>,
    /// Where what a job leaves in /out is put.
    pub out: Option<PathBuf>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The command ended, and the kernel log is clean: its status, 128+n for signal n.
    Command(u8),
    /// There is a defect in the kernel log: its first line.
    KernelFault(String),
    /// It took too long.
    TimeOut,
    /// The boot took longer than this.
    BootTimeOut(Duration),
    /// The last of [`MAX_BOOTS`] boots ended so, and all of them before the module was inserted.
    NeverBooted(Box<Ending>),
    /// The VM went away. How QEMU ended, if it has.
    Lost(Option<ExitStatus>),
    /// A signal to this process ended it.
    Signal(i32),
    /// It could not be done.
    Failed(String),
}

impl Ending {
    /// The exit status that stands for it.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Command(status) => *status,
            Self::KernelFault(_) => 121,
            Self::TimeOut | Self::BootTimeOut(_) => 122,
            Self::Lost(_) => 123,
            Self::NeverBooted(last) => last.status(),
            Self::Failed(_) => 125,
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(255),
        }
    }

    /// What is wrong, if something is; for a VM that had `time_limit`.
    #[must_use]
    pub fn problem(&self, time_limit: Option<Duration>) -> Option<String> {
        match self {
            Self::Command(_) | Self::Signal(_) => None,
            Self::KernelFault(fault) => Some(format!("the kernel failed: {fault}")),
            Self::TimeOut => {
                Some(format!("time-out: the run took longer than {} s", time_limit.unwrap_or_default().as_secs()))
            }
            Self::BootTimeOut(limit) => Some(format!("the boot took longer than {} s", limit.as_secs())),
            Self::NeverBooted(last) => {
                let why = last.problem(time_limit).unwrap_or_default();
                Some(format!("all {MAX_BOOTS} boots failed before kwasmi.ko was inserted; the last one: {why}"))
            }
            Self::Lost(status) => {
                let how = match status {
                    Some(status) if status.success() => "it was turned off or reset".into(),
                    Some(status) => format!("QEMU ended by {status}"),
                    None => "its control port was closed".into(),
                };
                Some(format!("the VM went away before the command ended: {how}"))
            }
            Self::Failed(why) => Some(why.clone()),
        }
    }

    /// Whether another boot may end otherwise, if the module was not inserted in this one.
    const fn is_of_the_boot(&self) -> bool {
        matches!(self, Self::KernelFault(_) | Self::BootTimeOut(_) | Self::Lost(_))
    }
}

/// What came of a job.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub ending: Ending,
    /// The kernel log of the boot that did the job, or of the last one.
    pub log: KernelLog,
    /// The boots before that one.
    pub failed_boots: Vec<FailedBoot>,
}

impl Finished {
    /// Writes the kernel logs of all boots, and between them why there was another.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_log(&self, writer: &mut impl Write) -> io::Result<()> {
        for boot in &self.failed_boots {
            writer.write_all(boot.log.text())?;
            writeln!(writer, "\nkwasmi: {}", boot.notice)?;
        }
        writer.write_all(self.log.text())
    }
}

/// A boot that failed before the module was inserted, and was followed by another.
#[derive(Debug)]
pub struct FailedBoot {
    /// Which boot failed, and why.
    pub notice: String,
    /// Its kernel log.
    pub log: KernelLog,
}

/// What the threads of a run report.
enum Event {
    Log,
    LogClosed,
    Message(ToHost),
    ControlClosed,
    StreamDone,
    Failed(String),
    Signal(i32),
}

/// Reports of a VM's threads, and of signals to this process.
struct Reports {
    sender: Sender<Event>,
    events: mpsc::Receiver<Event>,
    signals: signal_hook::iterator::Handle,
}

impl Reports {
    fn new() -> Result<Self> {
        let (sender, events) = mpsc::channel();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH])?;
        let handle = signals.handle();
        let to = sender.clone();
        thread::spawn(move || signals.forever().try_for_each(|signal| to.send(Event::Signal(signal))));
        Ok(Self { sender, events, signals: handle })
    }

    /// Throws away what a VM reported whose threads have ended. A signal among it that is to end this process.
    fn clear(&self) -> Option<i32> {
        self.events.try_iter().find_map(|event| match event {
            Event::Signal(signal) if signal != SIGWINCH => Some(signal),
            _ => None,
        })
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        self.signals.close();
    }
}

impl Machine {
    /// Boots the VM, lets it do `job`, ends it. A VM that fails before its module is inserted is booted again, which is
    /// said on the job's standard error; one that fails later is not.
    ///
    /// # Errors
    /// What kept the VM from being started. What went wrong later is an [`Ending`].
    pub fn run(&self, job: &Job, mut streams: Streams) -> Result<Finished> {
        let image = image::build(&self.contents, job)?;
        let mebibytes = image.len() >> 20;
        // The kernel holds it packed and unpacked, and gives half of the memory to the latter.
        anyhow::ensure!(
            mebibytes * 5 / 2 + 64 <= usize::try_from(self.memory)?,
            "the initramfs takes {mebibytes} MiB, too much for a VM with {} MiB of memory; see --memory",
            self.memory
        );
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(&image)?;
        drop(image);
        let kernel = self.kernel.image()?;
        let accelerator = if self.is_counted {
            Accelerator::Counted
        } else if self.kernel.has_kvm(|| probe(&kernel, &self.contents))? {
            Accelerator::Kvm
        } else {
            Accelerator::Emulation
        };
        let reports = Reports::new()?;
        let deadline = self.time_limit.map(|limit| Instant::now() + limit);
        let mut failed_boots = Vec::new();
        let mut number = 0;
        loop {
            number += 1;
            let first = self.first_boots.as_ref().filter(|(count, _)| number <= *count);
            let kernel_arguments: Vec<&str> =
                self.kernel_arguments.iter().chain(first.map(|(_, argument)| argument)).map(String::as_str).collect();
            let hardware = Hardware {
                accelerator,
                cpus: if self.is_counted { 1 } else { self.cpus },
                memory: self.memory,
                kernel: &kernel,
                initramfs: file.path(),
                kernel_arguments: &kernel_arguments,
            };
            let mut run = Run::start(&hardware, &reports)?;
            let is_last = number == MAX_BOOTS;
            let ending = match run.boot(self.boot_limit, deadline, is_last) {
                Ok(()) => {
                    let ending = run.work(streams, self.out.as_deref(), deadline)?;
                    let (ending, log) = run.end(ending)?;
                    return Ok(Finished { ending, log, failed_boots });
                }
                Err(ending) => ending,
            };
            let (ending, log) = run.end(ending)?;
            if let Some(signal) = reports.clear() {
                return Ok(Finished { ending: Ending::Signal(signal), log, failed_boots });
            }
            if !ending.is_of_the_boot() {
                return Ok(Finished { ending, log, failed_boots });
            }
            if is_last {
                return Ok(Finished { ending: Ending::NeverBooted(Box::new(ending)), log, failed_boots });
            }
            let why = ending.problem(self.time_limit).unwrap_or_default();
            let notice = format!("boot {number} failed before kwasmi.ko was inserted, booting again: {why}");
            // A terminal in raw mode wants both; who does not read it any more is told nothing.
            let line_end = if job.terminal.is_some() { "\r\n" } else { "\n" };
            let line = format!("kwasmi: {notice}{line_end}");
            streams.stderr.write_all(line.as_bytes()).and_then(|()| streams.stderr.flush()).ok();
            failed_boots.push(FailedBoot { notice, log });
        }
    }
}

/// Whether KVM boots `kernel` as far as `init`.
fn probe(kernel: &Path, contents: &Contents) -> Result<bool> {
    let contents = Contents { init: contents.init.clone(), ..Contents::default() };
    let job = Job { argv: vec![b"true".to_vec()], ..Job::default() };
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(&image::build(&contents, &job)?)?;
    let hardware = Hardware {
        accelerator: Accelerator::Kvm,
        cpus: 1,
        memory: 512,
        kernel,
        initramfs: file.path(),
        kernel_arguments: &[],
    };
    let streams = Streams { stdin: Box::new(io::empty()), stdout: Box::new(io::sink()), stderr: Box::new(io::sink()) };
    let reports = Reports::new()?;
    let mut run = Run::start(&hardware, &reports)?;
    let deadline = Some(Instant::now() + PROBE_TIME);
    let ending = match run.boot(PROBE_TIME, deadline, true) {
        Ok(()) => run.work(streams, None, deadline)?,
        Err(ending) => ending,
    };
    match run.end(ending)? {
        (Ending::Signal(signal), _) => Err(Interrupted(signal).into()),
        (ending, _) => Ok(ending == Ending::Command(0)),
    }
}

/// A signal came while KVM was tried.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted(pub i32);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended by signal {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

/// A VM that was started.
struct Run<'a> {
    qemu: Qemu,
    log: Arc<Mutex<KernelLog>>,
    reports: &'a Reports,
    control: Arc<Mutex<UnixStream>>,
    followers: Vec<JoinHandle<()>>,
    lost: Option<Instant>,
}

impl<'a> Run<'a> {
    fn start(hardware: &Hardware<'_>, reports: &'a Reports) -> Result<Self> {
        let qemu = Qemu::start(hardware)?;
        let control = Arc::new(Mutex::new(qemu.port(Port::Control)?));
        let log = Arc::new(Mutex::new(KernelLog::default()));
        let followers = vec![
            follow_log(qemu.log()?, Arc::clone(&log), reports.sender.clone()),
            follow_control(qemu.port(Port::Control)?, reports.sender.clone()),
        ];
        Ok(Self { qemu, log, reports, control, followers, lost: None })
    }

    fn lock_log(&self) -> MutexGuard<'_, KernelLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `init` is about to insert the module; how the VM ended if it does not come so far. A defect in the kernel
    /// log so far is such an end, unless this boot `is_last`: then the job is done all the same.
    fn boot(&mut self, limit: Duration, deadline: Option<Instant>, is_last: bool) -> Result<(), Ending> {
        let boot_deadline = Instant::now() + limit;
        let is_limit_first = deadline.is_none_or(|deadline| boot_deadline < deadline);
        let earlier = if is_limit_first { Some(boot_deadline) } else { deadline };
        loop {
            match self.next(earlier) {
                Ok(Event::Message(ToHost::Ready)) => break,
                Ok(_) => {}
                Err(Ending::TimeOut) if is_limit_first => return Err(Ending::BootTimeOut(limit)),
                Err(ending) => return Err(ending),
            }
        }
        match self.lock_log().faults().first() {
            Some(fault) if !is_last => Err(Ending::KernelFault(fault.clone())),
            _ => Ok(()),
        }
    }

    /// Lets `init` insert the module and do the job. Waits until the command has ended and all that it wrote has come, or
    /// until it will not.
    fn work(&mut self, streams: Streams, out: Option<&Path>, deadline: Option<Instant>) -> Result<Ending> {
        self.tell(&ToGuest::Proceed);
        let mut open_streams = self.attach(streams, out)?;
        let mut status = None;
        loop {
            match self.next(deadline) {
                Ok(Event::Message(ToHost::Ended(ended))) => status = Some(ended),
                Ok(Event::StreamDone) => open_streams -= 1,
                Ok(_) => {}
                Err(ending) => return Ok(ending),
            }
            if let Some(status) = status
                && open_streams == 0
                && self.lock_log().is_ended()
            {
                return Ok(Ending::Command(status));
            }
        }
    }

    /// Connects the command's streams. How many there are whose end is to be waited for.
    fn attach(&self, streams: Streams, out: Option<&Path>) -> Result<u32> {
        feed_stdin(streams.stdin, self.qemu.port(Port::Stdin)?, self.reports.sender.clone());
        for (port, sink, message) in [
            (Port::Stdout, streams.stdout, ToGuest::StdoutClosed),
            (Port::Stderr, streams.stderr, ToGuest::StderrClosed),
        ] {
            let control = Arc::clone(&self.control);
            drain_stream(self.qemu.port(port)?, sink, self.reports.sender.clone(), move || {
                let mut control = control.lock().unwrap_or_else(PoisonError::into_inner);
                write_message(&mut *control, &message)
            });
        }
        if let Some(out) = out {
            unpack_out(self.qemu.port(Port::Out)?, out.to_owned(), self.reports.sender.clone());
        }
        Ok(if out.is_some() { 3 } else { 2 })
    }

    /// The next report; how the VM ended, if it is that.
    fn next(&mut self, deadline: Option<Instant>) -> Result<Event, Ending> {
        loop {
            let deadline = self.lost.map(|time| time + DRAIN_TIME).or(deadline);
            let event = match deadline {
                Some(deadline) => self.reports.events.recv_timeout(deadline.saturating_duration_since(Instant::now())),
                None => self.reports.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(Event::Signal(SIGWINCH)) => self.resize_terminal(),
                Ok(Event::Signal(signal)) => return Err(Ending::Signal(signal)),
                Ok(Event::Failed(why) | Event::Message(ToHost::Failed(why))) => return Err(Ending::Failed(why)),
                Ok(Event::ControlClosed) => self.lost = Some(Instant::now()),
                Ok(Event::LogClosed) if self.lost.is_some() => return Err(Ending::Lost(None)),
                Ok(event) => return Ok(event),
                Err(RecvTimeoutError::Timeout) if self.lost.is_none() => return Err(Ending::TimeOut),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(Ending::Lost(None)),
            }
        }
    }

    /// Ends the VM. What the kernel log and QEMU have to say makes the ending more exact.
    fn end(mut self, ending: Ending) -> Result<(Ending, KernelLog)> {
        // QEMU closes its ports before it ends.
        let patience = if matches!(ending, Ending::Lost(_)) { EXIT_TIME } else { Duration::ZERO };
        let (ended, said) = self.qemu.end(patience)?;
        for follower in self.followers.drain(..) {
            // One that has panicked has nothing more to report either.
            follower.join().ok();
        }
        let log = std::mem::take(&mut *self.lock_log());
        let ending = match (ending, log.faults().first()) {
            (ending @ (Ending::Signal(_) | Ending::KernelFault(_)), _) => ending,
            (_, Some(fault)) => Ending::KernelFault(fault.clone()),
            (Ending::Lost(_), None) => match ended {
                Some(status) if status.code().is_some_and(|code| code != 0) => {
                    Ending::Failed(format!("QEMU failed, {status}: {}", said.trim_end()))
                }
                _ => Ending::Lost(ended),
            },
            (ending, None) => ending,
        };
        Ok((ending, log))
    }

    /// Sends a message. A VM that has gone is told of elsewhere.
    fn tell(&self, message: &ToGuest) {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        write_message(&mut *control, message).ok();
    }

    fn resize_terminal(&self) {
        if let Ok(size) = terminal::size() {
            self.tell(&ToGuest::Resize(size));
        }
    }
}

/// Keeps the kernel log.
fn follow_log(mut pipe: File, log: Arc<Mutex<KernelLog>>, events: Sender<Event>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(buffer.get(..count).unwrap_or_default());
            if log.is_ended() {
                events.send(Event::Log).ok();
            }
        }
        events.send(Event::LogClosed).ok();
    })
}

/// Passes on what `init` says.
fn follow_control(mut socket: UnixStream, events: Sender<Event>) -> JoinHandle<()> {
    thread::spawn(move || {
        while let Ok(message) = read_message(&mut socket) {
            events.send(Event::Message(message)).ok();
        }
        events.send(Event::ControlClosed).ok();
    })
}

/// Sends standard input, as fast as the command takes it. It may block for ever, and is not waited for.
fn feed_stdin(mut source: Box<dyn Read + Send>, socket: UnixStream, events: Sender<Event>) {
    thread::spawn(move || {
        let mut writer = FrameWriter::new(socket);
        let mut buffer = vec![0; crate::protocol::FRAME_MAX];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return writer.finish(),
                Ok(count) => writer.write_all(buffer.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What cannot be read is told, not taken for the end.
                Err(error) => {
                    events.send(Event::Failed(format!("cannot read standard input: {error}"))).ok();
                    return Ok(());
                }
            }
        }
    });
}

/// Writes what the command writes to `sink`. When nobody reads that any more, `close` tells the guest so.
fn drain_stream(
    socket: UnixStream,
    mut sink: Box<dyn Write + Send>,
    events: Sender<Event>,
    close: impl Fn() -> io::Result<()> + Send + 'static,
) {
    thread::spawn(move || {
        let mut reader = FrameReader::new(socket);
        let mut buffer = vec![0; crate::protocol::FRAME_MAX];
        let mut is_closed = false;
        // A port that goes away is reported by the one for control.
        while let Ok(count) = reader.read(&mut buffer) {
            if count == 0 {
                return events.send(Event::StreamDone);
            }
            if is_closed {
                continue;
            }
            let written = sink.write_all(buffer.get(..count).unwrap_or_default()).and_then(|()| sink.flush());
            match written {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    is_closed = true;
                    close().ok();
                }
                Err(error) => return events.send(Event::Failed(format!("cannot write the command's output: {error}"))),
            }
        }
        Ok(())
    });
}

/// Unpacks what the command left in /out. Only files, folders and links come back; owners do not.
fn unpack_out(socket: UnixStream, target: PathBuf, events: Sender<Event>) {
    thread::spawn(move || {
        let unpack = || -> Result<()> {
            let mut reader = FrameReader::new(socket);
            let mut archive = tar::Archive::new(&mut reader);
            archive.set_preserve_permissions(true);
            for entry in archive.entries()? {
                let mut entry = entry?;
                let kind = entry.header().entry_type();
                let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                anyhow::ensure!(
                    kind.is_file() || kind.is_dir() || kind.is_symlink() || kind.is_hard_link(),
                    "/out/{name} is not a file, folder or link"
                );
                entry.unpack_in(&target).with_context(|| format!("cannot unpack /out/{name}"))?;
            }
            io::copy(&mut reader, &mut io::sink())?;
            Ok(())
        };
        match unpack() {
            Ok(()) => events.send(Event::StreamDone),
            // A VM that went away is told of elsewhere.
            Err(error) if is_eof(&error) => Ok(()),
            Err(error) => events.send(Event::Failed(format!("{error:#}"))),
        }
    });
}

fn is_eof(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
    })
}

/// This process's own standard streams, without the buffers and locks of `std`.
///
/// # Errors
/// No descriptors are left.
pub fn own_streams() -> Result<Streams> {
    Ok(Streams {
        stdin: Box::new(File::from(rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?)),
        stdout: Box::new(File::from(rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?)),
        stderr: Box::new(File::from(rustix::io::fcntl_dupfd_cloexec(io::stderr(), 3)?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_tried_again_after_what_may_not_happen_again() {
        let fault = Ending::KernelFault("[ 0.1] Oops: int3".into());
        for ending in [fault.clone(), Ending::BootTimeOut(Duration::from_secs(9)), Ending::Lost(None)] {
            assert!(ending.is_of_the_boot(), "{ending:?}");
        }
        for ending in [Ending::Command(1), Ending::TimeOut, Ending::Signal(SIGINT), Ending::Failed("why".into())] {
            assert!(!ending.is_of_the_boot(), "{ending:?}");
        }
        let never = Ending::NeverBooted(Box::new(fault));
        assert!(!never.is_of_the_boot());
        assert_eq!(never.status(), 121);
        let wanted =
            "all 3 boots failed before kwasmi.ko was inserted; the last one: the kernel failed: [ 0.1] Oops: int3";
        assert_eq!(never.problem(None).as_deref(), Some(wanted));
    }
}
