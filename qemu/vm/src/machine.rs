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
    /// How long a job may take, boot and all.
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
            Self::TimeOut => 122,
            Self::Lost(_) => 123,
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
            Self::TimeOut => Some(format!("time-out after {} s", time_limit.unwrap_or_default().as_secs())),
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

impl Machine {
    /// Boots the VM, lets it do `job`, ends it.
    ///
    /// # Errors
    /// What kept the VM from being started. What went wrong later is an [`Ending`].
    pub fn run(&self, job: &Job, streams: Streams) -> Result<(Ending, KernelLog)> {
        let image = image::build(&self.contents, job)?;
        let mebibytes = image.len() >> 20;
        // The kernel holds it packed and unpacked, and gives half of the memory to the latter.
        anyhow::ensure!(
            mebibytes * 5 / 2 + 64 <= usize::try_from(self.memory)?,
            "the VM's files take {mebibytes} MiB, too much for one with {} MiB of memory; see --memory",
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
        let hardware = Hardware {
            accelerator,
            cpus: if self.is_counted { 1 } else { self.cpus },
            memory: self.memory,
            kernel: &kernel,
            initramfs: file.path(),
            kernel_arguments: &self.kernel_arguments,
        };
        Run::start(&hardware, streams, self.out.as_deref())?.judge(self.time_limit)
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
    match Run::start(&hardware, streams, None)?.judge(Some(PROBE_TIME))? {
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
struct Run {
    qemu: Qemu,
    log: Arc<Mutex<KernelLog>>,
    events: mpsc::Receiver<Event>,
    control: Arc<Mutex<UnixStream>>,
    streams: u32,
    signals: signal_hook::iterator::Handle,
}

impl Run {
    fn start(hardware: &Hardware<'_>, streams: Streams, out: Option<&Path>) -> Result<Self> {
        let (sender, events) = mpsc::channel();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH])?;
        let handle = signals.handle();
        let to = sender.clone();
        thread::spawn(move || signals.forever().try_for_each(|signal| to.send(Event::Signal(signal))));

        let qemu = Qemu::start(hardware)?;
        let control = Arc::new(Mutex::new(qemu.port(Port::Control)?));
        let log = Arc::new(Mutex::new(KernelLog::default()));
        follow_log(qemu.log()?, Arc::clone(&log), sender.clone());
        follow_control(qemu.port(Port::Control)?, sender.clone());
        feed_stdin(streams.stdin, qemu.port(Port::Stdin)?, sender.clone());
        for (port, sink, message) in [
            (Port::Stdout, streams.stdout, ToGuest::StdoutClosed),
            (Port::Stderr, streams.stderr, ToGuest::StderrClosed),
        ] {
            let control = Arc::clone(&control);
            drain_stream(qemu.port(port)?, sink, sender.clone(), move || {
                let mut control = control.lock().unwrap_or_else(PoisonError::into_inner);
                write_message(&mut *control, &message)
            });
        }
        if let Some(out) = out {
            unpack_out(qemu.port(Port::Out)?, out.to_owned(), sender);
        }
        let streams = if out.is_some() { 3 } else { 2 };
        Ok(Self { qemu, log, events, control, streams, signals: handle })
    }

    fn lock_log(&self) -> MutexGuard<'_, KernelLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end, and ends the VM.
    fn judge(mut self, time_limit: Option<Duration>) -> Result<(Ending, KernelLog)> {
        let deadline = time_limit.map(|limit| Instant::now() + limit);
        let ending = self.wait(deadline);
        self.signals.close();
        // QEMU closes its ports before it ends.
        let patience = if matches!(ending, Ending::Lost(_)) { EXIT_TIME } else { Duration::ZERO };
        let (ended, said) = self.qemu.end(patience)?;
        let log = std::mem::take(&mut *self.lock_log());
        let ending = match (ending, log.faults().first()) {
            (ending @ (Ending::Signal(_) | Ending::KernelFault(_)), _) => ending,
            (_, Some(fault)) => Ending::KernelFault(fault.clone()),
            (Ending::Lost(_), None) if ended.is_some_and(|status| status.code().is_some_and(|code| code != 0)) => {
                Ending::Failed(said.trim_end().to_owned())
            }
            (Ending::Lost(_), None) => Ending::Lost(ended),
            (ending, None) => ending,
        };
        Ok((ending, log))
    }

    /// Waits until the command has ended and all that it wrote has come, or until it will not.
    fn wait(&self, deadline: Option<Instant>) -> Ending {
        let mut deadline = deadline;
        let mut status = None;
        let mut open_streams = self.streams;
        let mut is_lost = false;
        loop {
            let event = match deadline {
                Some(deadline) => self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())),
                None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(Event::Signal(SIGWINCH)) => self.resize_terminal(),
                Ok(Event::Signal(signal)) => return Ending::Signal(signal),
                Ok(Event::Failed(why)) | Ok(Event::Message(ToHost::Failed(why))) => {
                    return Ending::Failed(why);
                }
                Ok(Event::Message(ToHost::Ended(ended))) => status = Some(ended),
                Ok(Event::Message(ToHost::Ready)) | Ok(Event::Log) => {}
                Ok(Event::StreamDone) => open_streams -= 1,
                Ok(Event::ControlClosed) => {
                    is_lost = true;
                    deadline = Some(Instant::now() + DRAIN_TIME);
                }
                Ok(Event::LogClosed) if is_lost => return Ending::Lost(None),
                Ok(Event::LogClosed) => {}
                Err(RecvTimeoutError::Timeout) if is_lost => return Ending::Lost(None),
                Err(RecvTimeoutError::Timeout) => return Ending::TimeOut,
                Err(RecvTimeoutError::Disconnected) => return Ending::Lost(None),
            }
            if let Some(status) = status
                && open_streams == 0
                && self.lock_log().is_ended()
            {
                return Ending::Command(status);
            }
        }
    }

    fn resize_terminal(&self) {
        if let Ok(size) = terminal::size() {
            let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
            // A VM that has gone is told of elsewhere.
            write_message(&mut *control, &ToGuest::Resize(size)).ok();
        }
    }
}

/// Keeps the kernel log.
fn follow_log(mut socket: UnixStream, log: Arc<Mutex<KernelLog>>, events: Sender<Event>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = socket.read(&mut buffer) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(buffer.get(..count).unwrap_or_default());
            if log.is_ended() {
                events.send(Event::Log).ok();
            }
        }
        events.send(Event::LogClosed)
    });
}

/// Passes on what `init` says.
fn follow_control(mut socket: UnixStream, events: Sender<Event>) {
    thread::spawn(move || {
        while let Ok(message) = read_message(&mut socket) {
            events.send(Event::Message(message))?;
        }
        events.send(Event::ControlClosed)
    });
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
                    events.send(Event::Failed(format!("standard input: {error}"))).ok();
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
                Err(error) => return events.send(Event::Failed(format!("output: {error}"))),
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
                    "/out/{name}: not a file, folder or link"
                );
                entry.unpack_in(&target).with_context(|| format!("/out/{name}"))?;
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
