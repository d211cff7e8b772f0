// SPDX-License-Identifier: GPL-2.0

//! Instances: one program each, from `KWASMI_IOC_START` to its end, behind an instance fd.
//!
//! START creates the engine objects of the instance; no function of the guest runs. RUN runs the
//! guest until it ends, or until its task must return to userspace, for example to handle a signal;
//! a restarted or further RUN continues the guest. When the guest has ended, its engine objects and
//! files are freed. The report stays for RUN and RESULTS until the descriptor is closed.

mod calls;
mod descriptors;
mod invocation;
mod report;
mod turns;

pub(crate) use self::invocation::Invocation;

use self::{
    report::Report,
    turns::Turns, //
};

use crate::{
    anon_file::AnonFile,
    engine::{
        self,
        stack::Stack,
        Account,
        Failure, //
    },
    ffi::{
        Bytes,
        Call,
        Checkpoint,
        Ending,
        EngineOp,
        InstanceLimits,
        Invoke,
        RunArgs,
        StartArgs,
        Status,
        INVOKE_MAX, //
    },
    host::{
        self,
        credentials::{
            self,
            Assumed, //
        },
        Host,
        MemoryCgroup,
        Runner,
        TaskAttributes, //
    },
    ioctl::{
        self,
        Argument, //
    },
    limits::CallLimits,
    log::LogBuffer,
    module::Module,
    name::Name,
    service::Published,
    uapi::{
        kwasmi_call,
        kwasmi_fd,
        kwasmi_function,
        kwasmi_publish,
        kwasmi_results,
        kwasmi_run,
        KWASMI_INVOKE_MAX,
        KWASMI_LIMIT_CPU_TIME,
        KWASMI_LIMIT_FDS,
        KWASMI_LIMIT_FUEL,
        KWASMI_LIMIT_HEAP,
        KWASMI_LIMIT_MEMORY,
        KWASMI_LIMIT_STACK,
        KWASMI_LIMIT_TABLE,
        KWASMI_LIMIT_TIME,
        KWASMI_START_REACTOR,
        KWASMI_START_SIGPIPE, //
    },
    user::Counted,
    watch::{
        Counter,
        CounterId,
        Sink, //
    },
};
use core::{
    ffi::c_void,
    fmt::Write,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    cred::Credential,
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow,
        Mutex,
        SetOnce, //
    },
    time::{
        hrtimer::HrTimerExpires,
        Instant,
        Monotonic, //
    },
};

const RUN: u32 = ioctl::iowr::<kwasmi_run>(0x83);
const KILL: u32 = ioctl::io(0x84);
const RESULTS: u32 = ioctl::iowr::<kwasmi_results>(0x8D);
const PUBLISH: u32 = ioctl::iow::<kwasmi_publish>(0x8E);
pub(crate) const FUNCTION: u32 = ioctl::iowr::<kwasmi_function>(0x97);
pub(crate) const CALL: u32 = ioctl::iowr::<kwasmi_call>(0x98);

const _: () = assert!(INVOKE_MAX == KWASMI_INVOKE_MAX as usize);

/// Instance of a module.
#[pin_data(PinnedDrop)]
pub(crate) struct Instance {
    module: Arc<Module>,
    counted: Counted,
    /// Credentials of the task that started the instance. The guest acts with them, whoever runs
    /// it.
    credentials: ARef<Credential>,
    /// START, RUN, RESULTS and the drop hold the lock as a whole. RUN and RESULTS only try to lock,
    /// so that a second caller gets EBUSY and does not wait for the guest. It is the outermost of
    /// the module's locks.
    #[pin]
    inner: Mutex<Inner>,
    /// Set if the instance is a reactor.
    is_reactor: bool,
    /// End of the time limit, in nanoseconds of the monotonic clock; `u64::MAX` if there is none.
    /// The serving task reads it while a caller has `inner`.
    deadline: Atomic<u64>,
    /// Who runs a reactor.
    #[pin]
    turns: Turns,
    /// Name of the instance, if it is a service.
    published: SetOnce<Published>,
    /// Not part of `inner`, so that KILL and checkpoints reach it while RUN holds that lock. Shared
    /// with the service that the instance is, if it is one.
    runner: Arc<Runner>,
}

/// State of an instance that one task at a time accesses: the one that starts, runs or drops it, or
/// asks for its results.
struct Inner {
    /// Stack of every entry into the engine for this instance.
    stack: Stack,
    /// Engine objects; `None` once the guest has ended or the instance is dropped.
    live: Option<Live>,
    host: Host,
    limits: CallLimits,
    /// Memory cgroup of the process that serves the reactor.
    memory_cgroup: Option<MemoryCgroup>,
    /// TaskAttributes of the task that serves the reactor.
    server: Option<TaskAttributes>,
    /// Set once the time limits have begun, which happens in the first RUN.
    has_run: bool,
    /// Set once the guest may have executed code. It then continues even if its module is denied.
    has_entered: bool,
    report: Report,
    /// Buffer for the text that explains how the guest ended.
    text: [u8; TEXT_MAX],
}

/// Entry of a task into the guest.
enum Entry<'a> {
    /// By the task that runs or serves the instance.
    Own,
    /// By a caller of the reactor, who begins this call and wants to leave at this time.
    Call(&'a Call, Option<Instant<Monotonic>>),
    /// By a caller of the reactor, who begins this call and hands it over at once.
    Begin(&'a Call),
}

/// State of a guest that has left the engine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// It has ended.
    Ended,
    /// The reactor waits for its next call.
    Idle,
}

/// Instance object of the engine.
///
/// # Invariants
///
/// `object` is an instance of the engine, allocated on `account`.
struct Live {
    object: NonNull<c_void>,
    account: Account,
}

// SAFETY: An instance of the engine may be used by any task, by one at a time; `Inner` is behind a
// mutex.
unsafe impl Send for Live {}

/// Upper bound of the kept text, in bytes.
const TEXT_MAX: usize = 512;

impl Instance {
    /// Creates an instance of `module`, which runs `invocation` or is a program. `flags` are
    /// `KWASMI_START_*`.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_START`, see `uapi/kwasmi.h`; `log` gets the reason.
    pub(crate) fn new(
        module: Arc<Module>,
        (args, env, fds): (&[u8], &[u8], &[kwasmi_fd]),
        invocation: Option<&Invocation>,
        limits: CallLimits,
        flags: u32,
        log: &mut LogBuffer,
    ) -> Result<Arc<Self>> {
        check_strings(args, log)?;
        check_strings(env, log)?;
        let (files, grants, _names) =
            descriptors::open_files(fds, module.identity().capabilities(), log)?;
        let counted = Counted::new(log)?;

        let host = Host::new(files);
        let host = if flags & KWASMI_START_SIGPIPE != 0 {
            host.end_without_reader()
        } else {
            host
        };

        // From here on, the drop of `this` cleans up.
        let this = Arc::pin_init(
            try_pin_init!(Self {
                inner <- new_mutex!(
                    Inner {
                        stack: Stack::new()?,
                        live: None,
                        host,
                        limits,
                        memory_cgroup: None,
                        server: None,
                        has_run: false,
                        has_entered: false,
                        report: Report::new(),
                        text: [0; TEXT_MAX],
                    },
                    "kwasmi::Instance::inner"
                ),
                is_reactor: flags & KWASMI_START_REACTOR != 0,
                deadline: Atomic::new(u64::MAX),
                turns <- Turns::new(),
                published: SetOnce::new(),
                runner: Runner::new()?,
                credentials: credentials::current(),
                module,
                counted,
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        this.module.code().counters().create();

        let invoke = invocation.map(|invocation| Invoke {
            name: Bytes::new(&invocation.name),
            args: invocation.args.as_ptr(),
            args_len: invocation.args.len(),
        });
        let mut start = StartArgs {
            module: ptr::null(),
            args: Bytes::new(args),
            env: Bytes::new(env),
            fds: grants.as_ptr(),
            fds_len: grants.len(),
            invoke: invoke.as_ref().map_or(ptr::null(), ptr::from_ref),
            is_reactor: this.is_reactor,
            limits: InstanceLimits {
                memory: 0,
                table: 0,
                fds: 0,
                fuel: 0,
            },
            counters: this.runner.usage().guest(),
            limit: 0,
            log: ptr::null_mut(),
            instance: ptr::null_mut(),
        };
        let entered = this.counted.enter(log)?;
        this.inner.lock().instantiate(&this, &mut start, log)?;
        drop(entered);
        this.module.code().counters().start();
        Ok(this)
    }

    /// Implements `KWASMI_IOC_RUN`.
    fn run(this: ArcBorrow<'_, Self>, arg: &Argument) -> Result<isize> {
        let request: kwasmi_run = arg.read()?;
        if request.flags != 0 || request.reserved != 0 {
            return Err(EINVAL);
        }
        let mut log = LogBuffer::new(request.log, request.log_size)?;
        let ran = if this.is_reactor {
            Self::serve(this, &mut log)
        } else {
            let mut inner = this.inner.try_lock().ok_or(EBUSY)?;
            inner.run(&this, &Entry::Own, &mut log).map(drop)
        };
        match ran {
            Ok(()) => {}
            // The kernel restarts the call.
            Err(error) if error == ERESTARTSYS => return Err(error),
            Err(error) => {
                let (code, limit_value) = log.limit();
                arg.write(&kwasmi_run {
                    code,
                    limit_value,
                    log_len: log.give()?,
                    ..request
                })?;
                return Err(error);
            }
        }
        let inner = this.inner.lock();
        let answer = inner.report.answer();
        let _ = log.write_str(crate::log::text(&inner.report.text));
        // The copies may wait for a page fault, and callers for the lock.
        drop(inner);
        arg.write(&kwasmi_run {
            log: request.log,
            log_size: request.log_size,
            log_len: log.give()?,
            ..answer
        })?;
        Ok(0)
    }

    /// Implements `KWASMI_IOC_PUBLISH`.
    fn publish(this: ArcBorrow<'_, Self>, arg: &Argument) -> Result<isize> {
        ioctl::require_sys_admin()?;
        let request: kwasmi_publish = arg.read()?;
        let name = Name::from_chars(&request.name)?;
        if request.flags != 0 {
            return Err(EINVAL);
        }
        let log = match request.log {
            -1 => None,
            fd => Some(host::regular_file(fd)?),
        };
        let inner = this.inner.try_lock().ok_or(EBUSY)?;
        if inner.has_run || this.published.as_ref().is_some() {
            return Err(EBUSY);
        }
        let published = Published::new(name, this.module.shared_identity(), this.into(), log)?;
        // `inner` is locked, so no other task publishes the instance.
        this.published.populate(published);
        Ok(0)
    }

    /// Implements `KWASMI_IOC_RESULTS`.
    fn results(&self, arg: &Argument) -> Result<isize> {
        let request: kwasmi_results = arg.read()?;
        if request.reserved != 0 {
            return Err(EINVAL);
        }
        let inner = self.inner.try_lock().ok_or(EBUSY)?;
        let (values, mut len) = (inner.report.results, inner.report.results_len);
        drop(inner);
        if self.is_reactor {
            // The results of a call are for its caller.
            len = 0;
        }
        let results = values.iter().take(len);
        for (index, result) in results
            .clone()
            .take(request.results_len as usize)
            .enumerate()
        {
            ioctl::element_to_user(request.results, index, result)?;
        }
        arg.write(&kwasmi_results {
            results_len: results.count() as u32,
            ..request
        })?;
        Ok(0)
    }

    /// Returns the runner, which has the counters.
    pub(crate) fn runner(&self) -> &Arc<Runner> {
        &self.runner
    }

    /// Returns the number of callers that wait for their turn.
    pub(crate) fn queued(&self) -> u32 {
        self.turns.queued()
    }

    /// Ends the guest, running or not.
    pub(crate) fn kill(&self) {
        self.runner.kill();
        self.turns.rouse();
    }
}

impl AnonFile for Instance {
    const NAME: &'static CStr = c"[kwasmi-instance]";

    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize> {
        match cmd {
            RUN => Self::run(this, &Argument::new(arg)),
            RESULTS => this.results(&Argument::new(arg)),
            KILL => {
                this.kill();
                Ok(0)
            }
            PUBLISH => Self::publish(this, &Argument::new(arg)),
            FUNCTION => this.function(&Argument::new(arg)),
            CALL => this.call(&Argument::new(arg)),
            _ => Err(ENOTTY),
        }
    }

    /// Ends the guest, which a caller of the reactor may still run, and removes the name.
    fn close(this: ArcBorrow<'_, Self>) {
        this.runner.kill();
        this.turns.close();
        if let Some(published) = this.published.as_ref() {
            published.close();
        }
        if this.is_reactor {
            // A caller may hold the instance for a while. One that runs the guest has been
            // interrupted, and unlocks `inner` soon.
            let mut inner = this.inner.lock();
            inner.end(&this);
            inner.host.end_call_data();
        }
    }

    fn list_counters(&self, sink: Sink<'_>) -> Result {
        self.runner.list_counters(sink)?;
        sink(Counter::new(CounterId::CallsQueued, self.queued().into()))
    }
}

#[pinned_drop]
impl PinnedDrop for Instance {
    fn drop(self: Pin<&mut Self>) {
        self.inner.lock().end(&self);
        self.module.code().counters().drop_instance();
    }
}

impl Inner {
    /// Creates the engine objects of `instance`, on an account of its own. Nothing of the guest
    /// runs.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_START` that the engine reports; `log` gets the reason.
    fn instantiate(
        &mut self,
        instance: &Instance,
        args: &mut StartArgs,
        log: &mut LogBuffer,
    ) -> Result {
        args.limits = InstanceLimits {
            memory: self.limits.get(KWASMI_LIMIT_MEMORY),
            table: self.limits.get(KWASMI_LIMIT_TABLE),
            fds: self.limits.get(KWASMI_LIMIT_FDS),
            fuel: self.limits.get(KWASMI_LIMIT_FUEL),
        };
        let code = instance.module.code();
        let account = Account::open(&mut self.stack, KWASMI_LIMIT_HEAP, &self.limits, log)?;
        self.host.begin();
        let host = ptr::from_mut(&mut self.host).cast();
        let outcome = log.lend(|log| {
            args.log = log;
            // SAFETY: `Code::instantiate` requires that `args` is filled in, and that all it points
            // to outlives the call: `Instance::new` filled it in with pointers to its own variables
            // and arguments, and `log` lives until `lend` returns. `host` points to a live `Host`,
            // which only this task uses.
            unsafe { code.instantiate(&mut self.stack, &account, host, args) }
        });
        let error = match (outcome, NonNull::new(args.instance)) {
            (Ok(Status::Ok), Some(object)) => {
                // SAFETY: `Usage::open_heap` requires `close_heap` before the account is closed,
                // which `end` and `abandon` call. Nothing else takes the account out of `self.live`.
                unsafe { instance.runner.usage().open_heap(&account) };
                // INVARIANT: The engine just created `object`, on `account`.
                self.live = Some(Live { object, account });
                return Ok(());
            }
            (Ok(status), _) => {
                // The engine created no instance and dropped all objects of the attempt.
                code.settle(&mut self.stack, account);
                return Err(engine::refused(status, args.limit, log, &self.limits));
            }
            (Err(failure), _) => {
                if matches!(
                    &failure,
                    Failure::Aborted {
                        status: Status::Fault,
                        ..
                    }
                ) {
                    code.poison();
                }
                failure.report(log, &self.limits)
            }
        };
        // SAFETY: `Account::reclaim` requires that nothing uses memory of the account any more. No
        // instance was created on it.
        unsafe { account.reclaim(&mut self.stack) };
        Err(error)
    }

    /// Runs the guest until it ends or is idle, and stores the result in `report`.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if the guest must continue in another call; the errors of `KWASMI_IOC_RUN` or
    /// `KWASMI_IOC_CALL` if the guest did not run.
    fn run(
        &mut self,
        instance: &Instance,
        entry: &Entry<'_>,
        caller_log: &mut LogBuffer,
    ) -> Result<After> {
        let Some(live) = &self.live else {
            return Ok(After::Ended);
        };
        if !self.has_entered {
            instance.module.check_run(caller_log)?;
        }
        let entered = match instance.counted.enter(caller_log) {
            Err(error) if error == EDQUOT && self.may_wait(entry) => return Err(wait_for_turn()),
            entered => entered?,
        };
        if !self.has_run {
            self.has_run = true;
            self.host.set_time(self.limits.get(KWASMI_LIMIT_TIME));
            self.host.cpu_max = self.limits.get(KWASMI_LIMIT_CPU_TIME);
            if let Some(deadline) = self.host.deadline {
                instance.deadline.store(deadline.as_nanos() as u64, Relaxed);
            }
        }
        let deadline = match (entry, self.host.deadline) {
            (Entry::Call(_, Some(until)), Some(end)) if (end - *until).as_nanos() > 0 => {
                Some(*until)
            }
            (Entry::Call(_, until), None) => *until,
            (_, end) => end,
        };
        let running = instance
            .runner
            .begin(deadline, !matches!(entry, Entry::Own))?;
        if let Some(published) = instance.published.as_ref() {
            published.run();
        }
        self.host.runner = &*instance.runner;
        let (call, charged) = match entry {
            Entry::Own => {
                if instance.is_reactor {
                    self.memory_cgroup = MemoryCgroup::of_current();
                    self.server = Some(TaskAttributes::of_current());
                }
                self.host.begin();
                (ptr::null(), None)
            }
            Entry::Call(call, _) | Entry::Begin(call) => {
                self.host.begin_call();
                // The engine begins a call without a checkpoint. Without a call, it ends a guest
                // that is to end.
                let call = match self.host.checkpoint() {
                    Checkpoint::Continue | Checkpoint::Interrupt => ptr::from_ref(*call),
                    _ => ptr::null(),
                };
                (call, self.memory_cgroup.as_ref().map(MemoryCgroup::charge))
            }
        };
        let mut log = crate::ffi::Log {
            text: self.text.as_mut_ptr(),
            size: TEXT_MAX,
            len: 0,
        };
        let mut args = RunArgs {
            instance: live.object.as_ptr(),
            call,
            only_begins: matches!(entry, Entry::Begin(_)),
            has_ticks: self.host.has_ticks(),
            counters: instance.runner.usage().guest(),
            ending: Ending::EngineFault as u32,
            code: 0,
            results: self.report.results.as_mut_ptr(),
            results_len: 0,
            log: &mut log,
        };
        let host = ptr::from_mut(&mut self.host).cast();
        let assumed = Assumed::new(&instance.credentials);
        // SAFETY: `engine::enter` requires the arguments of the operation, here `RunArgs` of a live
        // instance that nothing else uses: `live` holds it, and `self` is behind the lock. `host`
        // points to a live `Host`, which only this task uses.
        let outcome = unsafe {
            engine::enter(
                &mut self.stack,
                Some(&live.account),
                host,
                EngineOp::Run,
                &mut args,
            )
        };
        drop(assumed);
        drop(charged);
        drop(running);
        drop(entered);
        let is_idle = match outcome {
            Ok(Status::Idle | Status::NoFunction | Status::Argument) | Err(Failure::Refused(_)) => {
                true
            }
            Ok(Status::Interrupted) => args.only_begins,
            _ => false,
        };
        self.host.end(is_idle);
        self.has_entered |= !matches!(outcome, Err(Failure::Refused(_)));
        self.report.fuel_used = instance.runner.usage().fuel();
        self.report.memory_peak = instance.runner.usage().memory_peak();
        match outcome {
            Ok(Status::Interrupted) => {
                return Err(match entry {
                    Entry::Own => host::signal::restart_syscall(),
                    Entry::Call(..) | Entry::Begin(_) => ERESTARTSYS,
                })
            }
            Ok(Status::Idle) => {
                self.report.results_len = args.results_len;
                return Ok(After::Idle);
            }
            Ok(Status::NoFunction | Status::Argument) => return Err(EINVAL),
            Ok(_) => {
                let text = self.text.get(..log.len.min(TEXT_MAX)).unwrap_or(&[]);
                self.report.record(&args, text);
                self.end(instance);
            }
            Err(Failure::Refused(error)) if error == EDQUOT && self.may_wait(entry) => {
                return Err(wait_for_turn())
            }
            Err(failure @ Failure::Refused(_)) => {
                return Err(failure.report(caller_log, &self.limits))
            }
            Err(Failure::Aborted {
                status,
                limit,
                text,
                len,
            }) => self.abandon(instance, status, limit, text.get(..len).unwrap_or(&[])),
        }
        if self.report.ending == Ending::Limited {
            self.report.limit_value = self.limit_value(instance);
        }
        let Report { ending, code, .. } = self.report;
        instance.module.code().counters().end(ending, code);
        if let Some(published) = instance.published.as_ref() {
            published.end(self.report.answer(), &self.report.text);
        }
        Ok(After::Ended)
    }

    /// Returns true if the entry is to be repeated later instead of failing because of the number
    /// of tasks that run.
    fn may_wait(&self, entry: &Entry<'_>) -> bool {
        self.has_entered && matches!(entry, Entry::Own)
    }

    /// Returns the value of the limit that the guest reached.
    fn limit_value(&self, instance: &Instance) -> u64 {
        // The Wasm stack is a limit of the module.
        if self.report.code == KWASMI_LIMIT_STACK {
            instance.module.code().stack_max()
        } else {
            self.limits.get(self.report.code)
        }
    }

    /// Drops the engine objects of a guest that has ended or that will not run any more.
    fn end(&mut self, instance: &Instance) {
        let Some(live) = self.live.take() else {
            return;
        };
        self.host.end_ticks();
        instance.runner.usage().close_heap();
        // SAFETY: `engine::drop_object` requires a live instance that nothing uses. `live` held it,
        // and `self` is behind the lock.
        let outcome = unsafe {
            engine::drop_object(&mut self.stack, &live.account, EngineOp::Drop, live.object)
        };
        let peak = match outcome {
            Ok(_) => instance.module.code().settle(&mut self.stack, live.account),
            Err(_) => {
                instance.module.code().poison();
                // SAFETY: `Account::reclaim` requires that nothing uses memory of the account any
                // more. The engine aborted while it dropped the instance, which was taken out of
                // `self.live`.
                unsafe { live.account.reclaim(&mut self.stack) }
            }
        };
        self.report.heap_peak = peak as u64;
        self.finish();
    }

    /// Stores the ending of a guest in which the engine aborted with `status`, and reclaims the
    /// memory of its engine objects without dropping them: they may be inconsistent. `limit` is the
    /// `KWASMI_LIMIT_*` of [`Status::Limited`]; `text` explains the abort.
    fn abandon(&mut self, instance: &Instance, status: Status, limit: u32, text: &[u8]) {
        self.report.ending = match status {
            Status::NoMemory => Ending::OutOfMemory,
            Status::Limited => Ending::Limited,
            Status::Killed => Ending::Killed,
            _ => {
                instance.module.code().poison();
                Ending::EngineFault
            }
        };
        self.report.code = limit;
        self.report.results_len = 0;
        self.report.say(text);
        if let Some(live) = self.live.take() {
            self.host.end_ticks();
            instance.runner.usage().close_heap();
            // SAFETY: `Account::reclaim` requires that nothing uses memory of the account any more.
            // The engine aborted, and the instance was taken out of `self.live`.
            let peak = unsafe { live.account.reclaim(&mut self.stack) };
            self.report.heap_peak = peak as u64;
        }
        self.finish();
    }

    /// Completes the report of a guest that has ended, and closes the guest's files.
    fn finish(&mut self) {
        self.report.stack_peak = self.stack.peak() as u64;
        self.host.close_all();
    }
}

/// Checks that the last of `strings`, the arguments or the environment, ends with a NUL.
///
/// # Errors
///
/// `EINVAL` if it does not; `log` gets the reason.
fn check_strings(strings: &[u8], log: &mut LogBuffer) -> Result {
    if strings.last().is_some_and(|last| *last != 0) {
        let _ = write!(
            log,
            "arguments or environment: the last string has no NUL at its end"
        );
        return Err(EINVAL);
    }
    Ok(())
}

/// Sleeps for a moment and returns the error that restarts the call. A guest that has left its
/// ioctl in the middle of its run waits so if other tasks have filled `KWASMI_LIMIT_TOTAL_RUNNING`
/// or `KWASMI_LIMIT_USER_RUNNING` in the meantime.
fn wait_for_turn() -> Error {
    host::signal::pause();
    host::signal::restart_syscall()
}
