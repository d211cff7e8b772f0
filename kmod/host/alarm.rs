// SPDX-License-Identifier: GPL-2.0

//! Timer that interrupts the task of a guest at the guest's deadline, so that a sleeping guest
//! wakes up.
//!
//! C header: [`include/linux/hrtimer.h`](srctree/include/linux/hrtimer.h)

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

/// High-resolution timer that interrupts one task.
#[pin_data]
pub(crate) struct Alarm {
    #[pin]
    timer: HrTimer<Self>,
    task: ARef<Task>,
}

impl Alarm {
    /// Starts a timer that interrupts `task` at the time `at`. Dropping the returned handle cancels
    /// the timer.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the timer cannot be allocated.
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

    fn run(
        this: ArcBorrow<'_, Self>,
        _context: HrTimerCallbackContext<'_, Self>,
    ) -> HrTimerRestart {
        signal::interrupt(&this.task);
        HrTimerRestart::NoRestart
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Alarm {
        mode: AbsoluteMode<Monotonic>, field: self.timer
    }
}
