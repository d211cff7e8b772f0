// SPDX-License-Identifier: GPL-2.0

//! One run: boots a VM, runs a job in it, and classifies how the run ended.

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
        Disk,
        Hardware,
        Qemu, //
    },
    terminal,
};

/// Maximum number of boots of a VM that fails before its module is inserted.
const MAX_BOOTS: u32 = 3;

/// Time limit of the trial boot by KVM.
const PROBE_TIME: Duration = Duration::from_secs(15);

/// Time limit for the remaining data of the streams after the VM has closed its control port.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Time limit for the shutdown of a system whose disk is kept.
const SHUTDOWN_TIME: Duration = Duration::from_secs(180);

/// Time limit for QEMU to exit after it has closed its ports.
const EXIT_TIME: Duration = Duration::from_secs(10);

/// Host side of a job's standard streams.
pub struct Streams {
    /// Source of the command's standard input.
    pub stdin: Box<dyn Read + Send>,
    /// Sink of the command's standard output.
    pub stdout: Box<dyn Write + Send>,
    /// Sink of the command's standard error.
    pub stderr: Box<dyn Write + Send>,
}

/// Configuration of a VM.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Kernel to boot.
    pub kernel: Kernel,
    /// Contents of the initramfs.
    pub contents: Contents,
    /// Number of processors.
    pub cpus: u32,
    /// Set if the clock counts instructions, on one emulated processor.
    pub is_counted: bool,
    /// Memory of the VM, in MiB.
    pub memory: u32,
    /// Kernel arguments, appended to the default ones.
    pub kernel_arguments: Vec<String>,
    /// Number of first boots that get an additional kernel argument, and the argument; used to test
    /// failing boots.
    pub first_boots: Option<(u32, String)>,
    /// Time limit of a boot until the module is inserted.
    pub boot_limit: Duration,
    /// Time limit of a job, all boots included.
    pub time_limit: Option<Duration>,
    /// Folder on the host that receives the contents of /out.
    pub out: Option<PathBuf>,
    /// Disk with the system that runs the job. Without it, the initramfs runs the job.
    pub disk: Option<Disk>,
}

/// Ending of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The command ended and the kernel log has no fault. Holds the command's exit status, 128+n
    /// for signal n.
    Command(u8),
    /// The kernel log has a fault. Holds its first line.
    KernelFault(String),
    /// The job exceeded its time limit.
    TimeOut,
    /// The boot exceeded this time limit.
    BootTimeOut(Duration),
    /// All [`MAX_BOOTS`] boots failed before the module was inserted. Holds the ending of the last
    /// one.
    NeverBooted(Box<Ending>),
    /// The VM was lost. Holds the exit status of QEMU, if it exited.
    Lost(Option<ExitStatus>),
    /// This process received a signal that ends the run.
    Signal(i32),
    /// The job could not be run. Holds the reason.
    Failed(String),
}

impl Ending {
    /// Returns the exit status of `kwasmi-vm` for this ending.
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

    /// Returns a description of the problem, if there is one. `time_limit` is the time limit of the
    /// VM.
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

    /// Returns true if a boot that ended like this before the module was inserted is worth another
    /// attempt.
    const fn is_of_the_boot(&self) -> bool {
        matches!(self, Self::KernelFault(_) | Self::BootTimeOut(_) | Self::Lost(_))
    }
}

/// Result of a job.
#[derive(Debug)]
pub struct Finished {
    /// Ending of the job.
    pub ending: Ending,
    /// Kernel log of the boot that ran the job, or of the last boot.
    pub log: KernelLog,
    /// Failed boots before that one.
    pub failed_boots: Vec<FailedBoot>,
}

impl Finished {
    /// Writes the kernel logs of all boots, with the notice of each failed boot between them.
    ///
    /// # Errors
    /// Any error of the writer.
    pub fn write_log(&self, writer: &mut impl Write) -> io::Result<()> {
        for boot in &self.failed_boots {
            writer.write_all(boot.log.text())?;
            writeln!(writer, "\nkwasmi: {}", boot.notice)?;
        }
        writer.write_all(self.log.text())
    }
}

/// Boot that failed before the module was inserted and was followed by another boot.
#[derive(Debug)]
pub struct FailedBoot {
    /// Number of the boot and reason of the failure, in words.
    pub notice: String,
    /// Kernel log of the boot.
    pub log: KernelLog,
}

/// Report of a thread of a run.
enum Event {
    Log,
    LogClosed,
    Message(ToHost),
    ControlClosed,
    StreamDone,
    Failed(String),
    Signal(i32),
}

/// Channel of reports from a VM's threads and of signals to this process.
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

    /// Discards the pending reports of an ended VM. Returns the first signal among them that ends
    /// this process.
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
    /// Boots the VM, runs `job` in it, and ends it. A VM that fails before its module is inserted
    /// is booted again, with a notice on the job's standard error. A VM that fails later is not.
    ///
    /// # Errors
    /// Fails if the image cannot be built, is too large for the VM's memory, or QEMU cannot be
    /// started. Later failures are an [`Ending`].
    pub fn run(&self, job: &Job, mut streams: Streams) -> Result<Finished> {
        let image = image::build(&self.contents, job)?;
        let mebibytes = image.len() >> 20;
        // The kernel holds the image and its unpacked contents at the same time. The root file
        // system may take at most half of the memory.
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
                disk: self.disk.as_ref(),
                kernel_arguments: &kernel_arguments,
            };
            let mut run = Run::start(&hardware, &reports)?;
            let is_last = number == MAX_BOOTS;
            let ending = match run.boot(self.boot_limit, deadline, is_last) {
                Ok(()) => {
                    let mut ending = run.work(streams, self.out.as_deref(), deadline)?;
                    if job.is_shut_down && matches!(ending, Ending::Command(_)) {
                        ending = run.await_shutdown(ending)?;
                    }
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
            // A terminal in raw mode needs "\r\n". A write error is ignored: the reader closed the
            // stream.
            let line_end = if job.terminal.is_some() { "\r\n" } else { "\n" };
            let line = format!("kwasmi: {notice}{line_end}");
            streams.stderr.write_all(line.as_bytes()).and_then(|()| streams.stderr.flush()).ok();
            failed_boots.push(FailedBoot { notice, log });
        }
    }
}

/// Returns true if KVM boots `kernel` up to `init` and a command in it succeeds.
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
        disk: None,
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

/// Error: this process received a signal that ends the run.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted(pub i32);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended by signal {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

/// Running VM.
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

    /// Waits until `init` is ready to insert the module. Returns the ending of the VM if it fails
    /// before. A fault in the kernel log counts as a failure unless `is_last` is set: the last boot
    /// runs the job anyway.
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

    /// Lets `init` insert the module and run the job. Waits until the command has ended and all its
    /// output has been received, or until the run fails.
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

    /// Waits until the system has powered off, after a command with this ending. Its disk has all
    /// changes then.
    fn await_shutdown(&mut self, ending: Ending) -> Result<Ending> {
        let (ended, _) = self.qemu.end(SHUTDOWN_TIME)?;
        Ok(match ended {
            Some(_) => ending,
            None => Ending::Failed(format!("the system did not shut down within {} s", SHUTDOWN_TIME.as_secs())),
        })
    }

    /// Connects the command's streams. Returns the number of streams whose end must be awaited.
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

    /// Waits for the next report. Returns the ending of the run if the report or the deadline ends
    /// it.
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

    /// Ends the VM. Refines the ending by faults in the kernel log and by the exit status and
    /// messages of QEMU.
    fn end(mut self, ending: Ending) -> Result<(Ending, KernelLog)> {
        // QEMU closes its ports before it exits.
        let patience = if matches!(ending, Ending::Lost(_)) { EXIT_TIME } else { Duration::ZERO };
        let (ended, said) = self.qemu.end(patience)?;
        for follower in self.followers.drain(..) {
            // A follower that panicked has no further reports.
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

    /// Sends a message. Errors are ignored: the thread that reads the control port reports a lost
    /// VM.
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

/// Starts a thread that appends the serial console's output to `log`.
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

/// Starts a thread that reports the messages of `init`.
fn follow_control(mut socket: UnixStream, events: Sender<Event>) -> JoinHandle<()> {
    thread::spawn(move || {
        while let Ok(message) = read_message(&mut socket) {
            events.send(Event::Message(message)).ok();
        }
        events.send(Event::ControlClosed).ok();
    })
}

/// Starts a thread that sends standard input as fast as the command reads it. The thread may block
/// forever and is never joined.
fn feed_stdin(mut source: Box<dyn Read + Send>, socket: UnixStream, events: Sender<Event>) {
    thread::spawn(move || {
        let mut writer = FrameWriter::new(socket);
        let mut buffer = vec![0; crate::protocol::FRAME_MAX];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return writer.finish(),
                Ok(count) => writer.write_all(buffer.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A read error must not look like the end of the input.
                Err(error) => {
                    events.send(Event::Failed(format!("cannot read standard input: {error}"))).ok();
                    return Ok(());
                }
            }
        }
    });
}

/// Starts a thread that writes the command's output to `sink`. When the reader of `sink` has closed
/// it, `close` tells the guest.
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
        // The thread that reads the control port reports a lost VM.
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

/// Starts a thread that unpacks the contents of /out. Fails for entries that are not files, folders
/// or links. Owners are not restored.
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
            // The thread that reads the control port reports a lost VM.
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

/// Returns this process's standard streams, without the buffers and locks of `std`.
///
/// # Errors
/// Fails if a descriptor cannot be duplicated.
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
    fn only_boot_failures_are_retried() {
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
        let expected =
            "all 3 boots failed before kwasmi.ko was inserted; the last one: the kernel failed: [ 0.1] Oops: int3";
        assert_eq!(never.problem(None).as_deref(), Some(expected));
    }
}
