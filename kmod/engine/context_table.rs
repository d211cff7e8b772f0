// SPDX-License-Identifier: GPL-2.0

//! Table that maps each task in the engine to the [`Context`] of its engine entry.
//!
//! The engine's allocator has no argument for the context, and a module cannot add a field to
//! `struct task_struct`. A task looks up only its own entry, which it wrote itself, so no ordering
//! between tasks is needed.

use crate::{
    counters,
    ffi::Context,
    limits,
    uapi::KWASMI_LIMIT_TOTAL_RUNNING, //
};
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    task::Task,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// Number of entries of the table.
const SLOTS: usize = 2048;

/// Upper bound of the tasks that may be in the engine at once to load, start or run. The other
/// entries serve tasks that clean up, which must not fail.
const GUESTS: usize = SLOTS / 2;

/// Returns the highest number of tasks that may be in the engine at once to load, start or run, for
/// callers with CAP_SYS_ADMIN.
pub(crate) fn most_running() -> u64 {
    limits::ceiling(KWASMI_LIMIT_TOTAL_RUNNING).min(GUESTS as u64)
}

struct Slot {
    /// Address of the task; 0 if the slot is free.
    task: Atomic<usize>,
    /// Address of the task's context.
    context: Atomic<usize>,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        task: Atomic::new(0),
        context: Atomic::new(0),
    }
}; SLOTS];

fn current() -> usize {
    Task::current_raw() as usize
}

fn places(task: usize) -> impl Iterator<Item = &'static Slot> {
    // Task structures are some KiB apart: the lower bits carry little information.
    let first = (task >> 8).wrapping_mul(0x9e37_79b9) >> 4;
    (0..SLOTS).filter_map(move |probe| TABLE.get(first.wrapping_add(probe) % SLOTS))
}

/// Purpose of an engine entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To load, start or run, or to open an account, which may be refused.
    Work,
    /// To free objects or to query counters, which must not be refused.
    CleanUp,
}

/// Guard of an engine entry: registers the context of the current task until it is dropped.
pub(crate) struct EntryGuard {
    slot: &'static Slot,
    purpose: Purpose,
}

impl EntryGuard {
    /// Registers `context` for the current task, which must not be in the engine already.
    ///
    /// # Errors
    ///
    /// `EDQUOT` for [`Purpose::Work`] if `KWASMI_LIMIT_TOTAL_RUNNING` is reached.
    pub(crate) fn begin(context: NonNull<Context>, purpose: Purpose) -> Result<Self> {
        if purpose == Purpose::Work && !counters::RUNNING.add_of_total(1, most_running()) {
            return Err(EDQUOT);
        }
        let task = current();
        // A free slot appears soon: `GUESTS` is less than `SLOTS`, and tasks that clean up leave
        // quickly.
        loop {
            for slot in places(task) {
                if slot.task.cmpxchg(0, task, Relaxed).is_ok() {
                    slot.context.store(context.as_ptr() as usize, Relaxed);
                    return Ok(Self { slot, purpose });
                }
            }
            fsleep(Delta::from_millis(1));
        }
    }
}

impl Drop for EntryGuard {
    fn drop(&mut self) {
        self.slot.context.store(0, Relaxed);
        self.slot.task.store(0, Relaxed);
        if self.purpose == Purpose::Work {
            counters::RUNNING.sub(1);
        }
    }
}

/// Returns the context of the current task's engine entry, or null if the task is not in the
/// engine. The engine calls this.
#[no_mangle]
extern "C" fn kwasmi_host_context() -> *mut Context {
    let task = current();
    for slot in places(task) {
        if slot.task.load(Relaxed) == task {
            return slot.context.load(Relaxed) as *mut Context;
        }
    }
    core::ptr::null_mut()
}
