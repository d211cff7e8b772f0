// SPDX-License-Identifier: GPL-2.0

//! Runner of an instance: the task that runs it, the kill flag, and the counters.

use super::{
    alarm::Alarm,
    clock,
    signal,
    usage::Usage, //
};
use crate::{
    trace::InstanceNumber,
    watch::{
        Counter,
        CounterId,
        Sink, //
    },
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        SpinLock, //
    },
    task::Task,
    time::{
        hrtimer::ArcHrTimerHandle,
        Instant,
        Monotonic, //
    }, //
};

/// Task that runs an instance, and the kill flag. They have a lock of their own, so that a kill
/// need not wait for the end of the run.
#[pin_data]
pub(crate) struct Runner {
    #[pin]
    state: SpinLock<State>,
    #[pin]
    usage: Usage,
    /// Number of the instance in trace events.
    number: InstanceNumber,
}

/// Number of runners so far.
static RUNNERS: Atomic<u64> = Atomic::new(0);

/// State of a [`Runner`].
///
/// # Invariants
///
/// `task` is set exactly while a [`Running`] of the runner exists.
#[derive(Default)]
struct State {
    /// Task that runs the instance now.
    task: Option<ARef<Task>>,
    /// Set by a kill and never cleared. The instance may be killed before it runs.
    is_killed: bool,
    /// Number of runs that have begun, and those of them that began a call.
    runs: u64,
    calls: u64,
    /// CPU time of `task` when it began to run the instance, in nanoseconds.
    cpu_began: u64,
    /// CPU time of the runs that have ended, in nanoseconds.
    cpu_used: u64,
}

impl State {
    /// Returns the CPU time of all runs, in nanoseconds.
    fn cpu_time(&self) -> u64 {
        let now = self.task.as_ref().map_or(0, |task| {
            clock::cpu_time_of(task).saturating_sub(self.cpu_began)
        });
        self.cpu_used.saturating_add(now)
    }
}

impl Runner {
    /// Creates the runner of an instance that does not run.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if no memory is available.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                state <- new_spinlock!(State::default(), "kwasmi::Runner::state"),
                usage <- Usage::new(),
                number: InstanceNumber(RUNNERS.fetch_add(1, Relaxed) + 1),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Returns the number of the instance in trace events.
    pub(crate) fn number(&self) -> InstanceNumber {
        self.number
    }

    /// Kills the instance: a task that runs it leaves the engine soon.
    pub(crate) fn kill(&self) {
        // The lock is held during `interrupt`: `Running` cannot unregister the task meanwhile, so
        // no task is interrupted that has left the run.
        let mut state = self.state.lock();
        state.is_killed = true;
        if let Some(task) = &state.task {
            signal::interrupt(task);
        }
    }

    /// Returns the counters that the engine changes.
    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Passes the counters of the instance to `sink`.
    ///
    /// # Errors
    ///
    /// The errors of `sink`.
    pub(crate) fn list_counters(&self, sink: Sink<'_>) -> Result {
        let state = self.state.lock();
        let totals = (state.runs, state.cpu_time());
        let calls = state.calls;
        drop(state);
        self.usage.list(totals, sink)?;
        sink(Counter::new(CounterId::Calls, calls))
    }

    /// Counts `calls` that have begun in one run.
    pub(crate) fn count_calls(&self, calls: u32) {
        let mut state = self.state.lock();
        state.calls = state.calls.wrapping_add(calls.into());
    }

    /// Returns true if the instance was killed.
    pub(crate) fn is_killed(&self) -> bool {
        self.state.lock().is_killed
    }

    /// Registers the current task as the one that runs the instance, and sets an alarm for
    /// `deadline`. `is_call` is set if the task begins a call. No other task may run the instance.
    /// The task of a killed instance is registered too: the next checkpoint ends the guest.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the timer cannot be allocated.
    pub(crate) fn begin(
        &self,
        deadline: Option<Instant<Monotonic>>,
        is_call: bool,
    ) -> Result<Running<'_>> {
        let task: ARef<Task> = ARef::from(&**kernel::current!());
        let alarm = match deadline {
            Some(deadline) => Some(Alarm::set(task.clone(), deadline)?),
            None => None,
        };
        let mut state = self.state.lock();
        state.runs = state.runs.wrapping_add(1);
        state.calls = state.calls.wrapping_add(is_call.into());
        state.cpu_began = clock::cpu_time_of(&task);
        // INVARIANT: The `Running` is created below, and nothing in between can fail.
        state.task = Some(task);
        drop(state);
        Ok(Running {
            runner: self,
            _alarm: alarm,
        })
    }
}

/// Guard of a task that runs an instance: its drop unregisters the task and cancels the alarm.
pub(crate) struct Running<'a> {
    runner: &'a Runner,
    _alarm: Option<ArcHrTimerHandle<Alarm>>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.runner.state.lock();
        state.cpu_used = state.cpu_time();
        // INVARIANT: This `Running` is being dropped.
        let task = state.task.take();
        drop(state);
        // The reference is dropped after the spinlock is released.
        drop(task);
    }
}
