// SPDX-License-Identifier: GPL-2.0

//! Queue of the callers of a pool: each gets the first instance of the pool that becomes idle.
//!
//! A turn is the exclusive right to use an instance, see [`turns`](super::turns).

use super::turns::current;
use crate::host::signal;
use kernel::{
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

/// Queue of the callers of a pool.
#[pin_data]
pub(super) struct Queue {
    #[pin]
    state: Mutex<State>,
}

/// State of the queue.
///
/// # Invariants
///
/// `waiters` is empty if `closed` is set.
struct State {
    waiters: List<Waiter>,
    /// Number of callers in `waiters`.
    len: u32,
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

impl Waiter {
    fn give(&self, member: Member) {
        self.given.store(member, Release);
        signal::wake(&self.task);
    }

    /// Waits until an instance is given to the caller, or the queue is closed, or the monotonic
    /// clock shows `until` nanoseconds (`u64::MAX`: no timeout).
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT`; `ERESTARTSYS` if a signal is pending.
    pub(super) fn wait(&self, until: u64) -> Result {
        let has_something = || self.given.load(Acquire) != NOTHING;
        loop {
            match signal::sleep(until, 0, has_something) {
                _ if has_something() => return Ok(()),
                Ok(true) => {}
                Ok(false) => return Err(kernel::error::code::ETIMEDOUT),
                Err(_) => return Err(ERESTARTSYS),
            }
        }
    }

    /// Returns the instance whose turn is the caller's. `None` if the queue was closed, or nothing
    /// was given to the caller.
    pub(super) fn member(&self) -> Option<Member> {
        Some(self.given.load(Acquire)).filter(|member| *member < CLOSED)
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
                    len: 0,
                    refusal: None,
                    closed: None,
                },
                "kwasmi::Queue::state"
            ),
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
        self.state.lock().len
    }

    /// Lets the current task wait.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; those of [`Queue::check`].
    pub(super) fn push(&self) -> Result<Arc<Waiter>> {
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
        state.waiters.push_back(entry);
        state.len += 1;
        Ok(waiter)
    }

    /// Removes a caller of this queue. Returns false if [`give`](Self::give) or
    /// [`close`](Self::close) has removed it; [`Waiter::member`] then returns the instance.
    pub(super) fn remove(&self, waiter: &Waiter) -> bool {
        let mut state = self.state.lock();
        // SAFETY: `remove` requires that the waiter is in no other list. Only `push` makes waiters,
        // each for its own queue. A pool has one queue, to which `Pool::enter` passes the waiter.
        let removed = unsafe { state.waiters.remove(waiter) };
        if removed.is_some() {
            state.len -= 1;
        }
        // The list's reference is dropped after the lock is released.
        drop(state);
        removed.is_some()
    }

    /// Gives the turn of `member` to the caller that has waited longest. Returns false if nobody
    /// waits.
    pub(super) fn give(&self, member: Member) -> bool {
        let mut state = self.state.lock();
        let Some(waiter) = state.waiters.pop_front() else {
            return false;
        };
        state.len -= 1;
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
        state.len = 0;
    }
}
