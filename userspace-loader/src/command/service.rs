// SPDX-License-Identifier: GPL-2.0

//! The commands for services: `kwasmi spawn`, `ps`, `logs`, `wait`, `stop`, `kill` and `rm`.

use super::{
    complain,
    device,
    json,
    module_size_max,
    note_interpreted,
    print,
    read_from,
    start_of, //
};
use crate::{
    boot::notify,
    cli::service::{
        LogsArgs,
        NameArgs,
        PsArgs,
        RmArgs,
        SpawnArgs,
        WaitArgs, //
    },
    device::{
        Module as _,
        Start,
        words, //
    },
    exit::Exit,
    failure::{
        Failure,
        line, //
    },
    guest_fds::GuestFds,
    invoke,
    kernel_device::{
        self,
        KernelDevice,
        KernelInstance, //
    },
    report::{
        ServiceRow,
        Services, //
    },
    run::{
        self,
        Loaded, //
    },
    service::{
        Name,
        State,
        inherited,
        kernel::{
            self,
            KernelService, //
        },
        output,
        ring::{
            Found,
            Reader,
            Record,
            Stream,
            Writer, //
        }, //
    },
    signals,
    source::{
        self,
        Source, //
    },
    stdio::{
        self,
        Stdio, //
    }, //
};
use rustix::{
    fs::{
        self,
        MemfdFlags,
        Mode,
        OFlags,
        SealFlags, //
    },
    io::Errno,
    pipe::{
        PipeFlags,
        pipe_with, //
    },
    process, //
};
use std::{
    env,
    fs::File,
    io::{
        self,
        Read as _,
        Write as _, //
    },
    num::NonZeroU64,
    os::fd::{
        AsFd as _,
        AsRawFd as _,
        OwnedFd, //
    },
    os::unix::process::CommandExt as _,
    path::Path,
    process::{
        Command,
        Stdio as ChildStdio, //
    },
    thread,
    time::{
        Duration,
        SystemTime, //
    }, //
};

/// Line that the supervisor prints on standard output once the service has its name.
const STARTED: &str = "started\n";

/// File of this program, in procfs.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Longest time to wait for a service that was killed, in nanoseconds: a minute. A guest ends within
/// milliseconds, unless its task waits for a device or is not running it.
const STOP_TIME: NonZeroU64 = NonZeroU64::new(60_000_000_000).unwrap();

/// Interval at which `logs --follow` looks for new output.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// Number of intervals for which `logs` looks for the last records of a service that has ended.
const END_TRIES: u32 = 10;

/// Returns the failure of a system call for the service `name`.
fn failed(name: &Name, what: &str, errno: Errno) -> Failure {
    Failure::new(Exit::Failed, name.to_string(), format!("{what}: {}", words(errno.into())))
}

/// Returns the failure of an ioctl for the service `name`.
pub(super) fn refused(name: &Name, errno: Errno) -> Failure {
    let reason = match errno {
        Errno::NOENT => return Failure::new(Exit::NotFound, name.to_string(), "no service has this name"),
        Errno::PERM => "not permitted: the service belongs to another user".to_owned(),
        _ => words(errno.into()),
    };
    Failure::new(Exit::Failed, name.to_string(), reason)
}

pub(super) fn find(device: &KernelDevice, name: &Name) -> Result<KernelService, Failure> {
    KernelService::find(device, name).map_err(|errno| refused(name, errno))
}

pub(super) fn spawn(args: &SpawnArgs, stdio: Stdio) -> Result<Exit, Failure> {
    if args.foreground || args.supervisor { supervise(args, stdio) } else { start_supervisor(args) }
}

/// Starts a process of this command with the same arguments that runs the service. Returns once the
/// service is started, or with the exit status of the process.
fn start_supervisor(args: &SpawnArgs) -> Result<Exit, Failure> {
    let name = &args.name;
    if args.guest.fd.contains(&1) {
        // The standard output of the supervisor is a pipe to this process.
        let reason = "standard output cannot be passed to a service in the background";
        return Err(Failure::new(Exit::Failed, "descriptor 1", reason));
    }
    let failure =
        |error: io::Error| Failure::new(Exit::Failed, name.to_string(), format!("supervisor: {}", words(error)));
    let mut child = Command::new(THIS_PROGRAM)
        .arg0("kwasmi")
        .args(["spawn", "--supervisor"])
        .args(env::args_os().skip(2))
        .stdout(ChildStdio::piped())
        .spawn()
        .map_err(|error| Failure::new(Exit::Failed, name.to_string(), format!("{THIS_PROGRAM}: {}", words(error))))?;
    let mut said = String::new();
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_string(&mut said).map_err(failure)?;
    }
    if said == STARTED {
        return Ok(Exit::Guest(0));
    }
    // The supervisor has printed why it failed, unless a signal ended it.
    let status = child.wait().map_err(failure)?;
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) => Ok(Exit::Guest(code)),
        None => Err(Failure::new(Exit::Failed, name.to_string(), format!("the supervisor ended too early: {status}"))),
    }
}

/// Creates the memory file (memfd) of the log. Returns its writer and a read-only descriptor.
fn make_log(args: &SpawnArgs) -> io::Result<(Writer, OwnedFd)> {
    let file = fs::memfd_create("kwasmi-log", MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let reading = fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| io::Error::other(format!("{path}: {}", words(errno.into()))))?;
    let file = File::from(file);
    let writer = Writer::new(file.try_clone()?, args.log_size.get())?;
    // A reader of the log can open it for writing. The seals keep the reader from truncating it.
    fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok((writer, reading))
}

/// A started service: its instance, the read ends of the pipes with its output, and its log.
struct Started {
    service: KernelService,
    instance: KernelInstance,
    output: OwnedFd,
    error: OwnedFd,
    writer: Writer,
}

/// Loads and starts the program of the command line, and publishes its instance.
fn start(args: &SpawnArgs, stdio: &mut Stdio) -> Result<Started, Failure> {
    let name = &args.name;
    let (file, words_behind) = args.file_and_args();
    let program = source::name(file);
    let source = Source::open(file)?;
    source.check()?;
    let device = device()?;
    let size_max = module_size_max(&device)?;
    let wasm = source.into_wasm(size_max)?;
    read_from(stdio, args.stdin.as_deref().unwrap_or(Path::new("/dev/null")))?;
    let guest_fds = GuestFds::open(&args.guest.dir, &args.guest.tcp_listen, &args.guest.fd)?;
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(name, "pipe", errno));
    let ((output, to_output), (error, to_error)) = (pipe()?, pipe()?);
    let mut fds = vec![Stdio::input(), stdio::output(to_output.as_fd(), 1), stdio::output(to_error.as_fd(), 2)];
    fds.extend_from_slice(guest_fds.as_slice());
    let reactor = invoke::exported(&wasm).is_ok_and(|functions| invoke::is_reactor(&functions).is_some());
    let start = Start { reactor, ..start_of(&args.guest, &args.limits, &program, (file, words_behind), fds)? };
    let Loaded { module, identity } = run::load(&device, &program, &wasm, &start.limits, args.guest.engine.engine)?;
    note_interpreted(&program, &identity);
    let instance = module
        .start(&start)
        .map_err(|refusal| Failure::new(Exit::of_start(refusal.errno), program.as_str(), refusal.to_string()))?;
    let (writer, log) = make_log(args)
        .map_err(|error| Failure::new(Exit::Failed, name.to_string(), format!("log: {}", words(error))))?;
    kernel::publish(&instance, name, log.as_fd()).map_err(|errno| match errno {
        Errno::EXIST => {
            Failure::new(Exit::Failed, name.to_string(), "the name belongs to a service that has not ended")
        }
        _ => refused(name, errno),
    })?;
    let service = find(&device, name)?;
    Ok(Started { service, instance, output, error, writer })
}

/// Runs the service in this process.
fn supervise(args: &SpawnArgs, mut stdio: Stdio) -> Result<Exit, Failure> {
    let name = &args.name;
    if args.supervisor {
        // Otherwise the name of the process is that of the link in procfs, "exe".
        let _ = std::fs::write("/proc/self/comm", "kwasmi");
    }
    let Started { service, instance, output, error, writer } = start(args, &mut stdio)?;
    let is_copied = args.foreground;
    let copier = thread::Builder::new()
        .spawn(move || output::copy(output, error, writer, is_copied))
        .map_err(|error| Failure::new(Exit::Failed, name.to_string(), format!("thread: {}", words(error))))?;
    if args.supervisor {
        // From here on, the caller's terminal and its signals are not those of the service. Until
        // here, Ctrl-C ends the supervisor, which may be compiling or waiting for a file. The
        // leader of a session must also not open a terminal, which would become that of the session.
        process::setsid().map_err(|errno| failed(name, "session", errno))?;
        process::chdir("/").map_err(|errno| failed(name, "/", errno))?;
        inherited::close().map_err(|error| {
            Failure::new(Exit::Failed, name.to_string(), format!("inherited descriptors: {}", words(error)))
        })?;
        print(STARTED)?;
        // `start_supervisor` reads standard output to its end. Nobody reads later messages.
        stdio::close_all().map_err(|errno| failed(name, "/dev/null", errno))?;
    } else {
        // The service does not depend on the readers of its output.
        signals::ignore_broken_pipes();
        notify::ready();
    }
    let result = run::until_end(&instance);
    if result.is_err() {
        // The guest has not ended, so its instance still has the write ends of the pipes. The
        // thread waits until they are closed.
        drop(instance);
    }
    let (exit, reason) = match &result {
        Ok(result) => (result.ending.exit(), result.reason()),
        Err(refusal) => (Exit::of_start(refusal.errno), Some(refusal.to_string())),
    };
    let ended = reason.unwrap_or_else(|| format!("exited with {}", exit.status()));
    // All write ends of the pipes are closed, so the thread ends.
    if let Ok(Ok(mut writer)) = copier.join() {
        // The status does not depend on the log.
        let _ = writer.append(output::now(), Stream::Supervisor, ended.as_bytes());
    }
    if args.foreground {
        if exit != Exit::Guest(0) {
            complain(&Failure::new(exit, name.to_string(), ended));
        }
        return Ok(exit);
    }
    if exit != Exit::Guest(0) && result.is_ok() {
        let _ = service.wait_for_removal();
    }
    Ok(exit)
}

pub(super) fn ps(args: &PsArgs) -> Result<Exit, Failure> {
    let device = device()?;
    let services = if args.names.is_empty() {
        kernel::services(&device)
            .map_err(|errno| Failure::new(Exit::Failed, kernel_device::PATH, words(errno.into())))?
    } else {
        let describe = |name| find(&device, name)?.describe().map_err(|errno| refused(name, errno));
        args.names.iter().map(describe).collect::<Result<_, _>>()?
    };
    let rows: Vec<_> = services.iter().map(ServiceRow::new).collect();
    print(&if args.json { json(&rows)? } else { Services(&rows).to_string() })?;
    Ok(Exit::Guest(0))
}

/// Prints a record: the guest's standard output on standard output, the rest on standard error.
fn show(record: &Record, name: &Name, has_time: bool) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    if has_time {
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(record.time);
        bytes.extend_from_slice(format!("{} ", humantime::format_rfc3339_millis(time)).as_bytes());
    }
    match record.stream {
        Stream::Supervisor => {
            let text = String::from_utf8_lossy(&record.text);
            bytes.extend_from_slice(format!("kwasmi: {name}: {}\n", line(&text)).as_bytes());
        }
        Stream::Output | Stream::Error => bytes.extend_from_slice(&record.text),
    }
    if record.stream == Stream::Output {
        return super::print_bytes(&bytes);
    }
    // A closed standard error is not a failure.
    let _ = io::stderr().write_all(&bytes);
    Ok(())
}

pub(super) fn logs(args: &LogsArgs) -> Result<Exit, Failure> {
    let name = &args.name;
    let service = find(&device()?, name)?;
    let log = service.log().map_err(|errno| match errno {
        Errno::NOENT => {
            Failure::new(Exit::Failed, name.to_string(), "the service has no log, or its supervisor has ended")
        }
        _ => refused(name, errno),
    })?;
    let mut reader = Reader::new(log);
    let unreadable = |error| Failure::new(Exit::Failed, format!("log of {name}"), words(error));
    let mut has_ended = false;
    let mut tries = END_TRIES;
    loop {
        // The state is read first: if it is `Removed`, the log is complete.
        let state = service.describe().map_err(|errno| refused(name, errno))?.state;
        // A guest may write faster than its log is printed.
        let end = reader.end().map_err(unreadable)?;
        while !reader.is_at(end) {
            match reader.read().map_err(unreadable)? {
                Found::Record(record) => {
                    show(&record, name, args.timestamps)?;
                    // The last record of a service.
                    has_ended |= record.stream == Stream::Supervisor;
                }
                Found::Dropped(count) => {
                    complain(&Failure::new(Exit::Failed, name.to_string(), format!("{count} lines were dropped")));
                }
                Found::End => break,
            }
        }
        // The supervisor writes the last records after the end of the guest, unless it was killed.
        if matches!(state, State::Ended(_) | State::Removed) {
            tries -= 1;
        } else if !args.follow {
            return Ok(Exit::Guest(0));
        }
        if has_ended || tries == 0 {
            return Ok(Exit::Guest(0));
        }
        thread::sleep(FOLLOW_INTERVAL);
    }
}

pub(super) fn wait(args: &WaitArgs) -> Result<Exit, Failure> {
    let name = &args.name;
    let service = find(&device()?, name)?;
    service.wait_for_end(args.timeout).map_err(|errno| match errno {
        Errno::TIMEDOUT => {
            let timeout = Duration::from_nanos(args.timeout.map_or(0, NonZeroU64::get));
            let reason = format!("has not ended within {}", humantime::format_duration(timeout));
            Failure::new(Exit::Limit, name.to_string(), reason)
        }
        _ => refused(name, errno),
    })?;
    let result = service.result().map_err(|errno| refused(name, errno))?;
    let exit = result.ending.exit();
    if let Some(reason) = result.reason() {
        complain(&Failure::new(exit, name.to_string(), reason));
    }
    Ok(exit)
}

/// Ends a service, waits for its end, and removes its name.
fn end(device: &KernelDevice, name: &Name) -> Result<(), Failure> {
    let service = find(device, name)?;
    service.kill().map_err(|errno| refused(name, errno))?;
    service.wait_for_end(Some(STOP_TIME)).map_err(|errno| match errno {
        Errno::TIMEDOUT => {
            let reason = "was killed, but has not ended within a minute: is its process stopped?";
            Failure::new(Exit::Limit, name.to_string(), reason)
        }
        _ => refused(name, errno),
    })?;
    service.remove().map_err(|errno| refused(name, errno))
}

/// Calls `f` for each name, and prints its failures. Returns the exit status of the last failure,
/// or 0.
fn each(names: &[Name], mut f: impl FnMut(&KernelDevice, &Name) -> Result<(), Failure>) -> Result<Exit, Failure> {
    let device = device()?;
    let mut exit = Exit::Guest(0);
    for name in names {
        if let Err(failure) = f(&device, name) {
            complain(&failure);
            exit = failure.exit;
        }
    }
    Ok(exit)
}

pub(super) fn stop(args: &NameArgs) -> Result<Exit, Failure> {
    each(&args.names, end)
}

pub(super) fn kill(args: &NameArgs) -> Result<Exit, Failure> {
    each(&args.names, |device, name| find(device, name)?.kill().map_err(|errno| refused(name, errno)))
}

pub(super) fn rm(args: &RmArgs) -> Result<Exit, Failure> {
    each(&args.names, |device, name| {
        if args.force {
            return end(device, name);
        }
        find(device, name)?.remove().map_err(|errno| match errno {
            Errno::BUSY => Failure::new(Exit::Failed, name.to_string(), "has not ended; kwasmi rm -f ends it"),
            _ => refused(name, errno),
        })
    })
}
