// SPDX-License-Identifier: GPL-2.0

//! Engine stacks: allocation, reuse and deferred freeing.
//!
//! While a task is preempted in the engine, its saved stack pointer points into an engine stack.
//! Code that takes a stack trace of the task (`/proc/PID/stack`, sysrq-t) reads that stack,
//! possibly after the task has continued and dropped the stack. Such code does not sleep between
//! reading the stack pointer and reading the stack. So a dropped stack is unmapped only after a
//! grace period of RCU-tasks. Until then it is kept for reuse.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use crate::counters;
use core::{
    cell::UnsafeCell,
    mem::ManuallyDrop,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    alloc::{
        allocator::Vmalloc,
        flags, //
    },
    bindings,
    prelude::*, //
};

#[cfg(all(CONFIG_PREEMPTION, not(CONFIG_TASKS_RCU)))]
compile_error!("a kernel with CONFIG_PREEMPTION needs CONFIG_TASKS_RCU, which tracing and BPF select");

/// Size of an engine stack, in bytes: more than twice the highest use that the tests have measured.
pub(crate) const SIZE: usize = 64 * 1024;

/// Stack for the engine, with unmapped guard pages above and below, as it is vmalloc memory.
///
/// # Invariants
///
/// `memory` is the start of [`SIZE`] initialised bytes of [`Vmalloc`], which this stack owns.
pub(crate) struct Stack {
    memory: NonNull<u8>,
}

// SAFETY: `Stack` owns its memory, and vmalloc memory may be used and freed by any task.
unsafe impl Send for Stack {}

impl Stack {
    /// Returns a stack whose bytes are all zero, a retired one if possible.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if no stack can be allocated.
    pub(crate) fn new() -> Result<Self> {
        if let Some(stack) = RETIRED.lock().pop() {
            return Ok(stack);
        }
        let flags = GFP_KERNEL_ACCOUNT | flags::__GFP_ZERO | flags::__GFP_NOWARN;
        let mut memory = ManuallyDrop::new(Vec::<u8, Vmalloc>::with_capacity(SIZE, flags)?);
        // INVARIANT: The vector has a capacity of `SIZE` zeroed bytes, and `ManuallyDrop` gives up
        // its ownership of them.
        Ok(Self { memory: NonNull::new(memory.as_mut_ptr()).ok_or(ENOMEM)? })
    }

    /// Returns the address of the highest usable word, aligned to 16 bytes.
    pub(crate) fn top(&mut self) -> *mut usize {
        self.memory.as_ptr().wrapping_add(SIZE - 16).cast()
    }

    /// Returns the number of bytes that were ever in use: from the lowest non-zero word to the top.
    pub(crate) fn peak(&self) -> usize {
        let mut unused = 0;
        while unused < SIZE {
            // SAFETY: By the type invariant the `SIZE` bytes are initialised, and `unused` is below
            // `SIZE`. No task runs on the stack: `engine::enter` borrows it exclusively while one
            // does.
            let word = unsafe { self.memory.as_ptr().add(unused).cast::<u64>().read() };
            if word != 0 {
                break;
            }
            unused += size_of::<u64>();
        }
        SIZE - unused
    }

    /// Frees the memory.
    fn free(self) {
        let memory = ManuallyDrop::new(self).memory;
        // SAFETY: `from_raw_parts` requires memory of `Vmalloc` with this capacity, which the
        // vector takes over. By the type invariant `memory` is, and `ManuallyDrop` keeps this value
        // from using it again.
        drop(unsafe { Vec::<u8, Vmalloc>::from_raw_parts(memory.as_ptr(), 0, SIZE) });
    }

    /// Returns the address of the lowest word. While the stack is in a [`List`], this word is the
    /// link to the next one.
    fn link(&self) -> *mut *mut u8 {
        self.memory.as_ptr().cast()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let peak = self.peak();
        counters::STACK_PEAK.raise(peak);
        let used = self.memory.as_ptr().wrapping_add(SIZE - peak);
        // SAFETY: By the type invariant the memory has `SIZE` bytes, and `used` is `peak` bytes
        // below its end. No task runs on the stack while it is dropped.
        unsafe { ptr::write_bytes(used, 0, peak) };
        // INVARIANT: The new value takes over the memory; `self` does not use it afterwards.
        retire(Self { memory: self.memory });
    }
}

/// Singly linked list of zeroed stacks. The lowest word of each is the link to the next.
///
/// # Invariants
///
/// `first` is null, or the memory of a [`Stack`] that the list owns and whose lowest word in turn
/// is such a pointer.
struct List {
    first: *mut u8,
}

impl List {
    const fn new() -> Self {
        // INVARIANT: Null is the empty list.
        Self { first: ptr::null_mut() }
    }

    fn push(&mut self, stack: Stack) {
        let stack = ManuallyDrop::new(stack);
        // SAFETY: By the invariant of `Stack` its memory has room for an aligned word, and this
        // function owns the stack.
        unsafe { stack.link().write(self.first) };
        // INVARIANT: The list takes over the memory; its lowest word is the former `first`.
        self.first = stack.memory.as_ptr();
    }

    fn pop(&mut self) -> Option<Stack> {
        // INVARIANT: By the invariant of the list `first` is the memory of a stack that the list
        // owns. The list drops its pointer to it below.
        let stack = Stack { memory: NonNull::new(self.first)? };
        // SAFETY: By the invariant of the list the lowest word of the stack is an initialised link.
        self.first = unsafe { stack.link().read() };
        // SAFETY: By the invariant of `Stack` its memory has room for an aligned word. This zeroes
        // the last word that is not zero.
        unsafe { stack.link().write(ptr::null_mut()) };
        Some(stack)
    }

    fn free(mut self) {
        while let Some(stack) = self.pop() {
            stack.free();
        }
    }
}

/// Stacks that were dropped and are not unmapped yet.
struct Retired {
    /// Stacks dropped after the current grace period began.
    young: List,
    /// Stacks dropped before the current grace period began. They are unmapped at its end.
    old: List,
    /// Set while a callback is queued for the end of a grace period.
    is_waiting: bool,
}

// SAFETY: The lists own their stacks, and a `Stack` may be sent to any task.
unsafe impl Send for Retired {}

impl Retired {
    fn pop(&mut self) -> Option<Stack> {
        self.young.pop().or_else(|| self.old.pop())
    }
}

kernel::sync::global_lock! {
    // SAFETY: `Stacks::begin` initialises the lock when the module is loaded, before the first
    // stack is created.
    unsafe(uninit) static RETIRED: SpinLock<Retired> =
        Retired { young: List::new(), old: List::new(), is_waiting: false };
}

/// Head of the callback for the end of the grace period.
struct Head(UnsafeCell<bindings::callback_head>);

// SAFETY: Only the kernel accesses the head, from `call_rcu_tasks` until it calls the callback.
// `Retired::is_waiting` prevents a second call meanwhile.
unsafe impl Sync for Head {}

static HEAD: Head = Head(UnsafeCell::new(bindings::callback_head { next: ptr::null_mut(), func: None }));

/// Keeps a stack until no stack trace can read it any more.
fn retire(stack: Stack) {
    let mut retired = RETIRED.lock();
    if retired.is_waiting {
        retired.young.push(stack);
        return;
    }
    retired.old.push(stack);
    retired.is_waiting = true;
    drop(retired);
    wait();
}

/// Queues [`grace_period_ended`] for the end of a grace period that begins now. The caller must
/// have set `is_waiting`.
fn wait() {
    // SAFETY: `call_rcu_tasks` requires a head that is not queued and that stays valid until the
    // callback is called. The head is static. It is not queued: `is_waiting` was not set, or its
    // callback is running. `Stacks::drop` waits for the callback before the module is unloaded.
    #[cfg(CONFIG_TASKS_RCU)]
    unsafe {
        bindings::call_rcu_tasks(HEAD.0.get(), Some(grace_period_ended))
    };
    // SAFETY: `call_rcu` has the same requirements as `call_rcu_tasks` above. A kernel without
    // RCU-tasks does not preempt code that takes a stack trace.
    #[cfg(not(CONFIG_TASKS_RCU))]
    unsafe {
        bindings::call_rcu(HEAD.0.get(), Some(grace_period_ended))
    };
}

/// Frees the stacks that were dropped before the grace period, and queues another callback if newer
/// ones remain.
unsafe extern "C" fn grace_period_ended(_head: *mut bindings::callback_head) {
    let mut retired = RETIRED.lock();
    let unused = core::mem::replace(&mut retired.old, List::new());
    retired.old = core::mem::replace(&mut retired.young, List::new());
    let is_waiting = !retired.old.first.is_null();
    retired.is_waiting = is_waiting;
    drop(retired);
    if is_waiting {
        wait();
    }
    unused.free();
}

/// Guard that keeps engine stacks available. There is one, for the lifetime of the module.
pub(crate) struct Stacks {
    _private: (),
}

impl Stacks {
    /// Initialises the list of retired stacks.
    ///
    /// # Safety
    ///
    /// Must be called once, before any [`Stack`] is created.
    pub(crate) unsafe fn begin() -> Self {
        // SAFETY: `init` must be called once, before the lock is used. `begin` is called once,
        // before any stack is created, by this function's safety requirement.
        unsafe { RETIRED.init() };
        Self { _private: () }
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        // No stack is in use. A callback may still run, or may have queued another one.
        loop {
            #[cfg(CONFIG_TASKS_RCU)]
            // SAFETY: `rcu_barrier_tasks` may sleep. The module is unloaded in process context,
            // with no lock held.
            unsafe {
                bindings::rcu_barrier_tasks()
            };
            #[cfg(not(CONFIG_TASKS_RCU))]
            // SAFETY: `rcu_barrier` may sleep. The module is unloaded in process context, with no
            // lock held.
            unsafe {
                bindings::rcu_barrier()
            };
            if !RETIRED.lock().is_waiting {
                break;
            }
        }
    }
}
