// SPDX-License-Identifier: GPL-2.0

//! Queue of the callers of a reactor or of a pool: each gets the first instance that becomes idle.
//!
//! A turn is the exclusive right to use an instance, see [`turns`](super::turns).

use super::turns::current;
use crate::host::signal;
use kernel::{
    error::code::{
        ESHUTDOWN,
        ETIMEDOUT, //
    },
    list::{
        impl_list_arc_safe,
        impl_list_item,
        List,
        ListArc,
        ListLinks, //
    },
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        Mutex, //
    },
    task::Task, //
};

/// Number of an instance in its pool.
pub(super) type Member = u64;

/// Value of [`Waiter::given`] of a caller that still waits.
const NOTHING: Member = u64::MAX;

/// Value of [`Waiter::given`] of a caller that waited when the queue was closed.
const CLOSED: Member = u64::MAX - 1;

/// Queue of callers.
#[pin_data]
pub(super) struct Queue {
    #[pin]
    state: Mutex<State>,
    /// Number of callers that wait. It changes with `state` locked.
    len: Atomic<u32>,
}

/// State of the queue.
///
/// # Invariants
///
/// `waiters` is empty if `closed` is set.
struct State {
    waiters: List<Waiter>,
    /// Error for new callers, once the queue accepts none.
    refusal: Option<Error>,
    /// Error for all callers, once no instance will serve one.
    closed: Option<Error>,
}

/// Caller that waits for an instance.
#[pin_data]
pub(super) struct Waiter {
    task: ARef<Task>,
    /// The instance whose turn is the caller's, or [`NOTHING`] or [`CLOSED`].
    given: Atomic<Member>,
    #[pin]
    links: ListLinks,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Waiter { untracked; }
}

impl_list_item! {
    impl ListItem<0> for Waiter { using ListLinks { self.links }; }
}

/// Place of a new caller in the queue.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// Behind the callers that wait.
    Back,
    /// Before them: the caller has waited already.
    Front,
}

impl Waiter {
    fn give(&self, member: Member) {
        self.given.store(member, Release);
        signal::wake(&self.task);
    }
}

impl Queue {
    /// Returns an empty queue.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: The queue is empty.
            state <- new_mutex!(
                State {
                    waiters: List::new(),
                    refusal: None,
                    closed: None,
                },
                "kwasmi::Queue::state"
            ),
            len: Atomic::new(0),
        })
    }

    /// Checks that a further caller may come.
    ///
    /// # Errors
    ///
    /// The error of [`Queue::refuse`] or [`Queue::close`].
    pub(super) fn check(&self) -> Result {
        let state = self.state.lock();
        state.closed.or(state.refusal).map_or(Ok(()), Err)
    }

    /// Returns the number of callers that wait.
    pub(super) fn len(&self) -> u32 {
        self.len.load(Relaxed)
    }

    /// Lets the current task wait at `place`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; those of [`Queue::check`].
    pub(super) fn push(&self, place: Place) -> Result<Arc<Waiter>> {
        let entry = ListArc::pin_init(
            try_pin_init!(Waiter {
                task: current(),
                given: Atomic::new(NOTHING),
                links <- ListLinks::new(),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let waiter = entry.clone_arc();
        let mut state = self.state.lock();
        if let Some(error) = state.closed.or(state.refusal) {
            // The entry is dropped after the lock is released.
            drop(state);
            return Err(error);
        }
        // INVARIANT: The queue is not closed.
        match place {
            Place::Back => state.waiters.push_back(entry),
            Place::Front => state.waiters.push_front(entry),
        }
        self.len.store(self.len() + 1, Relaxed);
        Ok(waiter)
    }

    /// Waits until an instance is given to a caller of this queue, or until the monotonic clock
    /// shows `until` nanoseconds (`u64::MAX`: no timeout). Returns the instance, whose turn is the
    /// caller's, and the error of a wait that failed while the instance was given.
    ///
    /// # Errors
    ///
    /// No instance was given: `ETIMEDOUT`; `ERESTARTSYS` if a signal is pending; the error of
    /// [`Queue::close`].
    pub(super) fn wait(&self, waiter: &Waiter, until: u64) -> Result<(Member, Result)> {
        let has_something = || waiter.given.load(Acquire) != NOTHING;
        let waited = loop {
            match signal::sleep(until, 0, has_something) {
                _ if has_something() => break Ok(()),
                Ok(true) => {}
                Ok(false) => break Err(ETIMEDOUT),
                Err(_) => break Err(ERESTARTSYS),
            }
        };
        if self.remove(waiter) {
            return Err(waited.err().unwrap_or(ERESTARTSYS));
        }
        match waiter.given.load(Acquire) {
            // A queue that is closed stays closed.
            CLOSED => Err(self.check().err().unwrap_or(ESHUTDOWN)),
            member => Ok((member, waited)),
        }
    }

    /// Removes a caller of this queue. Returns false if [`give`](Self::give) or
    /// [`close`](Self::close) has removed it.
    pub(super) fn remove(&self, waiter: &Waiter) -> bool {
        let mut state = self.state.lock();
        // SAFETY: `remove` requires that the waiter is in no other list. Only `push` makes waiters,
        // each for its own queue, to which `Turns::enter_queue` and `Pool::enter` pass it.
        let removed = unsafe { state.waiters.remove(waiter) };
        if removed.is_some() {
            self.len.store(self.len() - 1, Relaxed);
        }
        // The list's reference is dropped after the lock is released.
        drop(state);
        removed.is_some()
    }

    /// Gives the turn of `member` to the caller that has waited longest. Returns false if nobody
    /// waits.
    pub(super) fn give(&self, member: Member) -> bool {
        // A caller that comes now looks for an idle instance after the `push`.
        if self.len() == 0 {
            return false;
        }
        let mut state = self.state.lock();
        let Some(waiter) = state.waiters.pop_front() else {
            return false;
        };
        self.len.store(self.len() - 1, Relaxed);
        // With the lock held, so that a caller that is not in the queue any more knows what it has
        // got.
        waiter.give(member);
        // The waiter may be dropped after the lock is released.
        drop(state);
        true
    }

    /// Refuses further callers. Those that wait are served.
    pub(super) fn refuse(&self, error: Error) {
        self.state.lock().refusal = Some(error);
    }

    /// Refuses all callers: no instance will serve any. Replaces the error of an earlier call.
    pub(super) fn close(&self, error: Error) {
        let mut state = self.state.lock();
        // INVARIANT: The queue is emptied.
        state.closed = Some(error);
        while let Some(waiter) = state.waiters.pop_front() {
            waiter.give(CLOSED);
        }
        self.len.store(0, Relaxed);
    }
}
