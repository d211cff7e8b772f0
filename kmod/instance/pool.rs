// SPDX-License-Identifier: GPL-2.0

//! Pools: instances of one module that share a queue of calls and, if the pool is a service, a
//! name.
//!
//! The process that holds the pool starts the instances and replaces those that end. Callers wait
//! while no instance is idle, and while the pool has no instances.

use super::{
    calls::PendingCall,
    outcome::Outcome,
    queue::{
        Member,
        Place,
        Queue, //
    },
    Instance, //
};
use crate::{
    anon_file::AnonFile as _,
    ioctl::Argument,
    module::Module,
    watch::{
        Counter,
        CounterId,
        CounterSums,
        ModuleCounters,
        Sink, //
    },
};
use kernel::{
    error::code::{
        EOPNOTSUPP,
        ESHUTDOWN,
        ESTALE, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
};

/// Pool of instances.
#[pin_data]
pub(crate) struct Pool {
    #[pin]
    state: Mutex<State>,
    #[pin]
    pub(super) queue: Queue,
    /// Set once an instance has begun to run.
    has_run: Atomic<bool>,
    /// Counters of the instances that belong or have belonged to the pool.
    pub(super) counters: ModuleCounters,
}

/// State of a pool. Its lock is taken before those of [`Turns`](super::turns::Turns) and of
/// [`Queue`].
struct State {
    /// Module of the instances; `None` once the pool is closed.
    module: Option<Arc<Module>>,
    entries: KVVec<Entry>,
    /// Number of the next instance.
    next: Member,
    is_killed: bool,
    /// Set once another pool or instance has the name of this one.
    is_draining: bool,
    /// Result of the instance that has ended last.
    last: Option<Outcome>,
    /// Counters of the instances that are freed.
    past: CounterSums,
}

/// Instance of a pool.
struct Entry {
    number: Member,
    instance: Arc<Instance>,
    has_ended: bool,
}

/// Place of an instance in its pool.
#[derive(Clone)]
pub(super) struct Membership {
    pub(super) pool: Arc<Pool>,
    number: Member,
}

impl Membership {
    /// Gives the turn of the instance to the caller of the pool that has waited longest. Returns
    /// false if nobody waits.
    pub(super) fn give(&self) -> bool {
        self.pool.queue.give(self.number)
    }

    /// Adds the instance to the pool.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; those of [`Pool::join`].
    pub(super) fn begin(&self, instance: Arc<Instance>) -> Result {
        let is_reactor = instance.is_reactor;
        self.pool.add(Entry {
            number: self.number,
            instance,
            has_ended: false,
        })?;
        if !is_reactor {
            self.pool.queue.close(EOPNOTSUPP);
        }
        Ok(())
    }

    /// Records that the instance has begun to run.
    pub(super) fn run(&self) {
        self.pool.has_run.store(true, Relaxed);
    }

    /// Records how the instance has ended.
    pub(super) fn end(&self, outcome: Outcome) {
        let mut state = self.pool.state.lock();
        let former = state.last.replace(outcome);
        if let Some(entry) = state.find(self.number) {
            entry.has_ended = true;
        }
        self.pool.check_drained(&state);
        drop(state);
        drop(former);
    }

    /// Removes the instance, whose descriptor is closed, from the pool, which keeps its counters.
    pub(super) fn leave(&self) {
        let mut state = self.pool.state.lock();
        let mut entries = state.entries.iter();
        let found = entries.position(|entry| entry.number == self.number);
        let removed = found.and_then(|index| state.entries.remove(index).ok());
        if let Some(Entry { instance, .. }) = &removed {
            let past = &mut state.past;
            // There is room for every counter.
            let _ = instance.list_counters(&mut |counter| past.add_past(counter));
        }
        self.pool.check_drained(&state);
        drop(state);
        drop(removed);
    }
}

/// Number and state of the instances of a pool.
#[derive(Clone, Copy)]
pub(crate) struct PoolInfo {
    /// Number of instances in memory.
    pub(crate) instances: u32,
    /// Set once an instance has begun to run.
    pub(crate) has_run: bool,
}

impl Pool {
    /// Returns a pool without instances, for instances of `module`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(module: Arc<Module>) -> Result<Arc<Self>> {
        let past = CounterSums::new()?;
        Arc::pin_init(
            pin_init!(Self {
                state <- new_mutex!(
                    State {
                        module: Some(module),
                        entries: KVVec::new(),
                        next: 0,
                        is_killed: false,
                        is_draining: false,
                        last: None,
                        past,
                    },
                    "kwasmi::Pool::state"
                ),
                queue <- Queue::new(),
                has_run: Atomic::new(false),
                counters: ModuleCounters::new(),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Returns the module of the instances.
    ///
    /// # Errors
    ///
    /// If the pool is closed: `ESTALE` if another pool or instance has its name, `ESHUTDOWN`
    /// otherwise.
    pub(crate) fn module(&self) -> Result<Arc<Module>> {
        let state = self.state.lock();
        state.module.clone().ok_or(state.refusal())
    }

    /// Checks that the pool may get a name.
    ///
    /// # Errors
    ///
    /// `ESHUTDOWN` if the pool has ended or was killed.
    pub(crate) fn check_open(&self) -> Result {
        self.state.lock().check_open()
    }

    /// Returns the place of a new instance.
    ///
    /// # Errors
    ///
    /// `ESHUTDOWN` if the pool has ended or was killed; `ESTALE` if another pool or instance has
    /// its name.
    pub(super) fn join(pool: &Arc<Self>) -> Result<Membership> {
        let mut state = pool.state.lock();
        state.check_open()?;
        let number = state.next;
        state.next += 1;
        drop(state);
        Ok(Membership {
            pool: pool.clone(),
            number,
        })
    }

    fn add(&self, entry: Entry) -> Result {
        loop {
            let mut state = self.state.lock();
            state.check_open()?;
            let len = state.entries.len();
            if len < state.entries.capacity() {
                return state
                    .entries
                    .push_within_capacity(entry)
                    .map_err(|_| ENOMEM);
            }
            drop(state);
            // Without the lock, as an allocation waits if the caller's memory cgroup is full.
            let mut larger = KVVec::with_capacity(len * 2 + 4, GFP_KERNEL_ACCOUNT)?;
            let mut state = self.state.lock();
            if state.entries.len() < larger.capacity() {
                for entry in state.entries.drain_all() {
                    larger.push_within_capacity(entry).map_err(|_| ENOMEM)?;
                }
                core::mem::swap(&mut state.entries, &mut larger);
            }
        }
    }

    /// Closes the queue with ESTALE if the pool has lost its name and all its instances have ended.
    fn check_drained(&self, state: &State) {
        if state.is_draining && state.entries.iter().all(|entry| entry.has_ended) {
            self.queue.close(ESTALE);
        }
    }

    /// Kills all instances, and refuses all callers. No further instances can be started.
    pub(crate) fn kill(&self) {
        let mut state = self.state.lock();
        state.is_killed = true;
        for entry in state.entries.iter() {
            entry.instance.kill();
        }
        self.queue.close(state.refusal());
    }

    /// Returns true if the pool was killed.
    pub(crate) fn is_killed(&self) -> bool {
        self.state.lock().is_killed
    }

    /// Refuses further callers, and ends the instances once the calls are finished: another pool or
    /// instance has the name of this one.
    pub(crate) fn drain(&self) {
        self.queue.refuse(ESTALE);
        let mut state = self.state.lock();
        state.is_draining = true;
        for entry in state.entries.iter() {
            entry.instance.drain();
        }
        self.check_drained(&state);
    }

    /// Refuses all callers, kills all instances, and returns the result of the last instance that
    /// had ended before, if any.
    pub(crate) fn finish(&self) -> Option<Outcome> {
        let mut state = self.state.lock();
        let last = state.last.take();
        drop(state);
        self.kill();
        last
    }

    /// Kills all instances: the last descriptor of the pool is closed. Each one leaves the pool
    /// when its own descriptor is closed.
    pub(crate) fn close(&self) {
        self.kill();
        let module = self.state.lock().module.take();
        // The module is dropped after the lock is released.
        drop(module);
    }

    /// Returns number and state of the instances.
    pub(crate) fn info(&self) -> PoolInfo {
        let state = self.state.lock();
        PoolInfo {
            instances: state.entries.len() as u32,
            has_run: self.has_run.load(Relaxed),
        }
    }

    /// Takes the turn of an idle instance for the current task, and returns the instance.
    fn take_idle(&self) -> Option<Arc<Instance>> {
        let state = self.state.lock();
        let mut instances = state.entries.iter().map(|entry| &entry.instance);
        instances
            .find(|instance| instance.turns.try_enter())
            .cloned()
    }

    /// Waits for an instance, whose turn the caller gets, or until the monotonic clock shows
    /// `until` nanoseconds (`u64::MAX`: no timeout). If the caller waits, it does so at `place` of
    /// the queue.
    ///
    /// # Errors
    ///
    /// `ESTALE` if another pool or instance has the name of this one; `ESHUTDOWN` if the pool has
    /// ended; `EOPNOTSUPP` if its instances are not reactors; `ETIMEDOUT`; `ERESTARTSYS` if a
    /// signal is pending; `ENOMEM`.
    fn enter(&self, until: u64, mut place: Place) -> Result<Arc<Instance>> {
        self.queue.check()?;
        if self.queue.len() == 0 {
            if let Some(instance) = self.take_idle() {
                return Ok(instance);
            }
        }
        loop {
            let waiter = self.queue.push(place)?;
            // An instance that became idle before the `push` has found an empty queue.
            if let Some(instance) = self.take_idle() {
                if self.queue.remove(&waiter) {
                    return Ok(instance);
                }
                // The caller has got another instance meanwhile, or the queue was closed.
                drop(instance.turns.turn());
            }
            let (number, waited) = self.queue.wait(&waiter, until)?;
            let mut state = self.state.lock();
            let instance = state.find(number).map(|entry| entry.instance.clone());
            drop(state);
            let Some(instance) = instance else {
                // It was freed meanwhile. The function has not run.
                waited?;
                place = Place::Front;
                continue;
            };
            if let Err(error) = waited {
                drop(instance.turns.turn());
                return Err(error);
            }
            return Ok(instance);
        }
    }

    /// Waits for an instance whose guest has not ended, as [`Pool::enter`] does.
    ///
    /// # Errors
    ///
    /// The errors of [`Pool::enter`].
    pub(super) fn enter_guest(&self, until: u64) -> Result<Arc<Instance>> {
        let mut place = Place::Back;
        loop {
            let instance = self.enter(until, place)?;
            if instance.has_guest() {
                return Ok(instance);
            }
            // The instance was closed after the caller got its turn.
            drop(instance.turns.turn());
            place = Place::Front;
        }
    }

    /// Implements `KWASMI_IOC_CALL` on the pool or its service.
    pub(crate) fn call(&self, arg: &Argument) -> Result<isize> {
        let mut call = PendingCall::from_user(arg)?;
        let instance = self
            .enter_guest(call.until())
            .map_err(|error| call.refused(error))?;
        instance.run_call(instance.turns.turn(), &mut call, arg)
    }

    /// Implements `KWASMI_IOC_FUNCTION` on the pool or its service.
    pub(crate) fn function(&self, arg: &Argument) -> Result<isize> {
        self.queue.check()?;
        super::calls::function(self.module()?.code(), arg)
    }

    /// Passes the sums of the counters of all instances to `sink`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; the errors of `sink`.
    pub(crate) fn list_counters(&self, sink: Sink<'_>) -> Result {
        let mut sums = CounterSums::new()?;
        sums.add(Counter::new(
            CounterId::CallsQueued,
            self.queue.len().into(),
        ))?;
        self.counters.list(&mut |counter| sums.add(counter))?;
        // Memory is allocated without the lock. The counters of the instances are read without it,
        // because reading thousands of instances takes milliseconds.
        let mut instances = KVVec::new();
        loop {
            let len = self.state.lock().entries.len();
            instances.reserve(len, GFP_KERNEL_ACCOUNT)?;
            let state = self.state.lock();
            if state.entries.len() > instances.capacity() {
                continue;
            }
            // An instance that leaves from now on is in `instances`, and not in `past`.
            state.past.list(&mut |counter| sums.add(counter))?;
            for entry in state.entries.iter() {
                instances
                    .push_within_capacity(entry.instance.clone())
                    .map_err(|_| ENOMEM)?;
            }
            break;
        }
        for instance in instances.iter() {
            instance.list_counters(&mut |counter| sums.add(counter))?;
        }
        sums.list(sink)
    }
}

impl State {
    /// Returns the instance with this number.
    fn find(&mut self, number: Member) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.number == number)
    }

    /// Returns the error of callers whom no instance will serve: `ESTALE` if another pool or
    /// instance has the name of this one, `ESHUTDOWN` otherwise.
    fn refusal(&self) -> Error {
        if self.is_draining {
            ESTALE
        } else {
            ESHUTDOWN
        }
    }

    /// Checks that instances may be added.
    ///
    /// # Errors
    ///
    /// `ESHUTDOWN` or `ESTALE`, as documented for [`Pool::join`].
    fn check_open(&self) -> Result {
        if self.is_draining || self.is_killed || self.module.is_none() {
            return Err(self.refusal());
        }
        Ok(())
    }
}
