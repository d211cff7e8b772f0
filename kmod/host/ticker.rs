// SPDX-License-Identifier: GPL-2.0

//! Requests checkpoints of compiled code: a timer raises two words of the instance's context every
//! 2 ms.

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
    /// Words to set: address and value.
    words: [(usize, u64); 2],
}

impl Ticker {
    /// Sets words now and then, until the returned handle is dropped. `words` has their addresses
    /// and values.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if no memory is available.
    ///
    /// # Safety
    ///
    /// Each address is that of a word that lives, and is accessed atomically, until the returned
    /// handle is dropped.
    pub(crate) unsafe fn start(words: [(usize, u64); 2]) -> Result<ArcHrTimerHandle<Self>> {
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
        context.forward_now(Delta::from_millis(INTERVAL));
        HrTimerRestart::Restart
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Ticker {
        mode: RelativeMode<Monotonic>, field: self.timer
    }
}
