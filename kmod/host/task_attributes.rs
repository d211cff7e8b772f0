// SPDX-License-Identifier: GPL-2.0

//! Attributes of a task that affect the guest that it runs: umask, resource limit, scheduling and
//! NUMA policy.
//!
//! C headers: [`include/linux/fs_struct.h`](srctree/include/linux/fs_struct.h),
//! [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h)

use crate::bindings::KWASMI_CONST_FS_UMASK;
use kernel::{
    bindings,
    task::Task, //
};

/// Attributes of a task that the kernel applies to the task's system calls. A caller of a reactor
/// must not impose its own on the reactor.
#[derive(PartialEq, Eq)]
pub(crate) struct TaskAttributes {
    /// Mode bits that new files do not get.
    umask: i32,
    /// `RLIMIT_FSIZE`, in bytes.
    file_size: usize,
    /// Scheduling policy, and priority without boosts. A caller of low priority would delay others.
    schedule: (u32, i32),
    /// Set if the task has a NUMA policy for its memory.
    has_memory_policy: bool,
}

impl TaskAttributes {
    /// Returns true if a task with these attributes may run a call of a reactor that a task with
    /// the attributes `server` serves.
    pub(crate) fn may_run_for(&self, server: &Self) -> bool {
        self == server && !self.has_memory_policy
    }

    /// Returns the attributes of the current task.
    pub(crate) fn of_current() -> Self {
        let task = Task::current_raw();
        // SAFETY: `Task::current_raw` points to the current task, which is valid while it runs.
        // Only the task itself replaces `fs` before it exits.
        let fs = unsafe { (*task).fs };
        // SAFETY: `Task::current_raw` points to the current task, which is valid while it runs and
        // keeps `signal` until it exits.
        let signal = unsafe { (*task).signal };
        let umask = fs.cast::<i32>().wrapping_byte_add(KWASMI_CONST_FS_UMASK);
        // SAFETY: `umask` points to the field of `fs`, which is that of the current task and to
        // which the task holds a reference. Other threads store the field as one word.
        let umask = unsafe { umask.read_volatile() };
        // SAFETY: `signal` is that of the current task, which holds a reference to it. Other
        // processes store the field as one word.
        let file_size = unsafe {
            (&raw const (*signal).rlim[bindings::RLIMIT_FSIZE as usize].rlim_cur).read_volatile()
        };
        // SAFETY: `task` is the current task. Other tasks store the field as one word.
        let policy = unsafe { (&raw const (*task).policy).read_volatile() };
        // SAFETY: `task` is the current task. Other tasks store the field as one word.
        let priority = unsafe { (&raw const (*task).normal_prio).read_volatile() };
        Self {
            umask,
            file_size,
            schedule: (policy, priority),
            has_memory_policy: has_memory_policy(task),
        }
    }
}

/// Returns true if the current task `task` has a NUMA policy.
#[cfg(CONFIG_NUMA)]
fn has_memory_policy(task: *mut bindings::task_struct) -> bool {
    // SAFETY: `task` is the current task, and only the task itself changes the field.
    !unsafe { (*task).mempolicy }.is_null()
}

#[cfg(not(CONFIG_NUMA))]
fn has_memory_policy(_task: *mut bindings::task_struct) -> bool {
    false
}
