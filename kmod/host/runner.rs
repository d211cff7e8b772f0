// SPDX-License-Identifier: GPL-2.0

//! Runner of an instance: the task that runs it, and the kill flag.

use super::{
    alarm::Alarm,
    signal, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        aref::ARef,
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
}

/// State of a [`Runner`].
#[derive(Default)]
struct State {
    task: Option<ARef<Task>>,
    is_killed: bool,
}

impl Runner {
    /// Creates the runner of an instance that does not run.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_spinlock!(State::default(), "kwasmi::Runner::state"),
        })
    }

    /// Kills the instance: a task that runs it leaves the engine soon.
    pub(crate) fn kill(&self) {
        let mut state = self.state.lock();
        state.is_killed = true;
        if let Some(task) = &state.task {
            signal::interrupt(task);
        }
    }

    /// Returns true if the instance was killed.
    pub(crate) fn is_killed(&self) -> bool {
        self.state.lock().is_killed
    }

    /// Registers the current task as the one that runs the instance, and sets an alarm for
    /// `deadline`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the timer cannot be allocated.
    pub(crate) fn begin(&self, deadline: Option<Instant<Monotonic>>) -> Result<Running<'_>> {
        let task: ARef<Task> = ARef::from(&**kernel::current!());
        let alarm = match deadline {
            Some(deadline) => Some(Alarm::set(task.clone(), deadline)?),
            None => None,
        };
        self.state.lock().task = Some(task);
        Ok(Running {
            runner: self,
            _alarm: alarm,
        })
    }
}

/// Guard of a task that runs an instance.
pub(crate) struct Running<'a> {
    runner: &'a Runner,
    _alarm: Option<ArcHrTimerHandle<Alarm>>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let task = self.runner.state.lock().task.take();
        // The reference is dropped after the spinlock is released.
        drop(task);
    }
}
