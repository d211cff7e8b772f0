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
    invoke,
    kernel_device::{
        KernelInstance,
        KernelModule, //
    },
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
        Source, //
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
    collections::BTreeMap,
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
        Condvar,
        Mutex,
        MutexGuard,
        PoisonError,
        mpsc, //
    },
    thread,
    time::Duration, //
};
use wasmparser::ValType;

/// Line that the supervisor prints on standard output once the service has its name.
const STARTED: &str = "started\n";

/// File of this program, in procfs.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Exported function of type `[] -> [i32]` that returns 0 if a reactor can serve.
const HEALTH: &str = "kwasmi_health";

/// Default of the longest time for the calls of a former program to finish.
const DRAIN: Duration = Duration::from_secs(30);

/// Longest time to wait for the end of the output after the end of the guest.
const COPY_TIME: Duration = Duration::from_secs(5);

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

impl Settings {
    /// Starts a program of `module`. `program` is its name in messages, and `file_name` the first
    /// argument of the guest.
    fn start(
        &self,
        module: &KernelModule,
        program: &str,
        file_name: &OsStr,
        is_reactor: bool,
    ) -> Result<KernelInstance, Failure> {
        let (_, words) = self.args.file_and_args();
        let args = [file_name].into_iter().chain(words.iter().map(OsString::as_os_str));
        let mut fds = vec![
            stdio::input(self.input.as_fd()),
            stdio::output(self.output.as_fd(), 1),
            stdio::output(self.error.as_fd(), 2),
        ];
        fds.extend_from_slice(self.fds.as_slice());
        let start = Start {
            args: strings::join(args)
                .map_err(|reason| Failure::new(Exit::Failed, program, format!("arguments: {reason}")))?,
            env: self.env.clone(),
            fds,
            limits: self.args.limits.requested(),
            reactor: is_reactor,
            ..Start::default()
        };
        module
            .start(&start)
            .map_err(|refusal| Failure::new(Exit::of_start(refusal.errno), program, refusal.to_string()))
    }
}

/// Result of a guest's run.
type Ended = Result<RunResult, Refusal>;

/// Number of a program of this process, in the order of their starts.
type Number = u64;

/// State that the threads of a supervisor share: the main thread, which waits for the end of the
/// program that has the name; a thread for each program; and a thread that makes upgrades.
struct Shared {
    name: Name,
    state: Mutex<State>,
    /// Notified when a program has ended, or another one has the name.
    changed: Condvar,
}

/// State of a supervisor.
struct State {
    /// Program that has the name; `None` once the service has ended.
    running: Option<Running>,
    /// Program that is checked before it gets the name.
    candidate: Option<Arc<KernelInstance>>,
    /// How the other programs and this one have ended.
    ended: BTreeMap<Number, Ended>,
}

/// Program that has the name of the service.
struct Running {
    number: Number,
    settings: Arc<Settings>,
    instance: Arc<KernelInstance>,
    /// `None` if no descriptor was free.
    service: Option<KernelService>,
    is_reactor: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No thread panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a program in a new thread, which stores how it has ended.
    fn run(self: &Arc<Self>, number: Number, instance: Arc<KernelInstance>) -> Result<(), Failure> {
        let shared = Arc::clone(self);
        let run = move || {
            let ended = run::until_end(&*instance);
            drop(instance);
            shared.lock().ended.insert(number, ended);
            shared.changed.notify_all();
        };
        let thread = thread::Builder::new().spawn(run);
        thread.map(drop).map_err(|error| {
            Failure::new(Exit::Failed, self.name.to_string(), format!("cannot start a thread: {}", words(error)))
        })
    }

    /// Waits until the program that has the name has ended. Returns it and how it has ended. A
    /// program that is being checked is killed.
    fn wait(&self) -> (Option<Running>, Ended) {
        let mut state = self.lock();
        loop {
            let number = state.running.as_ref().map(|running| running.number);
            if let Some(ended) = number.and_then(|number| state.ended.remove(&number)) {
                if let Some(candidate) = &state.candidate {
                    let _ = kernel::kill(candidate);
                }
                return (state.running.take(), ended);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for the end of a program, for at most `time`. Returns how it has ended, once.
    fn wait_for_end(&self, number: Number, time: Duration) -> Option<Ended> {
        let is_running = |state: &mut State| !state.ended.contains_key(&number);
        let waited = self.changed.wait_timeout_while(self.lock(), time, is_running);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.ended.remove(&number)
    }

    /// Returns the answer to a request for an upgrade. `number` is that of the new program.
    fn upgrade(self: &Arc<Self>, number: Number, request: &Upgrade, module: OwnedFd) -> Answer {
        match self.replace(number, request, &KernelModule::from(module)) {
            Ok(notes) => Answer::Done { notes },
            Err(failure) => {
                let is_own = failure.subject == self.name.to_string();
                let reason = if is_own { failure.reason } else { failure.to_string() };
                Answer::Refused { status: failure.exit.status(), reason }
            }
        }
    }

    /// Starts a new program, gives it the name, and ends the former one. Returns notes for the user.
    fn replace(
        self: &Arc<Self>,
        number: Number,
        request: &Upgrade,
        module: &KernelModule,
    ) -> Result<Vec<String>, Failure> {
        let name = &self.name;
        let over = || Failure::new(Exit::Failed, name.to_string(), "the service has ended");
        // Nothing that follows the switch may fail.
        let device = device()?;
        let settings = Arc::clone(&self.lock().running.as_ref().ok_or_else(over)?.settings);
        let instance = settings.start(module, &request.program, OsStr::new(&request.file_name), request.is_reactor)?;
        let instance = Arc::new(instance);
        let mut state = self.lock();
        if state.running.is_none() {
            return Err(over());
        }
        state.candidate = Some(Arc::clone(&instance));
        drop(state);
        let checked = self.run(number, Arc::clone(&instance)).and_then(|()| self.check(number, &instance, request));
        let mut state = self.lock();
        state.candidate = None;
        let switched = match (checked, &mut state.running) {
            (Err(failure), _) => Err(failure),
            (Ok(()), None) => Err(over()),
            (Ok(()), Some(running)) => {
                kernel::replace(&instance, name, settings.log.as_fd()).map(|()| running).map_err(|errno| match errno {
                    Errno::SHUTDOWN | Errno::NOENT => Failure::new(
                        Exit::Failed,
                        name.to_string(),
                        "the service or the new program ended during the upgrade",
                    ),
                    _ => refused(name, errno),
                })
            }
        };
        let running = match switched {
            Ok(running) => running,
            Err(failure) => {
                drop(state);
                let _ = kernel::kill(&instance);
                self.wait_for_end(number, KILL_TIME);
                return Err(failure);
            }
        };
        let service = KernelService::find(&device, name).ok();
        let running =
            mem::replace(running, Running { number, settings, instance, service, is_reactor: request.is_reactor });
        drop(state);
        // The new program may have ended already.
        self.changed.notify_all();
        Ok(self.retire(running, request.drain))
    }

    /// Ends the former program. Returns notes for the user.
    fn retire(&self, former: Running, drain: Option<Duration>) -> Vec<String> {
        let mut notes = Vec::new();
        let time = drain.unwrap_or(if former.is_reactor { DRAIN } else { Duration::ZERO });
        if self.wait_for_end(former.number, time).is_none() {
            let _ = kernel::kill(&former.instance);
            if former.is_reactor || drain.is_some() {
                let time = humantime::format_duration(time);
                notes.push(format!(
                    "the former program was killed after {time}, and its unfinished calls failed (--drain)"
                ));
            }
            if self.wait_for_end(former.number, KILL_TIME).is_none() {
                notes.push("the former program was killed, and has not ended yet".to_owned());
            }
        }
        notes
    }

    /// Checks that a program can serve: a reactor is initialised and healthy, and another program has
    /// run for some time.
    fn check(&self, number: Number, instance: &KernelInstance, request: &Upgrade) -> Result<(), Failure> {
        let failure = |exit, reason: String| Failure::new(exit, request.program.as_str(), reason);
        let died = |ended: &Ended| failure(Exit::Refused, format!("the new program ended: {}", reason_of(ended)));
        if !request.is_reactor {
            return self.wait_for_end(number, request.settle).map_or(Ok(()), |ended| Err(died(&ended)));
        }
        let function = match instance.function(HEALTH) {
            Ok(function) => function,
            Err(refusal) if refusal.errno == Errno::NOENT => Function::none(),
            Err(refusal) => return Err(failure(Exit::Refused, format!("{HEALTH}: {refusal}"))),
        };
        let is_known = function != Function::none();
        let ty = &function.export.ty;
        if is_known && (!ty.params().is_empty() || ty.results() != [ValType::I32]) {
            return Err(failure(Exit::Refused, format!("{HEALTH}: its type is not [] -> [i32]")));
        }
        let timeout = u64::try_from(request.health_timeout.as_nanos()).ok().and_then(NonZeroU64::new);
        match instance.call(&function, &[], &[], 0, timeout) {
            Ok(Called::Returned(results, _)) if results == [0] => Ok(()),
            Ok(Called::Returned(results, _)) => {
                // An i32 is in the lower half.
                let bits = results.first().map_or(0, |bits| bits & 0xffff_ffff);
                let result = u32::try_from(bits).unwrap_or(0).cast_signed();
                Err(failure(Exit::Refused, format!("the new program is not healthy: {HEALTH} has returned {result}")))
            }
            Ok(Called::Ended(result)) => Err(died(&Ok(result))),
            // The reactor is initialised, and has no function with that number.
            Err(Errno::INVAL) if !is_known => Ok(()),
            Err(errno) => match self.wait_for_end(number, Duration::ZERO) {
                Some(ended) => Err(died(&ended)),
                None if matches!(errno, Errno::TIMEDOUT | Errno::INPROGRESS) => {
                    let timeout = humantime::format_duration(request.health_timeout);
                    let reason = format!("_initialize or {HEALTH} did not return within {timeout} (--health-timeout)");
                    Err(failure(Exit::Limit, reason))
                }
                None if matches!(errno, Errno::SHUTDOWN | Errno::CONNRESET) => {
                    let ended = self.wait_for_end(number, KILL_TIME);
                    Err(died(&ended.unwrap_or_else(|| Err(errno.into()))))
                }
                None => Err(failure(Exit::Failed, words(errno.into()))),
            },
        }
    }
}

/// Describes how a guest ended.
fn reason_of(ended: &Ended) -> String {
    match ended {
        Ok(result) => result.reason().unwrap_or_else(|| format!("exited with {}", result.ending.exit().status())),
        Err(refusal) => refusal.to_string(),
    }
}

/// Program of the command line, started, and what belongs to it.
struct Started {
    settings: Settings,
    instance: KernelInstance,
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
    let settings = Settings { args: args.clone(), env, input, output, error, fds, log };
    let is_reactor = is_reactor(&wasm);
    let limits = args.limits.requested();
    let Loaded { module, identity } = run::load(&device, &program, &wasm, &limits, args.guest.engine.engine)?;
    if let Some(note) = interpreted(&program, &identity) {
        print_note(&note);
    }
    let instance = settings.start(&module, &program, file.file_name().unwrap_or(file.as_os_str()), is_reactor)?;
    Ok(Started { settings, instance, is_reactor, pipes: [from_output, from_error], writer })
}

/// Returns true if `wasm` is a reactor. The kernel module tells what is wrong with a malformed module.
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
    let Started { settings, instance, is_reactor, pipes: [output, error], writer } = start(args, &mut stdio)?;
    kernel::publish(&instance, name, settings.log.as_fd()).map_err(|errno| match errno {
        Errno::EXIST => {
            Failure::new(Exit::Failed, name.to_string(), "the name belongs to a service that has not ended")
        }
        _ => refused(name, errno),
    })?;
    let service = find(&device()?, name)?;
    // Without the socket, for example without a writable /run, the service cannot be upgraded.
    let listener = Listener::new(name).ok().map(Arc::new);
    let instance = Arc::new(instance);
    let running = Running {
        number: 0,
        settings: Arc::new(settings),
        instance: Arc::clone(&instance),
        service: Some(service),
        is_reactor,
    };
    let state = State { running: Some(running), candidate: None, ended: BTreeMap::new() };
    let shared = Arc::new(Shared { name: name.clone(), state: Mutex::new(state), changed: Condvar::new() });
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
    shared.run(0, instance)?;
    if let Some(listener) = listener.clone() {
        let shared = Arc::clone(&shared);
        let mut numbers = 1..;
        let serve =
            move |request: &Upgrade, module| shared.upgrade(numbers.next().unwrap_or(Number::MAX), request, module);
        thread::Builder::new().spawn(move || listener.serve(serve)).map_err(no_thread)?;
    }
    let (running, result) = shared.wait();
    // The pipes with the output have no writers any more, except those of a program that does not end
    // soon. The name stays while the instance is open. After an error the guest has not ended.
    let kept = running.map(|Running { instance, service, .. }| (result.is_ok().then_some(instance), service));
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
    if let Some((Some(_instance), Some(service))) = kept
        && exit != Exit::Guest(0)
    {
        let _ = service.wait_for_removal();
    }
    Ok(exit)
}
