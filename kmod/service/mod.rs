// SPDX-License-Identifier: GPL-2.0

//! Services: instances and pools with a name, and the descriptors by which other processes watch
//! and end them.
//!
//! `KWASMI_IOC_PUBLISH` on an instance or pool descriptor makes a service of it, and
//! `KWASMI_IOC_FIND` on the device returns a service descriptor. A service descriptor refers to the
//! [`Service`], not to the instance or pool. When the process that holds it ends, it is freed and
//! the name is removed, even while service descriptors are open.

pub(crate) mod registry;

use crate::{
    anon_file::{
        self,
        AnonFile, //
    },
    host::{
        self,
        Runner, //
    },
    instance::{
        Callee,
        Instance,
        Outcome,
        Pool,
        Ring,
        CALL,
        FUNCTION,
        RING, //
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
        kwasmi_publish,
        kwasmi_run,
        kwasmi_service,
        kwasmi_wait,
        KWASMI_PUBLISH_REPLACE,
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

/// Service: the name, state and result of an instance or pool, which it can outlive.
#[pin_data]
pub(crate) struct Service {
    name: Name,
    identity: Arc<Identity>,
    /// Effective user of the process that published the service.
    user: Kuid,
    /// Time of the publication: CLOCK_BOOTTIME, in nanoseconds.
    since: u64,
    counters: Counters,
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
    /// The instance or pool; `None` once its last descriptor is closed.
    target: Option<Target>,
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

/// Instances that a service stands for.
#[derive(Clone)]
pub(crate) enum Target {
    /// One instance.
    Instance(Arc<Instance>),
    /// Several instances.
    Pool(Arc<Pool>),
}

impl Target {
    /// Returns the counters, which stay when the instances are freed.
    fn counters(&self) -> Counters {
        match self {
            Self::Instance(instance) => Counters::Instance(instance.runner().clone()),
            Self::Pool(pool) => Counters::Pool(pool.clone()),
        }
    }

    fn kill(&self) {
        match self {
            Self::Instance(instance) => instance.kill(),
            Self::Pool(pool) => pool.kill(),
        }
    }

    /// Lets no further calls in, and ends the reactors once their calls are finished.
    fn drain(&self) {
        match self {
            Self::Instance(instance) => instance.drain(),
            Self::Pool(pool) => pool.drain(),
        }
    }

    fn function(&self, arg: &Argument) -> Result<isize> {
        match self {
            Self::Instance(instance) => instance.function(arg),
            Self::Pool(pool) => pool.function(arg),
        }
    }

    fn call(&self, arg: &Argument) -> Result<isize> {
        match self {
            Self::Instance(instance) => instance.call(arg),
            Self::Pool(pool) => pool.call(arg),
        }
    }
}

/// Counters of a service.
enum Counters {
    Instance(Arc<Runner>),
    Pool(Arc<Pool>),
}

impl Counters {
    /// Returns true if the guest was killed.
    fn is_killed(&self) -> bool {
        match self {
            Self::Instance(runner) => runner.is_killed(),
            Self::Pool(pool) => pool.is_killed(),
        }
    }
}

impl Service {
    /// Returns the service `name`, which is `target` with `identity`. `log` is the file that
    /// `KWASMI_IOC_LOG` returns. `has_run` is set if the guest has begun to run.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn new(
        name: Name,
        identity: Arc<Identity>,
        target: Target,
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
                counters: target.counters(),
                state <- new_mutex!(
                    State {
                        phase,
                        is_removed: false,
                        is_replaced: false,
                        process: Some(process),
                        target: Some(target),
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
        if matches!(state.phase, Phase::Ended(_)) || self.counters.is_killed() {
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
        if let Ok(target) = self.target() {
            target.drain();
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
        let pool = match &self.counters {
            Counters::Instance(_) => None,
            Counters::Pool(pool) => Some(pool.info()),
        };
        let state = self.state.lock();
        let (status, code) = match &state.phase {
            Phase::Ended(outcome) => (outcome.answer.status, outcome.answer.code),
            _ => (0, 0),
        };
        let module = self.identity.module_info();
        kwasmi_service {
            name: self.name.to_chars(),
            state: match (&state.phase, pool) {
                _ if state.is_removed => KWASMI_SERVICE_REMOVED,
                (Phase::Ready, Some(pool)) if pool.has_run => KWASMI_SERVICE_RUNNING,
                (phase, _) => phase.number(),
            },
            status,
            code,
            // `tgid_nr_ns` returns 0 for a process outside the caller's PID namespace.
            pid: state
                .process
                .as_ref()
                .map_or(0, |process| process.tgid_nr_ns(None)),
            uid: self.user.into_uid_in_current_ns(),
            instances: match pool {
                Some(pool) => pool.instances,
                None => state.target.is_some().into(),
            },
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
        if let Some(target) = &state.target {
            target.kill();
        }
        Ok(0)
    }

    /// Returns the instance or pool.
    ///
    /// # Errors
    ///
    /// `ESTALE` if its last descriptor is closed, and another instance has its name; `ESHUTDOWN` if
    /// its last descriptor is closed.
    pub(crate) fn target(&self) -> Result<Target> {
        let state = self.state.lock();
        let error = if state.is_replaced { ESTALE } else { ESHUTDOWN };
        state.target.clone().ok_or(error)
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
            FUNCTION => this.target()?.function(&arg),
            CALL => this.target()?.call(&arg),
            RING => Ring::create(Callee::Service(this.into()), &arg),
            _ => Err(ENOTTY),
        }
    }

    fn list_counters(&self, sink: Sink<'_>) -> Result {
        let runner = match &self.counters {
            Counters::Instance(runner) => runner,
            Counters::Pool(pool) => return pool.list_counters(sink),
        };
        let state = self.state.lock();
        let queued = match &state.target {
            Some(Target::Instance(instance)) => instance.queued(),
            _ => 0,
        };
        drop(state);
        runner.list_counters(sink)?;
        sink(Counter::new(CounterId::CallsQueued, queued.into()))?;
        runner.usage().list_calls(sink)
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

/// Argument of `KWASMI_IOC_PUBLISH`.
pub(crate) struct Publication {
    name: Name,
    log: Option<ARef<File>>,
    replaces: bool,
}

impl Publication {
    /// Checks the caller, and copies the argument from it.
    ///
    /// # Errors
    ///
    /// `EPERM`, `EINVAL` and `EBADF` as documented for `KWASMI_IOC_PUBLISH`; `EFAULT`.
    pub(crate) fn from_user(arg: &Argument) -> Result<Self> {
        ioctl::require_sys_admin()?;
        let request: kwasmi_publish = arg.read()?;
        let name = Name::from_chars(&request.name)?;
        if request.flags & !KWASMI_PUBLISH_REPLACE != 0 {
            return Err(EINVAL);
        }
        Ok(Self {
            name,
            log: match request.log {
                -1 => None,
                fd => Some(host::regular_file(fd)?),
            },
            replaces: request.flags & KWASMI_PUBLISH_REPLACE != 0,
        })
    }

    /// Returns true if the service takes over the name of another one.
    pub(crate) fn replaces(&self) -> bool {
        self.replaces
    }

    /// Makes a service of `target` with `identity`. `has_run` is set if the guest has begun to run.
    /// Returns the handle of the target, and the service that has lost its name, if there was one,
    /// which must be dropped without locks.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; those of [`Published::new`] and [`Published::in_place`].
    pub(crate) fn publish(
        self,
        identity: Arc<Identity>,
        target: Target,
        has_run: bool,
    ) -> Result<(Published, Option<Former>)> {
        let service = Service::new(self.name, identity, target, self.log, has_run)?;
        if self.replaces {
            let (published, former) = Published::in_place(service)?;
            Ok((published, Some(former)))
        } else {
            Ok((Published::new(service)?, None))
        }
    }
}

/// Handle of an instance or pool on its service.
pub(crate) struct Published(Arc<Service>);

impl Published {
    /// Gives `service` its name. The service holds its instance until [`Published::close`].
    ///
    /// # Errors
    ///
    /// `EEXIST` if the name belongs to a service that has not ended; `ENOMEM`.
    fn new(service: Arc<Service>) -> Result<Self> {
        registry::add(service.clone())?;
        Ok(Self(service))
    }

    /// Gives `service` the name of another service of the current process, which is also returned.
    ///
    /// # Errors
    ///
    /// The errors of [`registry::replace`].
    fn in_place(service: Arc<Service>) -> Result<(Self, Former)> {
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

    /// Records how the guest ended.
    pub(crate) fn end(&self, outcome: Outcome) {
        self.0.set_ended(outcome);
    }

    /// Removes the name, and drops what the service holds. The instance has no descriptors any
    /// more.
    pub(crate) fn close(&self) {
        self.0.set_ended(Outcome::killed());
        registry::withdraw(&self.0);
        let mut state = self.0.state.lock();
        let held = (state.process.take(), state.target.take(), state.log.take());
        // The references are dropped after the lock is released.
        drop(state);
        drop(held);
    }
}
