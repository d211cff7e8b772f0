// SPDX-License-Identifier: GPL-2.0

//! State of an instance that one task at a time accesses: its engine objects, from their creation
//! to the end of the guest.

use super::{
    outcome::Outcome,
    report::Report,
    Instance, //
};
use crate::{
    engine::{
        self,
        stack::Stack,
        Account,
        Failure, //
    },
    ffi::{
        Call,
        CallBatch,
        Ending,
        EngineOp,
        InstanceLimits,
        RunArgs,
        StartArgs,
        Status, //
    },
    host::{
        self,
        credentials::Assumed,
        Host,
        MemoryCgroup,
        TaskAttributes, //
    },
    limits::CallLimits,
    log::LogBuffer,
    trace,
    uapi::{
        KWASMI_LIMIT_CPU_TIME,
        KWASMI_LIMIT_FDS,
        KWASMI_LIMIT_FUEL,
        KWASMI_LIMIT_HEAP,
        KWASMI_LIMIT_MEMORY,
        KWASMI_LIMIT_STACK,
        KWASMI_LIMIT_TABLE,
        KWASMI_LIMIT_TIME, //
    },
};
use core::{
    ffi::c_void,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    prelude::*,
    sync::atomic::Relaxed,
    time::{
        hrtimer::HrTimerExpires,
        Instant,
        Monotonic, //
    },
};

/// State of an instance that one task at a time accesses: the one that starts, runs or drops it, or
/// asks for its results.
pub(super) struct Inner {
    /// Stack of every entry into the engine for this instance; `None` while it rests.
    stack: Option<Stack>,
    /// Number of bytes that were ever in use on earlier stacks.
    stack_peak: usize,
    /// Engine objects; `None` once the guest has ended or the instance is dropped.
    pub(super) live: Option<Live>,
    pub(super) host: Host,
    limits: CallLimits,
    /// Memory cgroup of the process that serves the reactor.
    memory_cgroup: Option<MemoryCgroup>,
    /// Attributes of the task that serves the reactor.
    server: Option<TaskAttributes>,
    /// Set once the time limits have begun, which happens in the first RUN.
    pub(super) has_run: bool,
    /// Set once the guest may have executed code. It then continues even if its module is denied.
    has_entered: bool,
    pub(super) report: Report,
    /// Buffer for the text that explains how the guest ended.
    text: [u8; TEXT_MAX],
}

/// Entry of a task into the guest.
pub(super) enum Entry<'a> {
    /// By the task that runs or serves the instance.
    Own,
    /// By a caller of the reactor, who begins this call and wants to leave at this time.
    Call(&'a Call, Option<Instant<Monotonic>>),
    /// By a caller of the reactor, who makes these calls and wants to leave at this time.
    Batch(&'a CallBatch, Option<Instant<Monotonic>>),
    /// By a caller of the reactor, who begins this call and hands it over at once.
    Begin(&'a Call),
}

/// State of a guest that has left the engine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
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
pub(super) struct Live {
    object: NonNull<c_void>,
    account: Account,
}

// SAFETY: An instance of the engine may be used by any task, by one at a time; `Inner` is behind a
// mutex.
unsafe impl Send for Live {}

/// Upper bound of the kept text, in bytes.
const TEXT_MAX: usize = 512;

impl Inner {
    /// Creates the state of an instance without engine objects.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the stack cannot be allocated.
    pub(super) fn new(host: Host, limits: CallLimits) -> Result<Self> {
        Ok(Self {
            stack: Some(Stack::new()?),
            stack_peak: 0,
            live: None,
            host,
            limits,
            memory_cgroup: None,
            server: None,
            has_run: false,
            has_entered: false,
            report: Report::new(),
            text: [0; TEXT_MAX],
        })
    }

    /// Creates the engine objects of `instance`, on an account of its own. Nothing of the guest
    /// runs.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_START` that the engine reports; `log` gets the reason.
    pub(super) fn instantiate(
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
        let stack = self.stack.as_mut().ok_or(ENOMEM)?;
        let account = Account::open(stack, KWASMI_LIMIT_HEAP, &self.limits, log)?;
        self.host.begin();
        let host = ptr::from_mut(&mut self.host).cast();
        let outcome = log.lend(|log| {
            args.log = log;
            // SAFETY: `Code::instantiate` requires that `args` is filled in, and that all it points
            // to outlives the call: `Instance::new` filled it in with pointers to its own variables
            // and arguments, and `log` lives until `lend` returns. `host` points to a live `Host`,
            // which only this task uses.
            unsafe { code.instantiate(stack, &account, host, args) }
        });
        let error = match (outcome, NonNull::new(args.instance)) {
            (Ok(Status::Ok), Some(object)) => {
                // SAFETY: `Usage::open_heap` requires `close_heap` before the account is closed,
                // which `end` and `abandon` call. Nothing else takes the account out of
                // `self.live`.
                unsafe { instance.runner.usage().open_heap(&account) };
                // INVARIANT: The engine just created `object`, on `account`.
                self.live = Some(Live { object, account });
                return Ok(());
            }
            (Ok(status), _) => {
                // The engine created no instance and dropped all objects of the attempt.
                code.settle(stack, account);
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
        unsafe { account.reclaim(stack) };
        Err(error)
    }

    /// Runs the guest until it ends or is idle, and stores the result in `report`.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if the guest must continue in another call; the errors of `KWASMI_IOC_RUN` or
    /// `KWASMI_IOC_CALL` if the guest did not run.
    pub(super) fn run(
        &mut self,
        instance: &Instance,
        entry: &Entry<'_>,
        caller_log: &mut LogBuffer,
    ) -> Result<After> {
        let Some(live) = &self.live else {
            return Ok(After::Ended);
        };
        if self.stack.is_none() && matches!(entry, Entry::Own) {
            return Ok(self.run_resting(instance));
        }
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
            (Entry::Call(_, Some(until)) | Entry::Batch(_, Some(until)), Some(end))
                if (end - *until).as_nanos() > 0 =>
            {
                Some(*until)
            }
            (Entry::Call(_, until) | Entry::Batch(_, until), None) => *until,
            (_, end) => end,
        };
        let running = instance
            .runner
            .begin(deadline, matches!(entry, Entry::Call(..) | Entry::Begin(_)))?;
        if let Some(published) = instance.published.as_ref() {
            published.run();
        }
        if let Some(membership) = &instance.membership {
            membership.run();
        }
        let stack = match &mut self.stack {
            Some(stack) => stack,
            none => {
                let cgroup = match entry {
                    Entry::Own => None,
                    _ => self.memory_cgroup.as_ref(),
                };
                let _charged = cgroup.map(MemoryCgroup::charge);
                instance.turns.end_rest();
                none.insert(Stack::new()?)
            }
        };
        self.host.runner = &*instance.runner;
        let charged = match entry {
            Entry::Own => {
                if instance.is_reactor {
                    self.memory_cgroup = MemoryCgroup::of_current();
                    self.server = Some(TaskAttributes::of_current());
                }
                self.host.begin();
                None
            }
            Entry::Call(..) | Entry::Batch(..) | Entry::Begin(_) => {
                self.host.begin_call();
                self.memory_cgroup.as_ref().map(MemoryCgroup::charge)
            }
        };
        let (call, batch) = match entry {
            Entry::Own => (ptr::null(), ptr::null()),
            // The engine begins a call without a checkpoint. Without a call, it ends a guest that
            // is to end.
            _ if self.host.checkpoint().ending().is_some() => (ptr::null(), ptr::null()),
            Entry::Call(call, _) | Entry::Begin(call) => (ptr::from_ref(*call), ptr::null()),
            Entry::Batch(batch, _) => (ptr::null(), ptr::from_ref(*batch)),
        };
        let mut log = crate::ffi::Log {
            text: self.text.as_mut_ptr(),
            size: TEXT_MAX,
            len: 0,
        };
        let mut args = RunArgs {
            instance: live.object.as_ptr(),
            call,
            batch,
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
        let number = instance.runner.number();
        if let Entry::Call(call, _) | Entry::Begin(call) = entry {
            trace::call(number, call.function);
        }
        trace::enter(number);
        let assumed = Assumed::new(&instance.credentials);
        // SAFETY: `engine::enter` requires the arguments of the operation, here `RunArgs` of a live
        // instance that nothing else uses: `live` holds it, and `self` is behind the lock. `host`
        // points to a live `Host`, which only this task uses.
        let outcome =
            unsafe { engine::enter(stack, Some(&live.account), host, EngineOp::Run, &mut args) };
        drop(assumed);
        trace::leave(number);
        drop(charged);
        drop(running);
        drop(entered);
        let is_idle = match outcome {
            Ok(
                Status::Idle
                | Status::NoFunction
                | Status::Argument
                | Status::NoMemory
                | Status::Limited,
            )
            | Err(Failure::Refused(_)) => true,
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
                    _ => ERESTARTSYS,
                })
            }
            Ok(Status::Idle) => {
                self.report.results_len = args.results_len;
                return Ok(After::Idle);
            }
            Ok(Status::NoFunction | Status::Argument) => return Err(EINVAL),
            // The reactor has rested, and its stack cannot be allocated.
            Ok(Status::NoMemory | Status::Limited) => return Err(ENOMEM),
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
        self.tell_end(instance);
        Ok(After::Ended)
    }

    /// Ends a reactor that rests, if it is to end. Nothing of it is on a stack, so this needs no
    /// memory.
    fn run_resting(&mut self, instance: &Instance) -> After {
        self.host.begin();
        let ending = self.host.checkpoint().ending();
        self.host.end(true);
        let Some((ending, code)) = ending else {
            return After::Idle;
        };
        self.report.set_ending(ending, code);
        self.report.say(b"in no function");
        self.end(instance);
        if ending == Ending::Limited {
            self.report.limit_value = self.limit_value(instance);
        }
        self.tell_end(instance);
        After::Ended
    }

    /// Ends a reactor whose name another instance has, and which has finished its calls, as if it
    /// had exited with 0.
    pub(super) fn retire(&mut self, instance: &Instance) {
        if self.live.is_none() {
            return;
        }
        self.report.set_ending(Ending::Exited, 0);
        self.end(instance);
        self.tell_end(instance);
    }

    /// Ends a reactor whose last descriptor is closed. A caller who has the turn and has not run
    /// the guest yet learns that it was killed.
    pub(super) fn close(&mut self, instance: &Instance) {
        if self.live.is_some() {
            self.report.set_ending(Ending::Killed, 0);
            self.end(instance);
        }
    }

    /// Frees the stacks of an idle reactor until the next call.
    pub(super) fn rest(&mut self, instance: &Instance) {
        let (Some(live), Some(stack)) = (&self.live, &mut self.stack) else {
            return;
        };
        // SAFETY: `engine::rest` requires a live instance that nothing uses. `live` holds it, and
        // `self` is behind the lock.
        match unsafe { engine::rest(stack, &live.account, live.object) } {
            Ok(Status::Ok) => {
                // SAFETY: `Host::free_stack` requires that the guest does not use its stack, which
                // the engine has just given up.
                unsafe { self.host.free_stack() };
                self.stack_peak = self.stack_peak.max(stack.peak());
                self.stack = None;
            }
            Err(Failure::Aborted {
                status,
                limit,
                text,
                len,
            }) => {
                self.abandon(instance, status, limit, text.get(..len).unwrap_or(&[]));
                self.tell_end(instance);
            }
            _ => {}
        }
    }

    /// Counts the ending in the report, and tells it to the service or pool of the instance.
    fn tell_end(&self, instance: &Instance) {
        let Report { ending, code, .. } = self.report;
        trace::end(instance.runner.number(), ending, code);
        for counters in instance.counters() {
            counters.end(ending, code);
        }
        *instance.has_ended.lock() = true;
        if let Some(published) = instance.published.as_ref() {
            published.end(Outcome::new(self.report.answer(), &self.report.text));
        }
        if let Some(membership) = &instance.membership {
            membership.end(Outcome::new(self.report.answer(), &self.report.text));
        }
    }

    /// Returns true if the current task, a caller of the reactor, may run a call. Otherwise the
    /// serving task runs the whole call.
    pub(super) fn may_run_in_caller(&self) -> bool {
        self.server
            .as_ref()
            .is_none_or(|server| TaskAttributes::of_current().may_run_for(server))
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
    pub(super) fn end(&mut self, instance: &Instance) {
        let Some(live) = self.live.take() else {
            return;
        };
        self.host.end_ticks();
        instance.runner.usage().close_heap();
        let code = instance.module.code();
        // SAFETY: `Code::free_instance` requires the account of an instance, and this instance,
        // which nothing uses any more. `live` held both, and `self` is behind the lock.
        let peak =
            unsafe { code.free_instance(self.stack.as_mut(), live.account, Some(live.object)) };
        self.report.heap_peak = peak as u64;
        self.finish();
    }

    /// Stores the ending of a guest in which the engine aborted with `status`, and reclaims the
    /// memory of its engine objects without dropping them: they may be inconsistent. `limit` is the
    /// `KWASMI_LIMIT_*` of [`Status::Limited`]; `text` explains the abort.
    fn abandon(&mut self, instance: &Instance, status: Status, limit: u32, text: &[u8]) {
        let ending = match status {
            Status::NoMemory => Ending::OutOfMemory,
            Status::Limited => Ending::Limited,
            Status::Killed => Ending::Killed,
            _ => {
                instance.module.code().poison();
                Ending::EngineFault
            }
        };
        self.report.set_ending(ending, limit);
        self.report.say(text);
        if let Some(live) = self.live.take() {
            self.host.end_ticks();
            instance.runner.usage().close_heap();
            let code = instance.module.code();
            // SAFETY: `Code::free_instance` requires the account of an instance that nothing uses
            // any more. The engine aborted, and the instance was taken out of `self.live`.
            let peak = unsafe { code.free_instance(self.stack.as_mut(), live.account, None) };
            self.report.heap_peak = peak as u64;
        }
        self.finish();
    }

    /// Completes the report of a guest that has ended, and closes the guest's files.
    fn finish(&mut self) {
        let peak = self.stack.as_mut().map_or(0, Stack::peak);
        self.report.stack_peak = self.stack_peak.max(peak) as u64;
        self.host.close_all();
    }
}

/// Sleeps for a moment and returns the error that restarts the call. A guest that has left its
/// ioctl in the middle of its run waits so if other tasks have filled `KWASMI_LIMIT_TOTAL_RUNNING`
/// or `KWASMI_LIMIT_USER_RUNNING` in the meantime.
fn wait_for_turn() -> Error {
    host::signal::pause();
    host::signal::restart_syscall()
}
