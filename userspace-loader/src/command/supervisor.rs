// SPDX-License-Identifier: GPL-2.0

//! `kwasmi spawn`: the supervisor of a service, which runs the guest and replaces its program.

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
    device::{
        Module as _,
        Refusal,
        Start,
        words, //
    },
    exit::Exit,
    failure::Failure,
    guest_fds::GuestFds,
    invoke::{
        self,
        ExportedFunction, //
    },
    kernel_device::KernelInstance,
    run::{
        self,
        Loaded, //
    },
    run_result::RunResult,
    service::{
        Name,
        calls::{
            Called,
            Function,
            Reactor as _, //
        },
        control::{
            Answer,
            Listener,
            Upgrade, //
        },
        inherited,
        kernel::{
            self,
            KernelService, //
        },
        output,
        ring::{
            Stream,
            Writer, //
        }, //
    },
    signals,
    source::{
        self,
        Source,
        too_large, //
    },
    stdio::{
        self,
        Stdio, //
    },
    strings, //
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
    ffi::{
        OsStr,
        OsString, //
    },
    fs::File,
    io::{
        self,
        Read as _, //
    },
    mem,
    num::NonZeroU64,
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
        Mutex,
        MutexGuard,
        PoisonError,
        mpsc::{
            self,
            RecvTimeoutError, //
        }, //
    },
    thread::{
        self,
        JoinHandle, //
    },
    time::Duration, //
};

/// Line that the supervisor prints on standard output once the service has its name.
const STARTED: &str = "started\n";

/// File of this program, in procfs.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Exported function of type `[] -> [i32]` that returns 0 if a reactor can serve.
const HEALTH: &str = "kwasmi_health";

/// Default of the longest time for the calls of a former program to finish.
const DRAIN: Duration = Duration::from_secs(30);

/// Longest time to wait for a guest that was killed.
const KILL_TIME: Duration = Duration::from_secs(10);

/// Returns the failure of a system call for the service `name`.
fn failed(name: &Name, what: &str, errno: Errno) -> Failure {
    Failure::new(Exit::Failed, name.to_string(), format!("{what}: {}", words(errno.into())))
}

pub(super) fn spawn(args: &SpawnArgs, stdio: Stdio) -> Result<Exit, Failure> {
    if args.foreground || args.supervisor { supervise(args, stdio) } else { start_supervisor(args) }
}

/// Starts the supervisor: a process of this command with the same arguments. Returns once the service
/// is started, or with the exit status of the process.
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

/// Settings of a service. Each of its programs starts with them.
struct Settings {
    args: SpawnArgs,
    env: Vec<u8>,
    input: OwnedFd,
    /// Write ends of the pipes with the guest's output.
    output: OwnedFd,
    error: OwnedFd,
    fds: GuestFds,
    /// Read-only descriptor of the log.
    log: OwnedFd,
}

/// Program of a service, loaded and started, but not running.
struct Started {
    instance: Arc<KernelInstance>,
    /// Exported functions.
    functions: Vec<ExportedFunction>,
    is_reactor: bool,
    /// Note for the user: the reason why the program is interpreted.
    note: Option<String>,
}

impl Settings {
    /// Loads and starts the module `wasm`. `program` is its name in messages, and `file_name` the
    /// first argument of the guest.
    fn start(&self, program: &str, file_name: &OsStr, wasm: &[u8]) -> Result<Started, Failure> {
        let failure = |what: &str, reason: String| Failure::new(Exit::Failed, program, format!("{what}: {reason}"));
        let (_, words) = self.args.file_and_args();
        let args = [file_name].into_iter().chain(words.iter().map(OsString::as_os_str));
        let mut fds = vec![
            stdio::input(self.input.as_fd()),
            stdio::output(self.output.as_fd(), 1),
            stdio::output(self.error.as_fd(), 2),
        ];
        fds.extend_from_slice(self.fds.as_slice());
        let functions = invoke::exported(wasm).unwrap_or_default();
        let is_reactor = invoke::is_reactor(&functions).is_some();
        let start = Start {
            args: strings::join(args).map_err(|reason| failure("arguments", reason))?,
            env: self.env.clone(),
            fds,
            limits: self.args.limits.requested(),
            reactor: is_reactor,
            ..Start::default()
        };
        let Loaded { module, identity } =
            run::load(&device()?, program, wasm, &start.limits, self.args.guest.engine.engine)?;
        let instance = module
            .start(&start)
            .map_err(|refusal| Failure::new(Exit::of_start(refusal.errno), program, refusal.to_string()))?;
        let note = interpreted(program, &identity);
        Ok(Started { instance: Arc::new(instance), functions, is_reactor, note })
    }
}

/// Result of a guest's run.
type Ended = Result<RunResult, Refusal>;

/// State that the main thread and the thread that serves upgrades share.
struct Shared {
    name: Name,
    state: Mutex<State>,
}

/// State of a supervisor. A thread that replaces the program holds the lock until the new one has
/// the name.
struct State {
    /// `None` once the guest has ended.
    running: Option<Running>,
    /// Thread of the new program after an upgrade. The main thread joins it when the former program
    /// has ended.
    successor: Option<JoinHandle<Ended>>,
}

/// Program that has the name of the service.
struct Running {
    settings: Settings,
    instance: Arc<KernelInstance>,
    service: KernelService,
    is_reactor: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No thread panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the answer to a request for an upgrade.
    fn upgrade(&self, request: &Upgrade, wasm: &[u8], size_max: u64) -> Answer {
        if wasm.len() as u64 > size_max {
            return Answer::Refused { status: Exit::Limit.status(), reason: too_large(size_max) };
        }
        match self.replace(request, wasm) {
            Ok(notes) => Answer::Done { notes },
            Err(failure) => {
                let reason =
                    if failure.subject == self.name.to_string() { failure.reason } else { failure.to_string() };
                Answer::Refused { status: failure.exit.status(), reason }
            }
        }
    }

    /// Starts a new program, gives it the name, and ends the former one. Returns notes for the user.
    fn replace(&self, request: &Upgrade, wasm: &[u8]) -> Result<Vec<String>, Failure> {
        let name = &self.name;
        let failure = |exit, reason: String| Failure::new(exit, name.to_string(), reason);
        let mut state = self.lock();
        let State { running: Some(running), successor } = &mut *state else {
            return Err(failure(Exit::Failed, "the service has ended".to_owned()));
        };
        let settings = &running.settings;
        let started = settings.start(&request.program, OsStr::new(&request.file_name), wasm)?;
        let candidate = Candidate::run(started)
            .map_err(|error| failure(Exit::Failed, format!("cannot start a thread: {}", words(error))))?;
        let switched = candidate.check(request).and_then(|()| {
            kernel::replace(&candidate.started.instance, name, settings.log.as_fd()).map_err(|errno| match errno {
                Errno::SHUTDOWN | Errno::NOENT => {
                    failure(Exit::Failed, "the service or the new program ended during the upgrade".to_owned())
                }
                _ => refused(name, errno),
            })
        });
        let service = match switched.and_then(|()| find(&device()?, name)) {
            Ok(service) => service,
            Err(failure) => {
                candidate.kill();
                return Err(failure);
            }
        };
        let Candidate { started: Started { instance, is_reactor, note, .. }, thread, .. } = candidate;
        let mut notes: Vec<_> = note.into_iter().collect();
        let former = mem::replace(&mut running.instance, instance);
        let former_service = mem::replace(&mut running.service, service);
        let was_reactor = mem::replace(&mut running.is_reactor, is_reactor);
        // A main thread that has not taken an earlier successor joins the newest one.
        *successor = Some(thread);
        drop(state);
        let drain = request.drain.unwrap_or(if was_reactor { DRAIN } else { Duration::ZERO });
        if !has_ended(&former_service, drain) {
            let _ = kernel::kill(&former);
            if was_reactor || request.drain.is_some() {
                notes.push(format!(
                    "the former program was killed after {}, and its unfinished calls failed (--drain)",
                    humantime::format_duration(drain)
                ));
            }
            has_ended(&former_service, KILL_TIME);
        }
        Ok(notes)
    }
}

/// Waits until the guest of `service` has ended, for at most `time`. Returns false if it has not.
fn has_ended(service: &KernelService, time: Duration) -> bool {
    let time = u64::try_from(time.as_nanos()).ok().and_then(NonZeroU64::new).unwrap_or(NonZeroU64::MIN);
    service.wait_for_end(Some(time)) != Err(Errno::TIMEDOUT)
}

/// Program that runs, but does not have the name of the service yet.
struct Candidate {
    started: Started,
    thread: JoinHandle<Ended>,
    /// Gets the reason for the end of the guest.
    ended: mpsc::Receiver<String>,
}

impl Candidate {
    /// Runs the program in a new thread.
    fn run(started: Started) -> io::Result<Self> {
        let (sender, ended) = mpsc::channel();
        let instance = Arc::clone(&started.instance);
        let thread = thread::Builder::new().spawn(move || {
            let ended = run::until_end(&*instance);
            // Nobody receives it after the program has got the name.
            let _ = sender.send(reason_of(&ended));
            ended
        })?;
        Ok(Self { started, thread, ended })
    }

    /// Checks that the program can serve: a reactor is initialised and healthy, and another program
    /// has run for some time.
    fn check(&self, request: &Upgrade) -> Result<(), Failure> {
        let failure = |exit, reason: String| Failure::new(exit, request.program.as_str(), reason);
        let died = |reason: String| failure(Exit::Refused, format!("the new program ended: {reason}"));
        if !self.started.is_reactor {
            return match self.ended.recv_timeout(request.settle) {
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Ok(reason) => Err(died(reason)),
                Err(RecvTimeoutError::Disconnected) => Err(died("internal error".to_owned())),
            };
        }
        let instance = &*self.started.instance;
        let function = if self.started.functions.iter().any(|function| function.name == HEALTH) {
            let function =
                instance.function(HEALTH).map_err(|refusal| failure(Exit::Failed, format!("{HEALTH}: {refusal}")))?;
            let ty = &function.export.ty;
            if !ty.params().is_empty() || ty.results() != [wasmparser::ValType::I32] {
                return Err(failure(Exit::Refused, format!("{HEALTH}: its type is not [] -> [i32]")));
            }
            function
        } else {
            Function::none()
        };
        let timeout = u64::try_from(request.health_timeout.as_nanos()).ok().and_then(NonZeroU64::new);
        match instance.call(&function, &[], &[], 0, timeout) {
            Ok(Called::Returned(results, _)) if results == [0] => Ok(()),
            Ok(Called::Returned(results, _)) => {
                // An i32 is in the lower half.
                let result =
                    results.first().map_or(0, |bits| u32::try_from(bits & 0xffff_ffff).unwrap_or(0).cast_signed());
                Err(failure(Exit::Refused, format!("the new program is not healthy: {HEALTH} has returned {result}")))
            }
            Ok(Called::Ended(result)) => Err(died(reason_of(&Ok(result)))),
            // The reactor is initialised, and has no function with that number.
            Err(Errno::INVAL) if function == Function::none() => Ok(()),
            Err(Errno::SHUTDOWN | Errno::CONNRESET) => {
                Err(died(self.ended.recv_timeout(KILL_TIME).unwrap_or_else(|error| error.to_string())))
            }
            Err(Errno::TIMEDOUT | Errno::INPROGRESS) => {
                let timeout = humantime::format_duration(request.health_timeout);
                Err(failure(
                    Exit::Limit,
                    format!("_initialize or {HEALTH} did not return within {timeout} (--health-timeout)"),
                ))
            }
            Err(errno) => Err(failure(Exit::Failed, words(errno.into()))),
        }
    }

    /// Ends the program.
    fn kill(self) {
        let _ = kernel::kill(&self.started.instance);
        let _ = self.thread.join();
    }
}

/// Describes how a guest ended.
fn reason_of(ended: &Ended) -> String {
    match ended {
        Ok(result) => result.reason().unwrap_or_else(|| format!("exited with {}", result.ending.exit().status())),
        Err(refusal) => refusal.to_string(),
    }
}

/// Starts the program of the command line. Returns the settings, the program, the read ends of the
/// pipes with its output, and the writer of the log.
fn start(args: &SpawnArgs, stdio: &mut Stdio) -> Result<(Settings, Started, [OwnedFd; 2], Writer), Failure> {
    let name = &args.name;
    let (file, _) = args.file_and_args();
    let program = source::name(file);
    let source = Source::open(file)?;
    source.check()?;
    let wasm = source.into_wasm(module_size_max(&device()?)?)?;
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
    let settings = Settings { args: args.clone(), env, input, output, error, fds, log };
    let started = settings.start(&program, file.file_name().unwrap_or(file.as_os_str()), &wasm)?;
    Ok((settings, started, [from_output, from_error], writer))
}

/// Runs the service in this process.
fn supervise(args: &SpawnArgs, mut stdio: Stdio) -> Result<Exit, Failure> {
    let name = &args.name;
    if args.supervisor {
        // Otherwise the name of the process is that of the link in procfs, "exe".
        let _ = std::fs::write("/proc/self/comm", "kwasmi");
    }
    let (settings, Started { instance, is_reactor, note, .. }, [output, error], writer) = start(args, &mut stdio)?;
    if let Some(note) = note {
        print_note(&note);
    }
    kernel::publish(&instance, name, settings.log.as_fd()).map_err(|errno| match errno {
        Errno::EXIST => {
            Failure::new(Exit::Failed, name.to_string(), "the name belongs to a service that has not ended")
        }
        _ => refused(name, errno),
    })?;
    let device = device()?;
    let size_max = module_size_max(&device)?;
    let service = find(&device, name)?;
    drop(device);
    // Without the socket, for example without a writable /run, the service cannot be upgraded.
    let listener = Listener::new(name).ok().map(Arc::new);
    let is_copied = args.foreground;
    let thread_failed = |error: io::Error| {
        Failure::new(Exit::Failed, name.to_string(), format!("cannot start a thread: {}", words(error)))
    };
    let copier =
        thread::Builder::new().spawn(move || output::copy(output, error, writer, is_copied)).map_err(thread_failed)?;
    let running = Running { settings, instance: Arc::clone(&instance), service, is_reactor };
    let state = Mutex::new(State { running: Some(running), successor: None });
    let shared = Arc::new(Shared { name: name.clone(), state });
    if let Some(listener) = listener.clone() {
        let shared = Arc::clone(&shared);
        thread::Builder::new()
            .spawn(move || listener.serve(size_max, |request, wasm| shared.upgrade(request, &wasm, size_max)))
            .map_err(thread_failed)?;
    }
    if args.supervisor {
        // From here on, the caller's terminal and its signals are not those of the service. Until
        // here, Ctrl-C ends the supervisor, which may be compiling or waiting for a file. The
        // leader of a session must also not open a terminal, which would become that of the session.
        process::setsid().map_err(|errno| failed(name, "cannot create a session", errno))?;
        process::chdir("/").map_err(|errno| failed(name, "cannot change to /", errno))?;
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
    let (result, running) = until_end(instance, &shared);
    // The pipes with the output have no writers any more, so `copier` ends. The name stays while the
    // instance is open. After an error the guest has not ended, and its instance is a writer.
    let kept = running.map(|Running { instance, service, .. }| (result.is_ok().then_some(instance), service));
    if let Some(listener) = listener {
        listener.remove();
    }
    let exit = match &result {
        Ok(result) => result.ending.exit(),
        Err(refusal) => Exit::of_start(refusal.errno),
    };
    let ended = reason_of(&result);
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
    if let Some((Some(_instance), service)) = kept
        && exit != Exit::Guest(0)
    {
        let _ = service.wait_for_removal();
    }
    Ok(exit)
}

/// Runs `instance`, and then waits for the programs that replace it. Returns how the last one ended,
/// and the program that has the name.
fn until_end(instance: Arc<KernelInstance>, shared: &Shared) -> (Ended, Option<Running>) {
    let mut result = run::until_end(&*instance);
    drop(instance);
    loop {
        // A thread that replaces the program holds the lock.
        let mut state = shared.lock();
        let Some(successor) = state.successor.take() else {
            return (result, state.running.take());
        };
        drop(state);
        result = successor.join().unwrap_or_else(|_| Err(Errno::CANCELED.into()));
    }
}
