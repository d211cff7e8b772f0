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
    task::Task,
    time::{
        hrtimer::HrTimerExpires,
        Instant,
        Monotonic, //
    }, //
};

/// Lets others run, if the scheduler wants to, and tells RCU-tasks that the current task is in no trampoline:
/// `cond_resched_tasks_rcu_qs` of `include/linux/rcupdate.h`. Without that, tracing would wait until the guest sleeps.
pub(crate) fn yield_now() {
    note_rcu_tasks_quiescent_state();
    // A kernel that can be preempted anywhere has no such function, and needs none.
    #[cfg(any(CONFIG_PREEMPT_DYNAMIC, not(CONFIG_PREEMPTION)))]
    // SAFETY: Host calls come from process context, with no lock held.
    unsafe {
        bindings::__cond_resched()
    };
}

/// `rcu_tasks_qs` of `include/linux/rcupdate.h`.
fn note_rcu_tasks_quiescent_state() {
    #[cfg(CONFIG_TASKS_RCU)]
    {
        let task = Task::current_raw();
        // SAFETY: `Task::current_raw` points to the current task, which stays valid while it runs.
        let holdout = unsafe { &raw mut (*task).rcu_tasks_holdout };
        // SAFETY: `holdout` points to a field of the current task; the grace period's thread writes it as a whole byte.
        let is_holdout = unsafe { holdout.cast::<u8>().read_volatile() } != 0;
        if is_holdout {
            // SAFETY: `holdout` points to a field of the current task; every other writer writes it as a whole byte.
            unsafe { holdout.cast::<u8>().write_volatile(0) };
        }
    }
}

/// The bits of `thread_info.flags` by which the kernel has work for a task's return to userspace that
/// [`Task::signal_pending`] does not see: task work (throttling by `cpu.max`, CPU timers, files to release), throttling by
/// `memory.high` and the block controllers; a live patch.
const RETURN_WORK: usize = 1 << bindings::TIF_NOTIFY_RESUME | 1 << bindings::TIF_PATCH_PENDING;

/// The flags of `task`: `thread_info.flags`.
///
/// # Safety
///
/// `task` is valid for `'a`.
unsafe fn thread_flags<'a>(task: *mut bindings::task_struct) -> &'a AtomicUsize {
    // SAFETY: The caller's task is valid, and `thread_info` is its first field.
    let flags = unsafe { &raw mut (*task).thread_info.flags };
    // SAFETY: The flags are an aligned word that lives as long as the task; the kernel changes it by atomic operations.
    unsafe { AtomicUsize::from_ptr(flags.cast()) }
}

/// Returns true if the kernel has work to do before the current task returns to userspace.
pub(super) fn is_return_work_pending() -> bool {
    // SAFETY: The current task is valid while it runs.
    let flags = unsafe { thread_flags(Task::current_raw()) };
    flags.load(Ordering::Relaxed) & RETURN_WORK != 0
}

/// Has the system call of the current task restarted: after this call it returns `ERESTARTSYS`, and the task comes back after
/// it was on the way to userspace, where the kernel does the work that it has for that place. `restart_syscall` of
/// `include/linux/sched/signal.h`, but for a flag that `recalc_sigpending` does not clear.
pub(crate) fn restart_syscall() -> Error {
    // SAFETY: The current task is valid while it runs.
    let flags = unsafe { thread_flags(Task::current_raw()) };
    flags.fetch_or(1 << bindings::TIF_NOTIFY_SIGNAL, Ordering::Relaxed);
    ERESTARTSYS
}

/// `fatal_signal_pending` of `include/linux/sched/signal.h`: a signal that ends the process has set SIGKILL for all its
/// threads.
pub(crate) fn is_fatal_signal_pending() -> bool {
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

/// Sleeps for a millisecond, or until a signal comes.
pub(crate) fn pause() {
    const PAUSE: u64 = 1_000_000;
    let until = (Instant::<Monotonic>::now().as_nanos() as u64).saturating_add(PAUSE);
    // A signal is the caller's to see.
    let _ = sleep_until(until);
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

/// Makes `task`, which runs a guest, reach the next checkpoint soon, also if it sleeps interruptibly: `set_notify_signal` of
/// `include/linux/sched/signal.h`. The kernel clears the flag when the task returns to userspace.
///
/// A task in another kind of sleep is left asleep: its waker is the event that it waits for.
pub(crate) fn interrupt(task: &Task) {
    // SAFETY: `task` is referenced, so it is valid during this call.
    let flags = unsafe { thread_flags(task.as_ptr()) };
    flags.fetch_or(1 << bindings::TIF_NOTIFY_SIGNAL, Ordering::SeqCst);
    // `wake_up_state` is not exported; this is what calls it for an entry of a wait queue.
    let mut entry = bindings::wait_queue_entry { private: task.as_ptr().cast(), ..Default::default() };
    // SAFETY: The function reads nothing of the entry but `private`, which is a valid task.
    unsafe { bindings::default_wake_function(&mut entry, bindings::TASK_INTERRUPTIBLE, 0, ptr::null_mut()) };
}
