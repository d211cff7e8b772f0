// SPDX-License-Identifier: GPL-2.0

//! Turns of a reactor: which task may use the instance.
//!
//! One task **serves** the reactor: it is in `KWASMI_IOC_RUN`, initialises the reactor, and then
//! waits. The tasks that call functions, the **callers**, take turns, in the order in which they
//! came. A caller runs the function itself. If it must return to userspace before the function
//! returns, because of a signal for example, it hands the call over to the serving task, which
//! runs the rest. The caller then waits for the result until a fatal signal or its timeout. If it
//! leaves earlier, the function still runs to its end, and its result is dropped.

use super::{
    pool::Membership,
    queue::{
        Member,
        Place,
        Queue, //
    },
};
use crate::host::signal;
use kernel::{
    error::code::{
        ECONNRESET,
        EINPROGRESS,
        ESHUTDOWN,
        ESTALE, //
    },
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        Mutex, //
    },
    task::Task, //
};

/// Number of the reactor in its own queue, which has one instance.
const OWN: Member = 0;

/// Turns of one reactor.
#[pin_data]
pub(super) struct Turns {
    #[pin]
    state: Mutex<State>,
    /// Callers that wait for their turn. It is closed once `is_over` is set.
    #[pin]
    queue: Queue,
    /// Set when the serving task has something to do, or the guest has ended.
    wakes_server: Atomic<bool>,
    /// Set when the call that was handed over is finished, or the guest has ended.
    wakes_caller: Atomic<bool>,
    /// Pool of the reactor, whose callers come after those of the reactor itself.
    membership: Option<Membership>,
}

/// State of the turns. Its lock is taken before that of the queue.
struct State {
    holder: Holder,
    /// Number of turns that callers have had. It may wrap around.
    turns: u32,
    /// Set while the reactor rests: it has no stacks until the next call.
    is_resting: bool,
    /// Set once the guest has ended or is about to be freed. It is never cleared.
    is_over: bool,
    /// Set once another instance has the name of this one. No further callers may enter, and the
    /// guest ends once nobody has the turn. It is never cleared.
    is_draining: bool,
    /// Set if the serving task gets the next turn, to end the guest.
    server_is_next: bool,
    /// Set once the reactor is initialised.
    is_initialized: bool,
    /// Task that serves the reactor.
    server: Option<ARef<Task>>,
}

impl State {
    /// Checks that a further caller may enter.
    ///
    /// # Errors
    ///
    /// `ESTALE` if another instance has the name of this one; `ESHUTDOWN` if the guest has ended.
    fn check_entry(&self) -> Result {
        match self {
            Self {
                is_draining: true, ..
            } => Err(ESTALE),
            Self { is_over: true, .. } => Err(ESHUTDOWN),
            _ => Ok(()),
        }
    }

    /// Gives the turn to a caller.
    fn give(&mut self) {
        self.turns = self.turns.wrapping_add(1);
        self.holder = Holder::Caller;
    }

    /// Gives the turn to a caller if nobody has it. Returns false if a task has it.
    fn take(&mut self) -> bool {
        let is_free = matches!(self.holder, Holder::Nobody);
        if is_free {
            self.give();
        }
        is_free
    }
}

/// Task whose turn it is.
enum Holder {
    /// The serving task, which is to initialise the reactor, or to end it.
    Server,
    /// No task.
    Nobody,
    /// A caller.
    Caller,
    /// The serving task, which is to continue the call of this caller; `None` if the caller has
    /// left.
    HandedOver(Option<ARef<Task>>),
    /// The caller of a call that the serving task has finished.
    Finished,
}

/// Returns a reference to the current task.
pub(super) fn current() -> ARef<Task> {
    ARef::from(&**kernel::current!())
}

/// Work of the serving task.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Run the guest: its initialisation, or a call that was handed over.
    Run,
    /// Wait.
    Wait,
    /// End the guest: another instance has its name, and the last call is finished.
    Retire,
    /// Leave: the guest has ended.
    Leave,
}

impl Turns {
    /// Returns the turns of a reactor that is not initialised.
    pub(super) fn new(membership: Option<Membership>) -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_mutex!(
                State {
                    holder: Holder::Server,
                    turns: 0,
                    is_resting: false,
                    is_over: false,
                    is_draining: false,
                    server_is_next: false,
                    is_initialized: false,
                    server: None,
                },
                "kwasmi::Turns::state"
            ),
            queue <- Queue::new(),
            wakes_server: Atomic::new(false),
            wakes_caller: Atomic::new(false),
            membership,
        })
    }

    /// Checks that a further caller may enter.
    ///
    /// # Errors
    ///
    /// `ESTALE` and `ESHUTDOWN`, as documented for [`Turns::enter`].
    pub(super) fn check(&self) -> Result {
        self.state.lock().check_entry()
    }

    /// Waits until it is the current task's turn, or until the monotonic clock shows `until`
    /// nanoseconds (`u64::MAX`: no timeout).
    ///
    /// # Errors
    ///
    /// `ESTALE` if another instance has the name of this one; `ESHUTDOWN` if the guest has ended;
    /// `ETIMEDOUT`; `ERESTARTSYS` if a signal is pending; `ENOMEM`.
    pub(super) fn enter(&self, until: u64) -> Result<Turn<'_>> {
        let mut state = self.state.lock();
        state.check_entry()?;
        if state.take() {
            return Ok(self.turn());
        }
        drop(state);
        self.enter_queue(until)
    }

    #[cold]
    fn enter_queue(&self, until: u64) -> Result<Turn<'_>> {
        let waiter = self.queue.push(Place::Back)?;
        let mut state = self.state.lock();
        // The task that had the turn before the `push` has found an empty queue.
        if matches!(state.holder, Holder::Nobody) {
            self.pass_on(&mut state);
        }
        drop(state);
        let (_, waited) = self.queue.wait(&waiter, until)?;
        let state = self.state.lock();
        if state.is_over {
            state.check_entry()?;
        }
        drop(state);
        let turn = self.turn();
        // If the wait failed meanwhile, the drop of the turn passes it on.
        waited.map(|()| turn)
    }

    /// Gives the turn to the current task if nobody has it. [`Turns::turn`] returns the turn.
    pub(super) fn try_enter(&self) -> bool {
        let mut state = self.state.lock();
        state.check_entry().is_ok() && state.take()
    }

    /// Returns the turn that the current task has got by [`Turns::try_enter`] or from the queue of
    /// the pool.
    pub(super) fn turn(&self) -> Turn<'_> {
        Turn { turns: self }
    }

    /// Returns the number of callers that wait for their turn.
    pub(super) fn queued(&self) -> u32 {
        self.queue.len()
    }

    /// Gives the turn to the serving task if it is next, or else to the caller that has waited
    /// longest for this reactor, or else for its pool.
    fn pass_on(&self, state: &mut State) {
        if state.server_is_next {
            state.server_is_next = false;
            state.holder = Holder::Server;
            self.wake_server(state);
            return;
        }
        let is_given =
            self.queue.give(OWN) || self.membership.as_ref().is_some_and(Membership::give);
        if is_given {
            state.give();
        } else {
            state.holder = Holder::Nobody;
        }
        if state.is_draining && matches!(state.holder, Holder::Nobody) {
            self.wake_server(state);
        }
    }

    /// Lets no further callers enter. The serving task ends the guest once the callers that have
    /// entered are finished.
    pub(super) fn drain(&self) {
        let mut state = self.state.lock();
        state.is_draining = true;
        self.queue.refuse(ESTALE);
        self.wake_server(&state);
    }

    /// Makes the current task the one that serves the reactor, until the result is dropped.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another task serves it.
    pub(super) fn serve(&self) -> Result<Serving<'_>> {
        let mut state = self.state.lock();
        if state.server.is_some() {
            return Err(EBUSY);
        }
        state.server = Some(current());
        Ok(Serving { turns: self })
    }

    /// Records that the guest has ended, and wakes all waiting tasks. A caller whose call was
    /// handed over gets the turn back, to read the report.
    pub(super) fn end(&self) {
        let mut state = self.close_state();
        if matches!(state.holder, Holder::HandedOver(Some(_))) {
            state.holder = Holder::Finished;
        }
    }

    /// Records that the instance is about to be freed, and wakes all waiting tasks.
    pub(super) fn close(&self) {
        drop(self.close_state());
    }

    fn close_state(&self) -> Guard<'_, State, MutexBackend> {
        let mut state = self.state.lock();
        state.is_over = true;
        self.queue
            .close(state.check_entry().err().unwrap_or(ESHUTDOWN));
        if let Holder::HandedOver(Some(caller)) = &state.holder {
            self.wakes_caller.store(true, Release);
            signal::wake(caller);
        }
        self.wake_server(&state);
        state
    }

    /// Records that the reactor has stacks again.
    pub(super) fn end_rest(&self) {
        let mut state = self.state.lock();
        state.is_resting = false;
        // The task waits without a timeout while the reactor rests.
        self.wake_server(&state);
    }

    /// Makes the serving task look for work: the guest may have been killed.
    pub(super) fn rouse(&self) {
        self.wake_server(&self.state.lock());
    }

    fn wake_server(&self, state: &State) {
        self.wakes_server.store(true, Release);
        if let Some(server) = &state.server {
            signal::wake(server);
        }
    }
}

/// Turn of a caller: the current task alone may use the instance. The drop passes the turn on.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
}

impl<'a> Turn<'a> {
    /// Hands the call over to the serving task, and waits until that task has finished it, or until
    /// the monotonic clock shows `until` nanoseconds.
    ///
    /// # Errors
    ///
    /// `EINPROGRESS` if the time is over before the call is finished; `EINTR` if a fatal signal is
    /// pending; `ECONNRESET` if the instance is freed. In each case the caller no longer has the
    /// turn.
    pub(super) fn hand_over(self, until: u64) -> Result<Self> {
        let turns = self.turns;
        // The drop would pass the turn on.
        core::mem::forget(self);
        let mut state = turns.state.lock();
        if state.is_over {
            return Err(ECONNRESET);
        }
        turns.wakes_caller.store(false, Release);
        state.holder = Holder::HandedOver(Some(current()));
        turns.wake_server(&state);
        drop(state);
        let result = loop {
            match signal::sleep_killable(until, || turns.wakes_caller.load(Acquire)) {
                _ if turns.wakes_caller.load(Acquire) => break Ok(()),
                Ok(true) => {}
                Ok(false) => break Err(EINPROGRESS),
                Err(_) => break Err(EINTR),
            }
        };
        let mut state = turns.state.lock();
        match state.holder {
            Holder::Finished => {
                state.holder = Holder::Caller;
                drop(state);
                Ok(Self { turns })
            }
            _ if state.is_over => Err(ECONNRESET),
            _ => {
                state.holder = Holder::HandedOver(None);
                Err(result.err().unwrap_or(EINPROGRESS))
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock();
        if !state.is_over {
            self.turns.pass_on(&mut state);
        }
    }
}

/// Guard of the task that serves a reactor.
pub(super) struct Serving<'a> {
    turns: &'a Turns,
}

impl Serving<'_> {
    /// Returns what the serving task is to do.
    pub(super) fn work(&self) -> Work {
        self.turns.wakes_server.store(false, Release);
        let state = self.turns.state.lock();
        match state.holder {
            _ if state.is_over => Work::Leave,
            Holder::Server | Holder::HandedOver(_) => Work::Run,
            Holder::Nobody if state.is_draining => Work::Retire,
            Holder::Nobody | Holder::Caller | Holder::Finished => Work::Wait,
        }
    }

    /// Records that the reactor is initialised, or that the call that was handed over is finished.
    /// Returns false if nobody takes the results of a call.
    pub(super) fn finish(&self) -> bool {
        let mut state = self.turns.state.lock();
        match &state.holder {
            Holder::HandedOver(Some(caller)) => {
                self.turns.wakes_caller.store(true, Release);
                signal::wake(caller);
                state.holder = Holder::Finished;
                return true;
            }
            Holder::Server | Holder::HandedOver(None) if !state.is_over => {
                state.is_initialized = true;
                self.turns.pass_on(&mut state);
            }
            _ => {}
        }
        false
    }

    /// Returns true if the reactor rests.
    pub(super) fn is_resting(&self) -> bool {
        self.turns.state.lock().is_resting
    }

    /// Gives the turn to this task if nobody has it and no caller has had it since `seen` was set;
    /// otherwise sets `seen`. Returns true in the first case.
    pub(super) fn take_idle(&self, seen: &mut u32) -> bool {
        let mut state = self.turns.state.lock();
        let is_idle =
            matches!(state.holder, Holder::Nobody) && state.turns == *seen && !state.is_over;
        if is_idle {
            state.holder = Holder::Server;
        }
        *seen = state.turns;
        is_idle
    }

    /// Records that the reactor rests, and passes the turn of [`take_idle`](Self::take_idle) on.
    pub(super) fn rest(&self) {
        let mut state = self.turns.state.lock();
        if !state.is_over {
            state.is_resting = true;
            self.turns.pass_on(&mut state);
        }
    }

    /// Gives the next turn to this task, before all callers.
    pub(super) fn take_next(&self) {
        let mut state = self.turns.state.lock();
        match state.holder {
            Holder::Nobody => state.holder = Holder::Server,
            _ => state.server_is_next = true,
        }
    }

    /// Waits until there is something to do. Returns false once the monotonic clock shows `until`
    /// nanoseconds (`u64::MAX`: never).
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if a signal is pending.
    pub(super) fn wait(&self, until: u64) -> Result<bool> {
        let turns = self.turns;
        loop {
            match signal::sleep(until, 0, || turns.wakes_server.load(Acquire)) {
                _ if turns.wakes_server.load(Acquire) => return Ok(true),
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(_) => return Err(ERESTARTSYS),
            }
        }
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock();
        let server = state.server.take();
        state.server_is_next = false;
        // A guest that is to end is ended by the next caller, if no other task serves it.
        if state.is_initialized && !state.is_over && matches!(state.holder, Holder::Server) {
            self.turns.pass_on(&mut state);
        }
        // The reference is dropped after the lock is released.
        drop(state);
        drop(server);
    }
}
