// SPDX-License-Identifier: GPL-2.0

//! Programs of a service: running them, and replacing one by another.

use super::{
    super::{
        device,
        service::refused, //
    },
    guests::Guests, //
};
use crate::{
    cli::service::SpawnArgs,
    device::{
        Refusal,
        Start,
        words, //
    },
    exit::Exit,
    failure::Failure,
    guest_fds::GuestFds,
    kernel_device::{
        KernelInstance,
        KernelModule, //
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
            Upgrade, //
        },
        kernel::KernelService, //
    },
    stdio,
    strings, //
};
use rustix::io::Errno;
use std::{
    collections::BTreeMap,
    ffi::{
        OsStr,
        OsString, //
    },
    mem,
    num::NonZeroU64,
    os::fd::{
        AsFd as _,
        OwnedFd, //
    },
    sync::{
        Arc,
        Condvar,
        Mutex,
        MutexGuard,
        PoisonError, //
    },
    thread,
    time::Duration, //
};
use wasmparser::ValType;

/// Exported function of type `[] -> [i32]` that returns 0 if a reactor can serve.
const HEALTH: &str = "kwasmi_health";

/// Default of the longest time for the calls of a former program to finish.
const DRAIN: Duration = Duration::from_secs(30);

/// Longest time to wait for a guest that was killed.
const KILL_TIME: Duration = Duration::from_secs(10);

/// Settings of a service. Each of its programs starts with them.
pub(super) struct Settings {
    pub(super) args: SpawnArgs,
    pub(super) env: Vec<u8>,
    pub(super) input: OwnedFd,
    /// Write ends of the pipes with the guest's output.
    pub(super) output: OwnedFd,
    pub(super) error: OwnedFd,
    pub(super) fds: GuestFds,
    /// Read-only descriptor of the log.
    pub(super) log: OwnedFd,
}

impl Settings {
    /// Returns the request for an instance. `file_name` is the first argument of the guest.
    ///
    /// # Errors
    ///
    /// A message if an argument has a NUL.
    pub(super) fn request(&self, file_name: &OsStr, is_reactor: bool) -> Result<Start, String> {
        let (_, words) = self.args.file_and_args();
        let args = [file_name].into_iter().chain(words.iter().map(OsString::as_os_str));
        let mut fds = vec![
            stdio::input(self.input.as_fd()),
            stdio::output(self.output.as_fd(), 1),
            stdio::output(self.error.as_fd(), 2),
        ];
        fds.extend_from_slice(self.fds.as_slice());
        Ok(Start {
            args: strings::join(args)?,
            env: self.env.clone(),
            fds,
            limits: self.args.limits.requested(),
            reactor: is_reactor,
            ..Start::default()
        })
    }
}

/// Result of a guest's run.
pub(super) type Ended = Result<RunResult, Refusal>;

/// Number of a program of this process, in the order of their starts.
pub(super) type Number = u64;

/// Programs of a service, which the threads of the supervisor share: the main thread, which waits
/// for the end of the program that has the name; a thread for each program; and a thread that makes
/// upgrades.
pub(super) struct Programs {
    name: Name,
    state: Mutex<State>,
    /// Notified when a program has ended, or another one has the name.
    changed: Condvar,
}

/// State of [`Programs`].
struct State {
    /// Program that has the name; `None` once the service has ended.
    running: Option<Running>,
    /// Program that is checked before it gets the name.
    candidate: Option<Arc<Guests>>,
    /// Results of the programs that have ended.
    ended: BTreeMap<Number, Ended>,
}

/// Program that has the name of the service.
pub(super) struct Running {
    pub(super) number: Number,
    pub(super) settings: Arc<Settings>,
    pub(super) guests: Arc<Guests>,
    /// `None` if no descriptor was free.
    pub(super) service: Option<KernelService>,
    pub(super) is_reactor: bool,
}

impl Programs {
    /// Returns the programs of the service `name`: `running`, which has the name.
    pub(super) fn new(name: Name, running: Running) -> Arc<Self> {
        let state = State { running: Some(running), candidate: None, ended: BTreeMap::new() };
        Arc::new(Self { name, state: Mutex::new(state), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No thread panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a program in a new thread, which stores how it has ended.
    pub(super) fn run(self: &Arc<Self>, number: Number, guests: Arc<Guests>) -> Result<(), Failure> {
        let programs = Arc::clone(self);
        let run = move || {
            let ended = guests.run();
            drop(guests);
            programs.lock().ended.insert(number, ended);
            programs.changed.notify_all();
        };
        let thread = thread::Builder::new().spawn(run);
        thread.map(drop).map_err(|error| {
            Failure::new(Exit::Failed, self.name.to_string(), format!("cannot start a thread: {}", words(error)))
        })
    }

    /// Waits until the program that has the name has ended. Returns it and how it has ended. A
    /// program that is being checked is killed.
    pub(super) fn wait(&self) -> (Option<Running>, Ended) {
        let mut state = self.lock();
        loop {
            let number = state.running.as_ref().map(|running| running.number);
            if let Some(ended) = number.and_then(|number| state.ended.remove(&number)) {
                if let Some(candidate) = &state.candidate {
                    candidate.kill();
                }
                return (state.running.take(), ended);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for the end of a program, for at most `time`. Returns a description of the end.
    fn wait_for_end(&self, number: Number, time: Duration) -> Option<String> {
        let is_running = |state: &mut State| !state.ended.contains_key(&number);
        let waited = self.changed.wait_timeout_while(self.lock(), time, is_running);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.ended.get(&number).map(reason_of)
    }

    /// Waits for the end of a program that was killed, for a limited time, and drops its result.
    /// Returns false if it has not ended.
    fn reap(&self, number: Number) -> bool {
        let has_ended = self.wait_for_end(number, KILL_TIME).is_some();
        self.lock().ended.remove(&number);
        has_ended
    }

    /// Returns the answer to a request for an upgrade. `number` is that of the new program.
    pub(super) fn upgrade(self: &Arc<Self>, number: Number, request: &Upgrade, module: OwnedFd) -> Answer {
        match self.replace(number, request, &KernelModule::from(module)) {
            Ok(notes) => Answer::Done { notes },
            Err(failure) => {
                let is_own = failure.subject == self.name.to_string();
                let reason = if is_own { failure.reason } else { failure.to_string() };
                Answer::Refused { status: failure.exit.status(), reason }
            }
        }
    }

    /// Starts a new program, gives it the name, and ends the former one. Returns notes for the
    /// user.
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
        let file_name = OsStr::new(&request.file_name);
        let guests = Guests::start(&settings, module, &request.program, file_name, request.is_reactor)?;
        let guests = Arc::new(guests);
        self.run(number, Arc::clone(&guests))?;
        let mut state = self.lock();
        // The main thread kills it when the service ends.
        state.candidate = Some(Arc::clone(&guests));
        let is_over = state.running.is_none();
        drop(state);
        let checked = if is_over { Err(over()) } else { self.check(number, &guests, request) };
        let mut state = self.lock();
        state.candidate = None;
        let switched = match (checked, &mut state.running) {
            (Err(failure), _) => Err(failure),
            (Ok(()), None) => Err(over()),
            (Ok(()), Some(running)) => {
                // A failure of the new program after the switch must not end the service.
                guests.accept();
                guests.replace(name, settings.log.as_fd()).map(|()| running).map_err(|errno| match errno {
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
                guests.kill();
                self.reap(number);
                return Err(failure);
            }
        };
        let service = KernelService::find(&device, name).ok();
        let running = mem::replace(
            running,
            Running { number, settings, guests: Arc::clone(&guests), service, is_reactor: request.is_reactor },
        );
        drop(state);
        // The new program may have ended already.
        self.changed.notify_all();
        Ok(self.retire(running, request.drain))
    }

    /// Ends the former program. Returns notes for the user.
    fn retire(&self, former: Running, drain: Option<Duration>) -> Vec<String> {
        let mut notes = Vec::new();
        let time = drain.unwrap_or(if former.is_reactor { DRAIN } else { Duration::ZERO });
        let is_late = self.wait_for_end(former.number, time).is_none();
        if is_late {
            former.guests.kill();
            if former.is_reactor || drain.is_some() {
                let time = humantime::format_duration(time);
                notes.push(format!(
                    "the former program was killed after {time}, and its unfinished calls failed (--drain)"
                ));
            }
        }
        if !self.reap(former.number) {
            notes.push("the former program was killed, and has not ended yet".to_owned());
        }
        notes
    }

    /// Checks that a program can serve: a reactor is initialised and healthy, and another program
    /// has run for some time.
    fn check(&self, number: Number, guests: &Guests, request: &Upgrade) -> Result<(), Failure> {
        if request.is_reactor {
            let mut instances = guests.instances().into_iter();
            return instances.try_for_each(|instance| self.check_reactor(number, &instance, request));
        }
        match self.wait_for_end(number, request.settle) {
            None => Ok(()),
            Some(reason) => Err(died(request, &reason)),
        }
    }

    fn check_reactor(&self, number: Number, instance: &KernelInstance, request: &Upgrade) -> Result<(), Failure> {
        let failure = |exit, reason: String| Failure::new(exit, request.program.as_str(), reason);
        let died = |reason: String| died(request, &reason);
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
            Ok(Called::Ended(result)) => Err(died(reason_of(&Ok(result)))),
            // The reactor is initialised, and has no function with that number.
            Err(Errno::INVAL) if !is_known => Ok(()),
            Err(errno) => match self.wait_for_end(number, Duration::ZERO) {
                Some(reason) => Err(died(reason)),
                None if matches!(errno, Errno::TIMEDOUT | Errno::INPROGRESS) => {
                    let timeout = humantime::format_duration(request.health_timeout);
                    let reason = format!("_initialize or {HEALTH} did not return within {timeout} (--health-timeout)");
                    Err(failure(Exit::Limit, reason))
                }
                None if matches!(errno, Errno::SHUTDOWN | Errno::CONNRESET) => {
                    let reason = self.wait_for_end(number, KILL_TIME);
                    Err(died(reason.unwrap_or_else(|| words(errno.into()))))
                }
                None => Err(failure(Exit::Failed, words(errno.into()))),
            },
        }
    }
}

/// Returns the failure of an upgrade whose new program has ended.
fn died(request: &Upgrade, reason: &str) -> Failure {
    Failure::new(Exit::Refused, request.program.as_str(), format!("the new program ended: {reason}"))
}

/// Describes how a guest ended.
pub(super) fn reason_of(ended: &Ended) -> String {
    match ended {
        Ok(result) => result.reason().unwrap_or_else(|| format!("exited with {}", result.ending.exit().status())),
        Err(refusal) => refusal.to_string(),
    }
}
