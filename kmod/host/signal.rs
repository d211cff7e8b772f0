// SPDX-License-Identifier: GPL-2.0

//! Signals, sleep and rescheduling of the current task.
//!
//! C header: [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h)

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
    task::Task,
    time::{
        hrtimer::HrTimerExpires,
        Instant,
        Monotonic, //
    }, //
};

/// Reschedules if the scheduler requests it, and reports a quiescent state to RCU-tasks:
/// `cond_resched_tasks_rcu_qs` of `include/linux/rcupdate.h`. Without the report, tracing would
/// wait until the guest sleeps.
pub(crate) fn yield_now() {
    note_rcu_tasks_quiescent_state();
    // A kernel with full preemption neither has nor needs this function.
    #[cfg(any(CONFIG_PREEMPT_DYNAMIC, not(CONFIG_PREEMPTION)))]
    // SAFETY: `__cond_resched` may sleep. All callers are in process context and hold no spinlock.
    unsafe {
        bindings::__cond_resched()
    };
}

/// Reports a quiescent state of the current task: `rcu_tasks_qs` of `include/linux/rcupdate.h`.
fn note_rcu_tasks_quiescent_state() {
    #[cfg(CONFIG_TASKS_RCU)]
    {
        let task = Task::current_raw();
        // SAFETY: `Task::current_raw` points to the current task, which is valid while it runs.
        let holdout = unsafe { &raw mut (*task).rcu_tasks_holdout };
        // SAFETY: `holdout` points to a field of the current task. The thread of the grace period
        // stores it as one byte.
        let is_holdout = unsafe { holdout.cast::<u8>().read_volatile() } != 0;
        if is_holdout {
            // SAFETY: `holdout` points to a field of the current task. Every other writer stores it
            // as one byte.
            unsafe { holdout.cast::<u8>().write_volatile(0) };
        }
    }
}

/// Bits of `thread_info.flags` that announce work for the return to userspace and that
/// [`Task::signal_pending`] does not check: `TIF_NOTIFY_RESUME` for task work (throttling by
/// `cpu.max`, CPU timers, deferred fput) and for throttling by `memory.high` and the block
/// controllers, `TIF_PATCH_PENDING` for a live patch.
const RETURN_WORK: usize = 1 << bindings::TIF_NOTIFY_RESUME | 1 << bindings::TIF_PATCH_PENDING;

/// Returns `thread_info.flags` of `task`.
///
/// # Safety
///
/// `task` must point to a task that is valid for `'a`.
unsafe fn thread_flags<'a>(task: *mut bindings::task_struct) -> &'a AtomicUsize {
    // SAFETY: `task` is valid by this function's safety requirement; this only computes the address
    // of a field.
    let flags = unsafe { &raw mut (*task).thread_info.flags };
    // SAFETY: The flags are an aligned word of the task, which is valid for `'a`. The kernel
    // changes them by atomic operations only.
    unsafe { AtomicUsize::from_ptr(flags.cast()) }
}

/// Returns true if the kernel has work to do before the current task returns to userspace.
pub(crate) fn is_return_work_pending() -> bool {
    // SAFETY: `Task::current_raw` points to the current task, which is valid while it runs.
    let flags = unsafe { thread_flags(Task::current_raw()) };
    flags.load(Ordering::Relaxed) & RETURN_WORK != 0
}

/// Makes the kernel restart the current ioctl: the ioctl must return the result, `ERESTARTSYS`. The
/// task passes through the exit to userspace, where the kernel does its pending work, and enters
/// the ioctl again. This is `restart_syscall` of `include/linux/sched/signal.h` with the flag
/// `TIF_NOTIFY_SIGNAL`, which `recalc_sigpending` does not clear.
pub(crate) fn restart_syscall() -> Error {
    // SAFETY: `Task::current_raw` points to the current task, which is valid while it runs.
    let flags = unsafe { thread_flags(Task::current_raw()) };
    flags.fetch_or(1 << bindings::TIF_NOTIFY_SIGNAL, Ordering::Relaxed);
    ERESTARTSYS
}

/// Returns true if a fatal signal is pending for the current task: `fatal_signal_pending` of
/// `include/linux/sched/signal.h`. The kernel sets SIGKILL pending for all threads of a process
/// that a signal terminates.
pub(crate) fn is_fatal_signal_pending() -> bool {
    if !kernel::current!().signal_pending() {
        return false;
    }
    let task = Task::current_raw();
    // SAFETY: `Task::current_raw` points to the current task, which is valid while it runs. The
    // kernel stores the field as one word.
    let pending = unsafe { (&raw const (*task).pending.signal.sig[0]).read_volatile() };
    pending & (1 << (bindings::SIGKILL - 1)) != 0
}

/// Sleeps until the monotonic clock reaches `until` nanoseconds.
///
/// # Errors
///
/// `EINTR` if a signal is pending or arrives.
pub(super) fn sleep_until(until: u64) -> Result {
    while sleep(until, 0, || false)? {}
    Ok(())
}

/// Sleeps for one millisecond, or until a signal arrives.
pub(crate) fn pause() {
    const PAUSE: u64 = 1_000_000;
    let until = (Instant::<Monotonic>::now().as_nanos() as u64).saturating_add(PAUSE);
    // The caller checks for signals.
    let _ = sleep_until(until);
}

/// Sleeps until another task wakes this one, or until the monotonic clock reaches `until`
/// nanoseconds; `u64::MAX` means no timeout. The timeout may be late by up to `slack` nanoseconds.
/// Does not sleep if `is_woken` returns true. Returns false after the timeout, else true.
///
/// # Errors
///
/// `EINTR` if a signal is pending before the sleep.
pub(crate) fn sleep(until: u64, slack: u64, is_woken: impl FnOnce() -> bool) -> Result<bool> {
    set_current_state(bindings::TASK_INTERRUPTIBLE);
    let is_pending = kernel::current!().signal_pending();
    if is_pending || is_woken() {
        set_current_state(bindings::TASK_RUNNING);
        return if is_pending { Err(EINTR) } else { Ok(true) };
    }
    Ok(schedule(until, slack))
}

/// Sleeps as [`sleep`] does, but only a fatal signal ends the sleep.
///
/// # Errors
///
/// `EINTR` if a fatal signal is pending before the sleep.
pub(crate) fn sleep_killable(until: u64, is_woken: impl FnOnce() -> bool) -> Result<bool> {
    set_current_state(
        bindings::TASK_WAKEKILL | bindings::TASK_UNINTERRUPTIBLE | bindings::TASK_FREEZABLE,
    );
    let is_pending = is_fatal_signal_pending();
    if is_pending || is_woken() {
        set_current_state(bindings::TASK_RUNNING);
        return if is_pending { Err(EINTR) } else { Ok(true) };
    }
    Ok(schedule(until, 0))
}

/// Sleeps in the state of the current task, as [`sleep`] documents.
fn schedule(until: u64, slack: u64) -> bool {
    let mut expires = i64::try_from(until).unwrap_or(i64::MAX);
    let expires: *mut bindings::ktime_t = if until == u64::MAX {
        ptr::null_mut()
    } else {
        &mut expires
    };
    let mode = bindings::hrtimer_mode_HRTIMER_MODE_ABS;
    // SAFETY: `schedule_hrtimeout_range` requires that the task state is set, which the callers
    // have done, and null or a valid expiry time; `expires` outlives the call. It
    // may sleep: host calls run in process context.
    let slept = unsafe { bindings::schedule_hrtimeout_range(expires, slack, mode) };
    slept != 0
}

/// Sets the state of the current task, before the caller checks its wake condition:
/// `set_current_state` of `include/linux/sched.h`.
fn set_current_state(state: u32) {
    let task = Task::current_raw();
    // SAFETY: `Task::current_raw` points to the current task, which is valid while it runs.
    // `__state` is an aligned word; the task may set its own state.
    let place = unsafe { AtomicU32::from_ptr((&raw mut (*task).__state).cast()) };
    place.store(state, Ordering::SeqCst);
}

/// Makes `task`, which runs a guest, reach its next checkpoint soon, also if it sleeps
/// interruptibly: `set_notify_signal` of `include/linux/sched/signal.h`. The kernel clears the flag
/// when the task returns to userspace.
///
/// A task in an uninterruptible sleep is not woken.
pub(crate) fn interrupt(task: &Task) {
    // SAFETY: `task` is a reference, so the task is valid during this call.
    let flags = unsafe { thread_flags(task.as_ptr()) };
    flags.fetch_or(1 << bindings::TIF_NOTIFY_SIGNAL, Ordering::SeqCst);
    wake_from(task, bindings::TASK_INTERRUPTIBLE);
}

/// Wakes `task` from [`sleep`] or [`sleep_killable`]: `wake_up_process` of `include/linux/sched.h`.
pub(crate) fn wake(task: &Task) {
    wake_from(
        task,
        bindings::TASK_INTERRUPTIBLE | bindings::TASK_UNINTERRUPTIBLE,
    );
}

/// Wakes `task` if it sleeps in one of the states `states`.
fn wake_from(task: &Task, states: u32) {
    // `wake_up_state` is not exported. `default_wake_function` calls the same function for a wait
    // queue entry.
    let mut entry = bindings::wait_queue_entry {
        private: task.as_ptr().cast(),
        ..Default::default()
    };
    // SAFETY: `default_wake_function` uses only `private` of the entry, which must be a valid task.
    // `task` is a reference to one.
    unsafe { bindings::default_wake_function(&mut entry, states, 0, ptr::null_mut()) };
}
