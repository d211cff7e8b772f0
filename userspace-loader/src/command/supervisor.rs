// SPDX-License-Identifier: GPL-2.0

//! `kwasmi spawn`: the supervisor of a service, which runs the guest and replaces its program.

mod guests;
mod programs;

use self::{
    guests::Guests,
    programs::{
        Number,
        Programs,
        Running,
        Settings,
        reason_of, //
    },
};
use super::{
    complain,
    device,
    guest_env,
    interpreted,
    module_size_max,
    print,
    print_note,
    read_from,
    service::{
        find,
        refused, //
    }, //
};
use crate::{
    boot::notify,
    cli::service::SpawnArgs,
    device::words,
    exit::Exit,
    failure::Failure,
    guest_fds::GuestFds,
    invoke,
    run::{
        self,
        Loaded, //
    },
    service::{
        Name,
        control::{
            Listener,
            Upgrade, //
        },
        inherited,
        output,
        ring::{
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
        Read as _, //
    },
    os::{
        fd::{
            AsFd as _,
            AsRawFd as _,
            OwnedFd, //
        },
        unix::process::CommandExt as _, //
    },
    path::Path,
    process::{
        Command,
        Stdio as ChildStdio, //
    },
    sync::{
        Arc,
        mpsc, //
    },
    thread,
    time::Duration, //
};

/// Line that the supervisor prints on standard output once the service has its name.
const STARTED: &str = "started\n";

/// File of this program, in procfs.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Longest time to wait for the end of the output after the end of the guest.
const COPY_TIME: Duration = Duration::from_secs(5);

/// Returns the failure of a system call for the service `name`.
fn failed(name: &Name, what: &str, errno: Errno) -> Failure {
    Failure::new(Exit::Failed, name.to_string(), format!("{what}: {}", words(errno.into())))
}

pub(super) fn spawn(args: &SpawnArgs, stdio: Stdio) -> Result<Exit, Failure> {
    if args.foreground || args.supervisor { supervise(args, stdio) } else { start_supervisor(args) }
}

/// Starts the supervisor: a process of this command with the same arguments. Returns once the
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

/// Program of the command line, started, and what belongs to it.
struct Started {
    settings: Arc<Settings>,
    guests: Arc<Guests>,
    is_reactor: bool,
    /// Read ends of the pipes with the output.
    pipes: [OwnedFd; 2],
    /// Writer of the log.
    writer: Writer,
}

/// Loads and starts the program of the command line.
fn start(args: &SpawnArgs, stdio: &mut Stdio) -> Result<Started, Failure> {
    let name = &args.name;
    let (file, _) = args.file_and_args();
    let program = source::name(file);
    let source = Source::open(file)?;
    source.check()?;
    let device = device()?;
    let wasm = source.into_wasm(module_size_max(&device)?)?;
    read_from(stdio, args.stdin.as_deref().unwrap_or(Path::new("/dev/null")))?;
    let fds = GuestFds::open(&args.guest.dir, &args.guest.tcp_listen, &args.guest.fd)?;
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(name, "cannot create a pipe", errno));
    let ((from_output, output), (from_error, error)) = (pipe()?, pipe()?);
    let (writer, log) = make_log(args).map_err(|error| {
        Failure::new(Exit::Failed, name.to_string(), format!("cannot create the log: {}", words(error)))
    })?;
    let input = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)
        .map_err(|errno| failed(name, "standard input", errno))?;
    let env = guest_env(&args.guest)
        .map_err(|reason| Failure::new(Exit::Failed, program.as_str(), format!("environment: {reason}")))?;
    let settings = Arc::new(Settings { args: args.clone(), env, input, output, error, fds, log });
    let is_reactor = is_reactor(&wasm);
    let limits = args.limits.requested();
    let Loaded { module, identity } = run::load(&device, &program, &wasm, &limits, args.guest.engine.engine)?;
    if let Some(note) = interpreted(&program, &identity) {
        print_note(&note);
    }
    let file_name = file.file_name().unwrap_or(file.as_os_str());
    let guests = Arc::new(Guests::start(&settings, &module, &program, file_name, is_reactor)?);
    Ok(Started { settings, guests, is_reactor, pipes: [from_output, from_error], writer })
}

/// Returns true if `wasm` is a reactor. The kernel module tells what is wrong with a malformed
/// module.
pub(super) fn is_reactor(wasm: &[u8]) -> bool {
    invoke::exported(wasm).is_ok_and(|functions| invoke::is_reactor(&functions).is_some())
}

/// Runs the service in this process.
fn supervise(args: &SpawnArgs, mut stdio: Stdio) -> Result<Exit, Failure> {
    let name = &args.name;
    if args.supervisor {
        // Otherwise the name of the process is that of the link in procfs, "exe".
        let _ = std::fs::write("/proc/self/comm", "kwasmi");
    }
    let Started { settings, guests, is_reactor, pipes: [output, error], writer } = start(args, &mut stdio)?;
    guests.publish(name, settings.log.as_fd()).map_err(|errno| match errno {
        Errno::EXIST => {
            Failure::new(Exit::Failed, name.to_string(), "the name belongs to a service that has not ended")
        }
        _ => refused(name, errno),
    })?;
    let service = find(&device()?, name)?;
    // Without the socket, for example without a writable /run, the service cannot be upgraded.
    let listener = Listener::new(name).ok().map(Arc::new);
    let running = Running { number: 0, settings, guests: Arc::clone(&guests), service: Some(service), is_reactor };
    let programs = Programs::new(name.clone(), running);
    let is_copied = args.foreground;
    let (sender, copied) = mpsc::channel();
    let no_thread = |error: io::Error| {
        Failure::new(Exit::Failed, name.to_string(), format!("cannot start a thread: {}", words(error)))
    };
    thread::Builder::new()
        .spawn(move || {
            if let Ok(writer) = output::copy(output, error, writer, is_copied) {
                // The receiver may have given up.
                let _ = sender.send(writer);
            }
        })
        .map_err(no_thread)?;
    if args.supervisor {
        // From here on, the caller's terminal and its signals are not those of the service. Until
        // here, Ctrl-C ends the supervisor, which may be compiling or waiting for a file. The
        // leader of a session must also not open a terminal, which would become that of the
        // session.
        process::setsid().map_err(|errno| failed(name, "cannot create a session", errno))?;
        process::chdir("/").map_err(|errno| failed(name, "cannot change to /", errno))?;
        signals::ignore_broken_pipes();
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
    guests.accept();
    programs.run(0, guests)?;
    if let Some(listener) = listener.clone() {
        let programs = Arc::clone(&programs);
        let mut numbers = 1..;
        let serve =
            move |request: &Upgrade, module| programs.upgrade(numbers.next().unwrap_or(Number::MAX), request, module);
        thread::Builder::new().spawn(move || listener.serve(serve)).map_err(no_thread)?;
    }
    let (running, result) = programs.wait();
    // The pipes with the output have no writers any more, except those of a program that does not
    // end soon. The name stays while the instance is open. After an error the guest has not ended.
    let kept = running.map(|Running { guests, service, .. }| (result.is_ok().then_some(guests), service));
    if let Some(listener) = listener {
        listener.remove();
    }
    let exit = match &result {
        Ok(result) => result.ending.exit(),
        Err(refusal) => Exit::of_start(refusal.errno),
    };
    let ended = reason_of(&result);
    if let Ok(mut writer) = copied.recv_timeout(COPY_TIME) {
        // The status does not depend on the log.
        let _ = writer.append(output::now(), Stream::Supervisor, ended.as_bytes());
    }
    if args.foreground {
        if exit != Exit::Guest(0) {
            complain(&Failure::new(exit, name.to_string(), ended));
        }
        return Ok(exit);
    }
    if let Some((Some(_guests), Some(service))) = kept
        && exit != Exit::Guest(0)
    {
        let _ = service.wait_for_removal();
    }
    Ok(exit)
}
