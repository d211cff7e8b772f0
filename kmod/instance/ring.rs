// SPDX-License-Identifier: GPL-2.0

//! Call rings: memory that a process shares with the kernel, and the ioctl that runs the calls in
//! it.
//!
//! The thread in `KWASMI_IOC_RING_RUN` waits for its turn like a caller of `KWASMI_IOC_CALL`. In
//! one turn it makes at most [`BATCH_MAX`] calls in one engine entry, stores their results, and
//! passes the turn on.

use super::{
    calls::{
        deadline,
        is_past,
        nanoseconds,
        refused, //
    },
    inner::{
        After,
        Entry,
        Inner, //
    },
    turns::Turn,
    Instance,
    Pool, //
};
use crate::{
    allocation,
    anon_file::{
        self,
        AnonFile, //
    },
    ffi::{
        BatchCall,
        Call,
        CallBatch,
        Status,
        BATCH_VALUES, //
    },
    host::{
        signal,
        CallData,
        Lent,
        RingMemory,
        BATCH_MAX, //
    },
    ioctl::{
        self,
        Argument, //
    },
    log::{
        self,
        LogBuffer, //
    },
    service::{
        Service,
        Target, //
    },
    trace,
    uapi::{
        kwasmi_ring,
        kwasmi_ring_run,
        kwasmi_run,
        KWASMI_RING_DATA_MAX,
        KWASMI_RING_ENTRIES_MAX,
        KWASMI_RING_VALUES, //
    },
    watch::Sink,
};
use core::{
    fmt::Write,
    sync::atomic::{
        AtomicU32,
        Ordering::Relaxed, //
    }, //
};
use kernel::{
    error::code::{
        ECONNRESET,
        EINPROGRESS,
        EOPNOTSUPP,
        ESHUTDOWN,
        ETIMEDOUT, //
    },
    mm::virt::VmaNew,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow,
        Mutex, //
    },
    time::{
        Instant,
        Monotonic, //
    },
};

pub(crate) const RING: u32 = ioctl::iowr::<kwasmi_ring>(0x9B);
const RING_RUN: u32 = ioctl::iowr::<kwasmi_ring_run>(0x9C);

const _: () = assert!(BATCH_VALUES == KWASMI_RING_VALUES as usize);

/// Instance, pool or service whose functions a ring calls. It holds no reference that keeps an
/// instance alive, because a mapping of the ring can live longer than the instance.
pub(crate) enum Callee {
    /// An instance.
    Instance(Arc<InstanceLink>),
    /// A pool, which instances leave when they are closed.
    Pool(Arc<Pool>),
    /// The instance or pool that has the name of this service.
    Service(Arc<Service>),
}

impl Callee {
    /// Returns the instance or pool.
    ///
    /// # Errors
    ///
    /// `ESHUTDOWN` if the last descriptor of the instance is closed; the errors of
    /// [`Service::target`].
    fn target(&self) -> Result<Target> {
        match self {
            Self::Instance(link) => link.instance().map(Target::Instance),
            Self::Pool(pool) => Ok(Target::Pool(pool.clone())),
            Self::Service(service) => service.target(),
        }
    }
}

/// Reference of call rings to an instance. Closing the last instance descriptor drops it.
#[pin_data]
pub(crate) struct InstanceLink {
    #[pin]
    instance: Mutex<Option<Arc<Instance>>>,
}

impl InstanceLink {
    /// Returns a reference to `instance` that lasts until [`close`](Self::close).
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(instance: Arc<Instance>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                instance <- new_mutex!(Some(instance), "kwasmi::InstanceLink::instance"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    fn instance(&self) -> Result<Arc<Instance>> {
        self.instance.lock().clone().ok_or(ESHUTDOWN)
    }

    /// Drops the reference to the instance.
    pub(super) fn close(&self) {
        let instance = self.instance.lock().take();
        // The reference is dropped after the lock is released.
        drop(instance);
    }
}

/// Call ring.
#[pin_data]
pub(crate) struct Ring {
    callee: Callee,
    memory: Arc<RingMemory>,
    /// Locked while a thread runs the calls. It is taken before all other locks of the module.
    #[pin]
    state: Mutex<State>,
}

/// State of a ring.
///
/// # Invariants
///
/// `calls` has [`BATCH_MAX`] elements.
struct State {
    /// Number of calls that have finished. It wraps around.
    head: u32,
    /// The calls of the present batch.
    calls: KVVec<BatchCall>,
}

/// End of a batch of calls.
enum End {
    /// The reactor can be called again.
    Idle,
    /// The guest has ended during the last call.
    Ended(kwasmi_run, KVVec<u8>),
    /// The last call has no results, for this reason.
    Lost(Error),
}

impl Ring {
    /// Implements `KWASMI_IOC_RING`.
    pub(crate) fn create(callee: Callee, arg: &Argument) -> Result<isize> {
        let request: kwasmi_ring = arg.read()?;
        if request.reserved != 0
            || !request.entries.is_power_of_two()
            || request.entries > KWASMI_RING_ENTRIES_MAX
            || request.data_size > KWASMI_RING_DATA_MAX
        {
            return Err(EINVAL);
        }
        callee.target()?.check_reactor()?;
        let memory = RingMemory::new(request.entries, request.data_size)?;
        let mut calls = allocation::buffer(BATCH_MAX)?;
        calls.resize(BATCH_MAX, BatchCall::default(), GFP_KERNEL_ACCOUNT)?;
        arg.write(&kwasmi_ring {
            map_size: memory.size() as u64,
            data_offset: memory.data_offset() as u32,
            ..request
        })?;
        let ring = Arc::pin_init(
            pin_init!(Self {
                callee,
                memory,
                // INVARIANT: There are `BATCH_MAX` calls.
                state <- new_mutex!(State { head: 0, calls }, "kwasmi::Ring::state"),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        anon_file::install(ring)
    }

    /// Implements `KWASMI_IOC_RING_RUN`.
    fn run(&self, arg: &Argument) -> Result<isize> {
        let mut request: kwasmi_ring_run = arg.read()?;
        if request.flags != 0 {
            return Err(EINVAL);
        }
        // Allocated before the calls: an allocation that fails after them would lose the text.
        let mut log = LogBuffer::new(request.log, request.log_size)?;
        let until = deadline(request.timeout);
        let mut state = self.state.try_lock().ok_or(EBUSY)?;
        let target = self.callee.target()?;
        (request.ended, request.log_len) = (0, 0);
        let mut has_begun = false;
        loop {
            let lent = Lent::new(&self.memory)?;
            let pending = self.memory.pending(state.head)?;
            if pending == 0 {
                break;
            }
            // Refused calls do not reach a checkpoint, so the loop itself must let other tasks run.
            signal::yield_now();
            if has_begun && is_past(nanoseconds(until)) {
                return Err(ETIMEDOUT);
            }
            if has_begun && is_to_return() {
                break;
            }
            has_begun = true;
            let count = self.prepare(&mut state, pending as usize);
            let calls = state.calls.get_mut(..count).unwrap_or_default();
            let (finished, end) = target
                .with_turn(nanoseconds(until), |instance, turn| {
                    instance.run_batch(turn, lent, calls, until)
                })
                .map_err(|error| refused(error, until))??;
            let last = match &end {
                End::Idle => None,
                End::Ended(..) => Some(ECONNRESET),
                End::Lost(error) => Some(*error),
            };
            self.store(&mut state, finished, last);
            match end {
                End::Idle => {}
                End::Ended(answer, text) => {
                    request.ended = 1;
                    (request.status, request.code) = (answer.status, answer.code);
                    request.limit_value = answer.limit_value;
                    let _ = log.write_str(log::text(&text));
                    request.log_len = log.give()?;
                    break;
                }
                End::Lost(error) => return Err(error),
            }
        }
        arg.write(&request).map(|()| 0)
    }

    /// Copies the next calls from the ring to `state`, at least one and at most `pending`, and
    /// returns their number. The caller holds a [`Lent`] of the ring's memory.
    fn prepare(&self, state: &mut State, pending: usize) -> usize {
        let entries = self.memory.entries(state.head);
        let count = pending.min(BATCH_MAX).min(entries.len());
        let places = state.calls.iter_mut().zip(self.memory.exchanges());
        for ((call, exchange), entry) in places.zip(entries).take(count) {
            call.function = entry.function.load(Relaxed);
            call.args_len = entry.args_len.load(Relaxed);
            let args = entry.values.iter().take(call.args_len as usize);
            for (place, value) in call.values.iter_mut().zip(args) {
                *place = value.load(Relaxed);
            }
            let status = if !self.memory.set_exchange(exchange, entry) {
                Status::Invalid
            } else if call.args_len as usize > BATCH_VALUES {
                Status::TooBig
            } else {
                Status::Ok
            };
            call.status = status as i32;
        }
        self.memory.done().store(0, Relaxed);
        count
    }

    /// Stores the results of the first `finished` calls of the batch in the ring. `last` is the
    /// error of the last of them, if it has no results.
    fn store(&self, state: &mut State, finished: u32, last: Option<Error>) {
        let calls = state.calls.iter().zip(self.memory.exchanges());
        let entries = self.memory.entries(state.head);
        for (number, ((call, exchange), entry)) in (1..=finished).zip(calls.zip(entries)) {
            let error = last.filter(|_| number == finished).or_else(|| error(call));
            let len = if error.is_none() { call.results_len } else { 0 };
            for (place, value) in entry.values.iter().zip(&call.values).take(len as usize) {
                place.store(*value, Relaxed);
            }
            entry.results_len.store(len, Relaxed);
            let output_len = exchange.output_len.load(Relaxed);
            entry.output_len.store(output_len, Relaxed);
            let errno = error.map_or(0, Error::to_errno);
            entry.error.store(errno, Relaxed);
        }
        state.head = state.head.wrapping_add(finished);
        self.memory.publish(state.head);
    }
}

/// Returns true if the current task must return to userspace soon.
fn is_to_return() -> bool {
    kernel::current!().signal_pending() || signal::is_return_work_pending()
}

/// Returns the error of a finished call; `None` if the function has returned.
fn error(call: &BatchCall) -> Option<Error> {
    match Status::from_raw(call.status) {
        Status::Idle => None,
        Status::Invalid => Some(EFAULT),
        Status::TooBig => Some(E2BIG),
        _ => Some(EINVAL),
    }
}

impl Target {
    /// Checks that the functions can be called.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if an instance is not a reactor; `ESTALE` or `ESHUTDOWN` if no call can run.
    fn check_reactor(&self) -> Result {
        match self {
            Self::Instance(instance) if instance.is_reactor => instance.turns.check(),
            Self::Instance(_) => Err(EOPNOTSUPP),
            Self::Pool(pool) => pool.queue.check(),
        }
    }

    /// Waits for the turn of an instance, and calls `work` with the instance and the turn. The wait
    /// ends when the monotonic clock shows `until` nanoseconds (`u64::MAX`: no timeout).
    ///
    /// # Errors
    ///
    /// The errors of [`Turns::enter`](super::turns::Turns::enter) and [`Pool::enter_guest`].
    fn with_turn<T>(&self, until: u64, work: impl FnOnce(&Instance, Turn<'_>) -> T) -> Result<T> {
        match self {
            Self::Instance(instance) => Ok(work(instance, instance.turns.enter(until)?)),
            Self::Pool(pool) => {
                let instance = pool.enter_guest(until)?;
                Ok(work(&instance, instance.turns.turn()))
            }
        }
    }
}

impl Instance {
    /// Runs `calls`, at least one, in the turn `turn`. Returns the number of finished calls and how
    /// the batch ended. The batch stops early, between two calls, after a few milliseconds.
    ///
    /// # Errors
    ///
    /// The errors of [`Inner::run`]. No function has run.
    fn run_batch(
        &self,
        mut turn: Turn<'_>,
        lent: Lent,
        calls: &mut [BatchCall],
        until: Option<Instant<Monotonic>>,
    ) -> Result<(u32, End)> {
        let begin = Instant::<Monotonic>::now();
        let memory = lent.memory().clone();
        let done = memory.done();
        let mut inner = self.inner.lock();
        inner.host.begin_call_data(Some(CallData::Shared(lent)));
        let runs_here = inner.may_run_in_caller();
        let ran = if runs_here {
            let batch = CallBatch {
                calls: calls.as_mut_ptr(),
                len: calls.len() as u32,
                done,
            };
            inner.run(self, &Entry::Batch(&batch, until), &mut LogBuffer::empty())
        } else {
            self.begin_first(&mut inner, calls, done)
        };
        let index = done.load(Relaxed);
        let is_interrupted = matches!(ran, Err(error) if error == ERESTARTSYS);
        match ran {
            Ok(After::Idle) => {}
            Ok(After::Ended) => self.turns.end(),
            Err(_) if is_interrupted => {
                drop(inner);
                turn = match turn.hand_over(nanoseconds(until)) {
                    Ok(turn) => turn,
                    Err(error) => {
                        let finished = calls.get(..=index as usize).unwrap_or_default();
                        self.count(finished, runs_here, begin);
                        // After a fatal signal, other processes may still see the ring.
                        let error = if error == EINTR { EINPROGRESS } else { error };
                        return Ok((index + 1, End::Lost(error)));
                    }
                };
                inner = self.inner.lock();
                let call = calls.get_mut(index as usize);
                if let Some(call) = call.filter(|_| inner.live.is_some()) {
                    call.status = Status::Idle as i32;
                    call.results_len = inner.report.results_len as u32;
                    for (place, result) in call.values.iter_mut().zip(&inner.report.results) {
                        *place = *result;
                    }
                }
            }
            Err(error) => {
                inner.host.end_call_data();
                return Err(error);
            }
        }
        let data = inner.host.end_call_data();
        let (finished, end) = if inner.live.is_none() {
            let text = allocation::copy(&inner.report.text).unwrap_or_default();
            (index + 1, End::Ended(inner.report.answer(), text))
        } else {
            (index + u32::from(is_interrupted), End::Idle)
        };
        drop(inner);
        drop(turn);
        drop(data);
        let finished_calls = calls.get(..finished as usize).unwrap_or_default();
        self.count(finished_calls, runs_here, begin);
        Ok((finished, end))
    }

    /// Begins the first of `calls`, which the serving task is to run.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if it has begun; the errors of [`Inner::run`].
    #[cold]
    fn begin_first(
        &self,
        inner: &mut Inner,
        calls: &mut [BatchCall],
        done: &AtomicU32,
    ) -> Result<After> {
        if inner.live.is_none() {
            return Ok(After::Ended);
        }
        let first = calls.first_mut().ok_or(EINVAL)?;
        if first.status == Status::Ok as i32 {
            let call = Call {
                function: first.function,
                args_len: first.args_len,
                args: first.values.as_ptr(),
            };
            match inner.run(self, &Entry::Begin(&call), &mut LogBuffer::empty()) {
                Err(error) if error == EINVAL => first.status = Status::Argument as i32,
                ran => return ran,
            }
        }
        done.store(1, Relaxed);
        Ok(After::Idle)
    }

    /// Counts and records `calls`, which have finished and were begun at `begin`.
    fn count(&self, calls: &[BatchCall], runs_here: bool, begin: Instant<Monotonic>) {
        // `begin_first` has counted and recorded its call.
        if runs_here {
            self.runner.count_calls(calls.len() as u32);
            let functions = calls.iter().map(|call| call.function);
            trace::calls(self.runner.number(), functions);
        }
        let has_returned = |call: &&BatchCall| call.status == Status::Idle as i32;
        let returned = calls.iter().filter(has_returned).count() as u32;
        if returned > 0 {
            let time = begin.elapsed().as_nanos() as u64;
            self.runner.usage().count_calls(returned, time);
        }
    }
}

impl AnonFile for Ring {
    const NAME: &'static CStr = c"[kwasmi-ring]";
    const MAPS: bool = true;

    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize> {
        match cmd {
            RING_RUN => this.run(&Argument::new(arg)),
            _ => Err(ENOTTY),
        }
    }

    fn mmap(&self, vma: &VmaNew) -> Result {
        self.memory.map(vma)
    }

    fn list_counters(&self, _sink: Sink<'_>) -> Result {
        Ok(())
    }
}
