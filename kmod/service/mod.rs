// SPDX-License-Identifier: GPL-2.0

//! Services: instances with a name, and the descriptors by which other processes watch and end
//! them.
//!
//! `KWASMI_IOC_PUBLISH` on an instance descriptor makes a service of the instance, and
//! `KWASMI_IOC_FIND` on the device returns a service descriptor. A service descriptor refers to the
//! [`Service`], not to the instance. When the process that holds the instance ends, the instance is
//! freed and the name is removed, even while service descriptors are open.

pub(crate) mod registry;

use crate::{
    allocation,
    anon_file::{
        self,
        AnonFile, //
    },
    host::Runner,
    instance::{
        Instance,
        CALL,
        FUNCTION, //
    },
    ioctl::{
        self,
        Argument, //
    },
    limits::UNLIMITED,
    log::{
        self,
        LogBuffer, //
    },
    name::Name,
    policy::identity::Identity,
    uapi::{
        kwasmi_run,
        kwasmi_service,
        kwasmi_wait,
        KWASMI_KILLED,
        KWASMI_SERVICE_ENDED,
        KWASMI_SERVICE_READY,
        KWASMI_SERVICE_REMOVED,
        KWASMI_SERVICE_RUNNING, //
    },
    watch::{
        Counter,
        CounterId,
        Sink, //
    },
};
use core::fmt::Write;
use kernel::{
    error::code::{
        EAGAIN,
        ESHUTDOWN,
        ESTALE,
        ETIMEDOUT, //
    },
    fs::File,
    new_condvar, new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        ArcBorrow,
        CondVar,
        CondVarTimeoutResult,
        Mutex, //
    },
    task::{
        Kuid,
        Task, //
    },
    time::{
        hrtimer::HrTimerExpires,
        msecs_to_jiffies,
        BootTime,
        Instant,
        Monotonic, //
    },
};

const KILL: u32 = ioctl::io(0x84);
const SERVICE: u32 = ioctl::ior::<kwasmi_service>(0x91);
const WAIT: u32 = ioctl::iow::<kwasmi_wait>(0x92);
const RESULT: u32 = ioctl::iowr::<kwasmi_run>(0x93);
const LOG: u32 = ioctl::io(0x94);
const REMOVE: u32 = ioctl::io(0x95);

/// Service: the name, state and result of an instance. It can outlive the instance.
#[pin_data]
pub(crate) struct Service {
    name: Name,
    identity: Arc<Identity>,
    /// Effective user of the process that published the service.
    user: Kuid,
    /// Time of the publication: CLOCK_BOOTTIME, in nanoseconds.
    since: u64,
    /// Has the counters of the instance, which stay when the instance is freed.
    runner: Arc<Runner>,
    #[pin]
    state: Mutex<State>,
    /// Notified when `state` changes.
    #[pin]
    changed: CondVar,
}

/// State of a service. The flags are never cleared, and `phase` never goes back.
struct State {
    phase: Phase,
    /// Set once the name no longer belongs to the service.
    is_removed: bool,
    /// Set once another instance of the same process has taken over the name.
    is_replaced: bool,
    /// Process that published the service; `None` once the instance is freed.
    process: Option<ARef<Task>>,
    /// The instance; `None` once its last descriptor is closed.
    instance: Option<Arc<Instance>>,
    /// File to which the process writes the guest's output. `None` if the process passed no file,
    /// and once the instance is freed: a service descriptor does not keep the file open.
    log: Option<ARef<File>>,
}

/// Phase of the guest.
enum Phase {
    /// The guest has not run.
    Ready,
    /// The guest has begun to run.
    Running,
    /// The guest has ended.
    Ended(Outcome),
}

impl Phase {
    /// Returns the number of the phase: `KWASMI_SERVICE_*`.
    fn number(&self) -> u32 {
        match self {
            Self::Ready => KWASMI_SERVICE_READY,
            Self::Running => KWASMI_SERVICE_RUNNING,
            Self::Ended(_) => KWASMI_SERVICE_ENDED,
        }
    }
}

/// Result of a guest's run.
struct Outcome {
    /// Answer of `KWASMI_IOC_RUN`; the fields of the log buffer are 0.
    answer: kwasmi_run,
    /// Text for the log buffer of `KWASMI_IOC_RESULT`.
    text: KVVec<u8>,
}

impl Outcome {
    /// Returns the outcome with `answer` and a copy of `text`. If no memory is available, the text
    /// is left out.
    fn new(answer: kwasmi_run, text: &[u8]) -> Self {
        Self {
            answer,
            text: allocation::copy(text).unwrap_or_default(),
        }
    }

    /// Returns the outcome of a guest whose instance was freed before it ended.
    fn killed() -> Self {
        let answer = kwasmi_run {
            status: KWASMI_KILLED,
            ..kwasmi_run::default()
        };
        Self::new(answer, &[])
    }
}

impl Service {
    /// Returns the service `name`, which is `instance` with `identity`. `log` is the file that
    /// `KWASMI_IOC_LOG` returns. `has_run` is set if the guest has begun to run.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        name: Name,
        identity: Arc<Identity>,
        instance: Arc<Instance>,
        log: Option<ARef<File>>,
        has_run: bool,
    ) -> Result<Arc<Self>> {
        let phase = if has_run {
            Phase::Running
        } else {
            Phase::Ready
        };
        let process = ARef::from(kernel::current!().group_leader());
        Arc::pin_init(
            pin_init!(Self {
                name,
                identity,
                user: Kuid::current_euid(),
                since: Instant::<BootTime>::now().as_nanos() as u64,
                runner: instance.runner().clone(),
                state <- new_mutex!(
                    State {
                        phase,
                        is_removed: false,
                        is_replaced: false,
                        process: Some(process),
                        instance: Some(instance),
                        log,
                    },
                    "kwasmi::Service::state"
                ),
                changed <- new_condvar!("kwasmi::Service::changed"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Checks that the caller may end the service, remove its name and read its output.
    ///
    /// # Errors
    ///
    /// `EPERM` if the caller lacks CAP_SYS_ADMIN and its effective user is not that of the process
    /// that published the service. For a service of root the user is not enough: root of a
    /// container may be root of the machine, without its capabilities.
    fn check_caller(&self) -> Result {
        let is_root = self.user.into_raw().val == 0;
        if Kuid::current_euid() == self.user && !is_root {
            return Ok(());
        }
        ioctl::require_sys_admin()
    }

    /// Returns true if the guest has ended.
    fn has_ended(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Ended(_))
    }

    /// Records that the name no longer belongs to the service, and wakes waiting tasks.
    fn set_removed(&self) {
        self.state.lock().is_removed = true;
        self.changed.notify_all();
    }

    /// Records that the current process gives the name to another instance. From then on, KILL and
    /// REMOVE fail: they are meant for what has the name.
    ///
    /// # Errors
    ///
    /// `EPERM` if another process published the service; `ESHUTDOWN` if the guest has ended or was
    /// killed.
    fn begin_replace(&self) -> Result {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Ended(_)) || self.runner.is_killed() {
            return Err(ESHUTDOWN);
        }
        let current = kernel::current!();
        match &state.process {
            Some(process) if core::ptr::eq::<Task>(&**process, current.group_leader()) => {}
            _ => return Err(EPERM),
        }
        state.is_removed = true;
        state.is_replaced = true;
        Ok(())
    }

    /// Wakes the tasks that wait for the service, whose name another instance has, and lets no
    /// further calls in.
    fn drain(&self) {
        self.changed.notify_all();
        if let Ok(instance) = self.instance() {
            instance.drain();
        }
    }

    /// Records how the guest ended, unless an end is recorded already, and wakes waiting tasks.
    fn set_ended(&self, outcome: Outcome) {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Ended(_)) {
            state.phase = Phase::Ended(outcome);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Returns the description of the service for the caller.
    fn info(&self) -> kwasmi_service {
        let state = self.state.lock();
        let (status, code) = match &state.phase {
            Phase::Ended(outcome) => (outcome.answer.status, outcome.answer.code),
            _ => (0, 0),
        };
        let module = self.identity.module_info();
        kwasmi_service {
            name: self.name.to_chars(),
            state: if state.is_removed {
                KWASMI_SERVICE_REMOVED
            } else {
                state.phase.number()
            },
            status,
            code,
            // `tgid_nr_ns` returns 0 for a process outside the caller's PID namespace.
            pid: state
                .process
                .as_ref()
                .map_or(0, |process| process.tgid_nr_ns(None)),
            uid: self.user.into_uid_in_current_ns(),
            reserved: 0,
            since: self.since,
            sha256: module.sha256,
            module: module.name,
            version: module.version,
            reserved2: 0,
        }
    }

    /// Implements `KWASMI_IOC_WAIT`.
    fn wait(&self, arg: &Argument) -> Result<isize> {
        let request: kwasmi_wait = arg.read()?;
        let is_over: fn(&State) -> bool = match request.state {
            KWASMI_SERVICE_ENDED => {
                |state| state.is_removed || matches!(state.phase, Phase::Ended(_))
            }
            KWASMI_SERVICE_REMOVED => |state| state.is_removed,
            _ => return Err(EINVAL),
        };
        if request.reserved != 0 {
            return Err(EINVAL);
        }
        let begin = Instant::<Monotonic>::now();
        let mut state = self.state.lock();
        while !is_over(&state) {
            if request.timeout == UNLIMITED {
                if self.changed.wait_interruptible(&mut state) {
                    return Err(ERESTARTSYS);
                }
                continue;
            }
            let elapsed = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(0);
            let rest = request.timeout.saturating_sub(elapsed);
            if rest == 0 {
                return Err(ETIMEDOUT);
            }
            // The time is rounded up to milliseconds. A step of at most a day fits a `u32`.
            let step = u32::try_from(rest.div_ceil(1_000_000)).unwrap_or(u32::MAX);
            let jiffies = msecs_to_jiffies(step.min(86_400_000)).max(1);
            if let CondVarTimeoutResult::Signal { .. } =
                self.changed.wait_interruptible_timeout(&mut state, jiffies)
            {
                return Err(EINTR);
            }
        }
        if state.is_replaced && request.state == KWASMI_SERVICE_ENDED {
            return Err(ESTALE);
        }
        Ok(0)
    }

    /// Implements `KWASMI_IOC_RESULT`.
    fn result(&self, arg: &Argument) -> Result<isize> {
        let request: kwasmi_run = arg.read()?;
        if request.flags != 0 || request.reserved != 0 {
            return Err(EINVAL);
        }
        let mut buffer = LogBuffer::new(request.log, request.log_size)?;
        let state = self.state.lock();
        let answer = match &state.phase {
            Phase::Ended(outcome) => {
                let _ = buffer.write_str(log::text(&outcome.text));
                outcome.answer
            }
            _ => return Err(EAGAIN),
        };
        // The lock is released before the copy, which may wait for a page fault.
        drop(state);
        arg.write(&kwasmi_run {
            log: request.log,
            log_size: request.log_size,
            log_len: buffer.give()?,
            ..answer
        })?;
        Ok(0)
    }

    /// Implements `KWASMI_IOC_KILL` on a service descriptor.
    fn kill(&self) -> Result<isize> {
        self.check_caller()?;
        // The lock is held meanwhile, so that a service that was killed gives its name to no other.
        let state = self.state.lock();
        if state.is_replaced {
            return Err(ESTALE);
        }
        if let Some(instance) = &state.instance {
            instance.kill();
        }
        Ok(0)
    }

    /// Returns the instance.
    ///
    /// # Errors
    ///
    /// `ESTALE` if its last descriptor is closed, and another instance has its name; `ESHUTDOWN` if
    /// its last descriptor is closed.
    fn instance(&self) -> Result<Arc<Instance>> {
        let state = self.state.lock();
        let error = if state.is_replaced { ESTALE } else { ESHUTDOWN };
        state.instance.clone().ok_or(error)
    }

    /// Implements `KWASMI_IOC_LOG`.
    fn open_log(&self) -> Result<isize> {
        self.check_caller()?;
        let file = self.state.lock().log.clone().ok_or(ENOENT)?;
        anon_file::install_file(&file)
    }

    /// Implements `KWASMI_IOC_REMOVE`.
    fn remove(this: ArcBorrow<'_, Self>) -> Result<isize> {
        this.check_caller()?;
        let state = this.state.lock();
        if state.is_replaced {
            return Err(ESTALE);
        }
        if !matches!(state.phase, Phase::Ended(_)) {
            return Err(EBUSY);
        }
        drop(state);
        registry::withdraw(&this);
        Ok(0)
    }
}

impl AnonFile for Service {
    const NAME: &'static CStr = c"[kwasmi-service]";

    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize> {
        let arg = Argument::new(arg);
        match cmd {
            KILL => this.kill(),
            SERVICE => arg.write(&this.info()).map(|()| 0),
            WAIT => this.wait(&arg),
            RESULT => this.result(&arg),
            LOG => this.open_log(),
            REMOVE => Self::remove(this),
            FUNCTION => this.instance()?.function(&arg),
            CALL => this.instance()?.call(&arg),
            _ => Err(ENOTTY),
        }
    }

    fn list_counters(&self, sink: Sink<'_>) -> Result {
        let state = self.state.lock();
        let queued = state
            .instance
            .as_ref()
            .map_or(0, |instance| instance.queued());
        drop(state);
        self.runner.list_counters(sink)?;
        sink(Counter::new(CounterId::CallsQueued, queued.into()))?;
        self.runner.usage().list_calls(sink)
    }
}

/// Service whose name another instance has taken over. The drop lets no further calls in. It may
/// drop the last reference to the instance, so no lock of another instance may be held.
pub(crate) struct Former(Arc<Service>);

impl Drop for Former {
    fn drop(&mut self) {
        self.0.drain();
    }
}

/// Handle of an instance on its service.
pub(crate) struct Published(Arc<Service>);

impl Published {
    /// Gives `service` its name. The service holds its instance until [`Published::close`].
    ///
    /// # Errors
    ///
    /// `EEXIST` if the name belongs to a service that has not ended; `ENOMEM`.
    pub(crate) fn new(service: Arc<Service>) -> Result<Self> {
        registry::add(service.clone())?;
        Ok(Self(service))
    }

    /// Gives `service` the name of another service of the current process, which is also returned.
    ///
    /// # Errors
    ///
    /// The errors of [`registry::replace`].
    pub(crate) fn in_place(service: Arc<Service>) -> Result<(Self, Former)> {
        let former = registry::replace(service.clone())?;
        Ok((Self(service), Former(former)))
    }

    /// Records that the guest has begun to run.
    pub(crate) fn run(&self) {
        let mut state = self.0.state.lock();
        if matches!(state.phase, Phase::Ready) {
            state.phase = Phase::Running;
        }
    }

    /// Records how the guest ended: the answer of `KWASMI_IOC_RUN`, and the text of the log buffer.
    pub(crate) fn end(&self, answer: kwasmi_run, text: &[u8]) {
        self.0.set_ended(Outcome::new(answer, text));
    }

    /// Removes the name, and drops what the service holds. The instance has no descriptors any
    /// more.
    pub(crate) fn close(&self) {
        self.0.set_ended(Outcome::killed());
        registry::withdraw(&self.0);
        let mut state = self.0.state.lock();
        let held = (
            state.process.take(),
            state.instance.take(),
            state.log.take(),
        );
        // The references are dropped after the lock is released.
        drop(state);
        drop(held);
    }
}
