// SPDX-License-Identifier: GPL-2.0

//! Memory cgroup of the process that serves a reactor, which is charged for the memory that a call
//! allocates in the task of a caller. Without it, a caller in a full cgroup could end the service.
//!
//! C headers: [`include/linux/memcontrol.h`](srctree/include/linux/memcontrol.h),
//! [`include/linux/percpu-refcount.h`](srctree/include/linux/percpu-refcount.h)

use crate::arch;
use core::{
    marker::PhantomData,
    ptr::NonNull,
    sync::atomic::{
        AtomicI64,
        AtomicUsize,
        Ordering, //
    }, //
};
use kernel::{
    bindings,
    sync::rcu,
    task::Task, //
};

/// Reference to a memory cgroup.
///
/// # Invariants
///
/// The value owns one reference to the cgroup's `css`, unless that has the flag `CSS_NO_REF`.
pub(crate) struct MemoryCgroup(NonNull<bindings::mem_cgroup>);

// SAFETY: Any task may use and drop a reference to a cgroup.
unsafe impl Send for MemoryCgroup {}

impl MemoryCgroup {
    /// Returns the memory cgroup of the current process. `None` if it has no address space.
    pub(crate) fn of_current() -> Option<Self> {
        let task = Task::current_raw();
        // SAFETY: `Task::current_raw` points to the current task, which is valid while it runs.
        // Only the task itself replaces its address space.
        let mm = NonNull::new(unsafe { (*task).mm })?;
        // SAFETY: `get_mem_cgroup_from_mm` requires a valid address space. The current task holds a
        // reference to it.
        let cgroup = unsafe { bindings::get_mem_cgroup_from_mm(mm.as_ptr()) };
        // INVARIANT: `get_mem_cgroup_from_mm` took the reference.
        NonNull::new(cgroup).map(Self)
    }

    /// Charges the memory that the current task allocates to the cgroup, until the result is
    /// dropped: `set_active_memcg` of `include/linux/sched/mm.h`.
    pub(crate) fn charge(&self) -> Charged<'_> {
        Charged {
            before: replace_active(self.0.as_ptr()),
            _cgroup: PhantomData,
        }
    }
}

/// Replaces the cgroup that is charged for memory of the current task; null: that of its process.
fn replace_active(cgroup: *mut bindings::mem_cgroup) -> *mut bindings::mem_cgroup {
    let task = Task::current_raw();
    // SAFETY: `Task::current_raw` points to the current task, which is valid while it runs. Only
    // the task itself uses the field.
    unsafe { core::ptr::replace(&raw mut (*task).active_memcg, cgroup) }
}

/// Guard that charges a cgroup for the memory of the current task.
pub(crate) struct Charged<'a> {
    before: *mut bindings::mem_cgroup,
    _cgroup: PhantomData<&'a MemoryCgroup>,
}

impl Drop for Charged<'_> {
    fn drop(&mut self) {
        replace_active(self.before);
    }
}

/// Bits of `percpu_count_ptr` of a counter that is not per CPU.
const ATOMIC_OR_DEAD: usize =
    (bindings::__PERCPU_REF_ATOMIC | bindings::__PERCPU_REF_DEAD) as usize;

impl Drop for MemoryCgroup {
    /// Drops the reference: `css_put` of `include/linux/cgroup_refcnt.h`.
    fn drop(&mut self) {
        // SAFETY: By the type invariant the cgroup is valid. This only computes an address.
        let css = unsafe { &raw mut (*self.0.as_ptr()).css };
        // SAFETY: `css` is valid, and the flag does not change.
        if unsafe { (*css).flags } & bindings::CSS_NO_REF != 0 {
            return;
        }
        // SAFETY: `css` is valid. This only computes an address.
        let counter = unsafe { &raw mut (*css).refcnt };
        let _guard = rcu::read_lock();
        // SAFETY: `counter` is valid. This only computes an address.
        let place = unsafe { &raw mut (*counter).percpu_count_ptr };
        // SAFETY: The field is an aligned word, which other tasks store as a whole.
        let place = unsafe { AtomicUsize::from_ptr(place.cast()) };
        // The kernel relies on the address dependency here; `Acquire` is stronger.
        let per_cpu = place.load(Ordering::Acquire);
        if per_cpu & ATOMIC_OR_DEAD == 0 {
            // SAFETY: `decrement_per_cpu` requires a per-CPU word. The counter is per CPU, and
            // remains so until a grace period of RCU has passed.
            unsafe { arch::decrement_per_cpu(per_cpu) };
            return;
        }
        // SAFETY: `counter` is valid, and its data live as long as a reference, which by the type
        // invariant this value has. This only computes an address.
        let data = unsafe { (*counter).data };
        // SAFETY: `data` is valid. This only computes an address.
        let count = unsafe { &raw mut (*data).count.counter };
        // SAFETY: The field is an aligned word, which the kernel changes by atomic operations only.
        let count = unsafe { AtomicI64::from_ptr(count) };
        if count.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: `data` is valid until its release function is called, and the function does
            // not change.
            let release = unsafe { (*data).release };
            if let Some(release) = release {
                // SAFETY: The release function requires the counter, whose last reference was just
                // dropped.
                unsafe { release(counter) };
            }
        }
    }
}
