// SPDX-License-Identifier: GPL-2.0

//! Requests checkpoints of compiled code: a timer raises two words of the instance's context now and then.

use core::sync::atomic::{
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

/// A timer that raises the words of an instance that runs.
#[pin_data]
pub(crate) struct Ticker {
    #[pin]
    timer: HrTimer<Self>,
    /// Addresses of two words: the checkpoint word and the stack limit.
    words: [usize; 2],
}

impl Ticker {
    /// Raises the words at `words` now and then, until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// Each address is that of a word that lives, and is accessed atomically, until what is returned was dropped.
    pub(crate) unsafe fn start(words: [usize; 2]) -> Result<ArcHrTimerHandle<Self>> {
        let ticker = Arc::pin_init(
            pin_init!(Self {
                timer <- HrTimer::new(),
                words,
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        Ok(ticker.start(Delta::from_millis(INTERVAL)))
    }
}

impl HrTimerCallback for Ticker {
    type Pointer<'a> = Arc<Self>;

    fn run(this: ArcBorrow<'_, Self>, mut context: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        for address in this.words {
            // SAFETY: By the requirement of `start` it is the address of a word that lives and is accessed atomically.
            let word = unsafe { AtomicU64::from_ptr(address as *mut u64) };
            word.store(u64::MAX, Ordering::Relaxed);
        }
        context.forward_now(Delta::from_millis(INTERVAL));
        HrTimerRestart::Restart
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Ticker {
        mode: RelativeMode<Monotonic>, field: self.timer
    }
}
