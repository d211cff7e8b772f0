// SPDX-License-Identifier: GPL-2.0

//! Signals, sleep, the scheduler.

use core::{
    ptr,
    sync::atomic::{
        AtomicU32,
        AtomicUsize,
        Ordering, //
    }, //
};
use kernel::{
    bindings,
    prelude::*,
    task::Task, //
};

/// Lets others run, if the scheduler wants to.
pub(crate) fn yield_now() {
    // A kernel that can be preempted anywhere has no such function, and needs none.
    #[cfg(any(CONFIG_PREEMPT_DYNAMIC, not(CONFIG_PREEMPTION)))]
    // SAFETY: Host calls come from process context, with no lock held.
    unsafe {
        bindings::__cond_resched()
    };
}

/// `fatal_signal_pending` of `include/linux/sched/signal.h`: a signal that ends the process has set SIGKILL for all its
/// threads.
pub(super) fn is_fatal_signal_pending() -> bool {
    if !kernel::current!().signal_pending() {
        return false;
    }
    let task = Task::current_raw();
    // SAFETY: The current task is there; the field is a word, written as a whole.
    let pending = unsafe { (&raw const (*task).pending.signal.sig[0]).read_volatile() };
    pending & (1 << (bindings::SIGKILL - 1)) != 0
}

/// Sleeps until the monotonic clock shows `until` nanoseconds.
///
/// # Errors
///
/// `EINTR` if a signal is pending or comes.
pub(super) fn sleep_until(until: u64) -> Result {
    while sleep(until, 0, || false)? {}
    Ok(())
}

/// Sleeps until someone wakes the task, unless `is_woken` says that it has happened already; whether that was before the
/// monotonic clock showed `until` nanoseconds (`u64::MAX`: never), give or take `slack`.
///
/// # Errors
///
/// `EINTR` if a signal is pending.
pub(super) fn sleep(until: u64, slack: u64, is_woken: impl FnOnce() -> bool) -> Result<bool> {
    set_current_state(bindings::TASK_INTERRUPTIBLE);
    let is_pending = kernel::current!().signal_pending();
    if is_pending || is_woken() {
        set_current_state(bindings::TASK_RUNNING);
        return if is_pending { Err(EINTR) } else { Ok(true) };
    }
    let mut expires = i64::try_from(until).unwrap_or(i64::MAX);
    let expires: *mut bindings::ktime_t = if until == u64::MAX { ptr::null_mut() } else { &mut expires };
    let mode = bindings::hrtimer_mode_HRTIMER_MODE_ABS;
    // SAFETY: The state was set; `expires` is null or outlives the call.
    let slept = unsafe { bindings::schedule_hrtimeout_range(expires, slack, mode) };
    Ok(slept != 0)
}

/// `set_current_state` of `include/linux/sched.h`: the state is set before what is waited for is looked at.
fn set_current_state(state: u32) {
    let task = Task::current_raw();
    // SAFETY: The current task is there, and its state is its own to set.
    let place = unsafe { AtomicU32::from_ptr((&raw mut (*task).__state).cast()) };
    place.store(state, Ordering::SeqCst);
}

/// Makes `task`, which runs a guest, come to the next checkpoint soon, also if it sleeps: `set_notify_signal` of
/// `include/linux/sched/signal.h`. The kernel takes the flag back when the task returns to userspace.
pub(crate) fn interrupt(task: &Task) {
    let raw = task.as_ptr();
    // SAFETY: The task is there while it is referenced; the flags are a word, written with atomic operations.
    let flags = unsafe { AtomicUsize::from_ptr((&raw mut (*raw).thread_info.flags).cast()) };
    flags.fetch_or(1 << bindings::TIF_NOTIFY_SIGNAL, Ordering::SeqCst);
    task.wake_up();
}
