// SPDX-License-Identifier: GPL-2.0

//! Which stay in the engine the current task is in.
//!
//! The engine's allocator has no argument that could tell, and a task has no place where a module could keep it. So there
//! is a table of the tasks that are in the engine. A task only ever looks for itself, so its own writes are all that it
//! must see, and it sees them: no ordering between tasks is needed.

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

/// How many tasks the table has room for.
const SLOTS: usize = 2048;

/// How many tasks can be in the engine at once to load, start or run. The rest of the table is for those that clean up,
/// which must not fail.
const GUESTS: usize = SLOTS / 2;

/// The most tasks, of all users together, that may be in the engine at once to load, start or run.
pub(crate) fn most_running() -> u64 {
    limits::ceiling(KWASMI_LIMIT_TOTAL_RUNNING).min(GUESTS as u64)
}

struct Slot {
    /// The address of the task; 0 for none.
    task: Atomic<usize>,
    /// The address of its context.
    context: Atomic<usize>,
}

static TABLE: [Slot; SLOTS] = [const { Slot { task: Atomic::new(0), context: Atomic::new(0) } }; SLOTS];

fn current() -> usize {
    Task::current_raw() as usize
}

fn places(task: usize) -> impl Iterator<Item = &'static Slot> {
    // Tasks are some KiB each: the lower bits tell little.
    let first = (task >> 8).wrapping_mul(0x9e37_79b9) >> 4;
    (0..SLOTS).filter_map(move |probe| TABLE.get(first.wrapping_add(probe) % SLOTS))
}

/// Why a task enters the engine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To do something new, which can be refused.
    Work,
    /// To give something up, or to ask.
    CleanUp,
}

/// The current task is in the engine for as long as this lives.
pub(crate) struct Stay {
    slot: &'static Slot,
    purpose: Purpose,
}

impl Stay {
    /// Notes that the current task is in the engine with `context`. It must not be in it already.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if too many tasks are: `KWASMI_LIMIT_TOTAL_RUNNING`. Never for [`Purpose::CleanUp`].
    pub(crate) fn begin(context: NonNull<Context>, purpose: Purpose) -> Result<Self> {
        if purpose == Purpose::Work && !counters::RUNNING.add_of_total(1, most_running()) {
            return Err(EDQUOT);
        }
        let task = current();
        // There is room: the table is larger than `GUESTS`, and those who clean up are quick.
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

impl Drop for Stay {
    fn drop(&mut self) {
        self.slot.context.store(0, Relaxed);
        self.slot.task.store(0, Relaxed);
        if self.purpose == Purpose::Work {
            counters::RUNNING.sub(1);
        }
    }
}

/// The context of the current task's stay in the engine.
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
