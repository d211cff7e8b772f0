// SPDX-License-Identifier: GPL-2.0

//! Wakes a guest when its time is up, wherever it sleeps.

use super::signal;
use kernel::{
    impl_has_hr_timer,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        ArcBorrow, //
    },
    task::Task,
    time::{
        hrtimer::{
            AbsoluteMode,
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart, //
        },
        Instant,
        Monotonic, //
    },
};

/// A timer for the task that runs a guest.
#[pin_data]
pub(crate) struct Alarm {
    #[pin]
    timer: HrTimer<Self>,
    task: ARef<Task>,
}

impl Alarm {
    /// Interrupts `task` at the time `at`, unless what is returned is dropped before.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn set(task: ARef<Task>, at: Instant<Monotonic>) -> Result<ArcHrTimerHandle<Self>> {
        let alarm = Arc::pin_init(
            pin_init!(Self {
                timer <- HrTimer::new(),
                task,
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        Ok(alarm.start(at))
    }
}

impl HrTimerCallback for Alarm {
    type Pointer<'a> = Arc<Self>;

    fn run(this: ArcBorrow<'_, Self>, _context: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        signal::interrupt(&this.task);
        HrTimerRestart::NoRestart
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Alarm {
        mode: AbsoluteMode<Monotonic>, field: self.timer
    }
}
