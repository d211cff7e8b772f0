// SPDX-License-Identifier: GPL-2.0

//! Requests checkpoints of compiled code: a timer raises two words of the instance's context every
//! 2 ms.
//!
//! The ticker of a reactor lives as long as the reactor, as a call may be shorter than starting and
//! stopping a timer. When no call has run for a tick, the timer stops.

use core::sync::atomic::{
    AtomicBool,
    AtomicU32,
    AtomicU64,
    Ordering, //
};
use kernel::{
    impl_has_hr_timer,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeMode, //
        },
        Delta,
        Monotonic, //
    },
};

/// Time between two requests, in milliseconds.
const INTERVAL: i64 = 2;

/// Set in [`Timer::state`] while the instance runs.
const RUNS: u32 = 1;

/// Set in [`Timer::state`] if the instance has run since the last tick.
const HAS_RUN: u32 = 2;

/// A timer that raises the words of an instance that runs.
#[pin_data]
struct Timer {
    #[pin]
    timer: HrTimer<Self>,
    /// Words to set: address and value.
    words: [(usize, u64); 2],
    /// [`RUNS`] and [`HAS_RUN`].
    state: AtomicU32,
    /// Set when the timer stops because the instance does not run.
    is_stopped: AtomicBool,
}

/// Requests checkpoints of an instance until it is dropped: sets two words every 2 ms
/// while the instance runs.
pub(crate) struct Ticker {
    timer: Arc<Timer>,
    handle: Option<ArcHrTimerHandle<Timer>>,
}

impl Ticker {
    /// Starts the ticker for an instance that runs. `words` has the addresses and values of the
    /// words to set.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if no memory is available.
    ///
    /// # Safety
    ///
    /// Each address is that of a word that lives, and is accessed atomically, until the result is
    /// dropped.
    pub(crate) unsafe fn start(words: [(usize, u64); 2]) -> Result<Self> {
        let timer = Arc::pin_init(
            pin_init!(Timer {
                timer <- HrTimer::new(),
                words,
                state: AtomicU32::new(RUNS),
                is_stopped: AtomicBool::new(false),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let handle = Some(timer.clone().start(Delta::from_millis(INTERVAL)));
        Ok(Self { timer, handle })
    }

    /// Records that the instance stops running for now.
    pub(crate) fn pause(&self) {
        self.timer.state.fetch_and(!RUNS, Ordering::SeqCst);
    }

    /// Records that the instance runs again.
    pub(crate) fn resume(&mut self) {
        self.timer.state.store(RUNS | HAS_RUN, Ordering::SeqCst);
        if self.timer.is_stopped.swap(false, Ordering::SeqCst) {
            // The drop waits for the end of the callback.
            self.handle = None;
            self.handle = Some(self.timer.clone().start(Delta::from_millis(INTERVAL)));
        }
    }
}

impl Timer {
    /// Returns true if the timer is to stop. Either this function or [`Ticker::resume`] sees what
    /// the other has stored.
    fn stops(&self) -> bool {
        if self.state.fetch_and(!HAS_RUN, Ordering::SeqCst) != 0 {
            return false;
        }
        self.is_stopped.store(true, Ordering::SeqCst);
        if self.state.load(Ordering::SeqCst) == 0 {
            return true;
        }
        self.is_stopped.store(false, Ordering::SeqCst);
        false
    }
}

impl HrTimerCallback for Timer {
    type Pointer<'a> = Arc<Self>;

    fn run(
        this: ArcBorrow<'_, Self>,
        mut context: HrTimerCallbackContext<'_, Self>,
    ) -> HrTimerRestart {
        for (address, value) in this.words {
            // SAFETY: By the requirement of `start` it is the address of a word that lives and is
            // accessed atomically.
            let word = unsafe { AtomicU64::from_ptr(address as *mut u64) };
            word.store(value, Ordering::Relaxed);
        }
        if this.stops() {
            return HrTimerRestart::NoRestart;
        }
        context.forward_now(Delta::from_millis(INTERVAL));
        HrTimerRestart::Restart
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Timer {
        mode: RelativeMode<Monotonic>, field: self.timer
    }
}
