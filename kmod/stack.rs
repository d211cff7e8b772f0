// SPDX-License-Identifier: GPL-2.0

//! Engine stacks.
//!
//! A task that was preempted in the engine has its saved stack pointer in an engine stack. Whoever takes a trace of it then
//! (`/proc/PID/stack`, sysrq-t) reads that stack, and may do so after the task went on and gave the stack up. So a stack is
//! not unmapped before a grace period of RCU-tasks has passed: whoever takes a trace does not sleep between looking at the stack
//! pointer and at the stack. Until then it can be taken by the next engine.
//!
//! C headers: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

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

/// The size of an engine stack, in bytes. Twice of what was ever seen in use, and more: see the test of the peak.
pub(crate) const SIZE: usize = 64 * 1024;

/// A stack for the engine: vmalloc memory, so that unmapped pages are above and below it.
///
/// # Invariants
///
/// `memory` is the start of [`SIZE`] bytes of initialised memory of [`Vmalloc`], which is this stack's alone.
pub(crate) struct Stack {
    memory: NonNull<u8>,
}

// SAFETY: The memory may be used by any task.
unsafe impl Send for Stack {}

impl Stack {
    /// A stack of zeros.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        if let Some(stack) = RETIRED.lock().pop() {
            return Ok(stack);
        }
        let flags = GFP_KERNEL_ACCOUNT | flags::__GFP_ZERO | flags::__GFP_NOWARN;
        let mut memory = ManuallyDrop::new(Vec::<u8, Vmalloc>::with_capacity(SIZE, flags)?);
        // INVARIANT: The capacity was asked for, the memory is zeroed, and nobody else has it.
        Ok(Self { memory: NonNull::new(memory.as_mut_ptr()).ok_or(ENOMEM)? })
    }

    /// Its highest word, aligned to 16 bytes.
    pub(crate) fn top(&mut self) -> *mut usize {
        self.memory.as_ptr().wrapping_add(SIZE - 16).cast()
    }

    /// How much of it was ever in use, in bytes: what is not zero any more, and what is above.
    pub(crate) fn peak(&self) -> usize {
        let mut unused = 0;
        while unused < SIZE {
            // SAFETY: By the invariant these bytes are initialised; nobody runs on the stack now.
            let word = unsafe { self.memory.as_ptr().add(unused).cast::<u64>().read() };
            if word != 0 {
                break;
            }
            unused += size_of::<u64>();
        }
        SIZE - unused
    }

    /// Unmaps it.
    fn free(self) {
        let memory = ManuallyDrop::new(self).memory;
        // SAFETY: By the invariant it is memory of `Vmalloc` with this capacity, which is this stack's alone.
        drop(unsafe { Vec::<u8, Vmalloc>::from_raw_parts(memory.as_ptr(), 0, SIZE) });
    }

    /// Its lowest word, which a guest that used all else of it would not reach: a guard page is next.
    fn link(&self) -> *mut *mut u8 {
        self.memory.as_ptr().cast()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let peak = self.peak();
        counters::STACK_PEAK.raise(peak);
        let used = self.memory.as_ptr().wrapping_add(SIZE - peak);
        // SAFETY: By the invariant `peak` bytes are there; nobody runs on the stack now.
        unsafe { ptr::write_bytes(used, 0, peak) };
        // INVARIANT: The memory is given to the new value, and not used by this one any more.
        retire(Self { memory: self.memory });
    }
}

/// Stacks of zeros, linked by their lowest words.
///
/// # Invariants
///
/// `first` is null or the memory of a [`Stack`] whose lowest word is null or another such, and so on.
struct List {
    first: *mut u8,
}

impl List {
    const fn new() -> Self {
        // INVARIANT: There is none.
        Self { first: ptr::null_mut() }
    }

    fn push(&mut self, stack: Stack) {
        let stack = ManuallyDrop::new(stack);
        // SAFETY: By the invariant of `Stack` there is room for a word.
        unsafe { stack.link().write(self.first) };
        // INVARIANT: The list owns the memory from now on.
        self.first = stack.memory.as_ptr();
    }

    fn pop(&mut self) -> Option<Stack> {
        // INVARIANT: The list gives the memory up below.
        let stack = Stack { memory: NonNull::new(self.first)? };
        // SAFETY: By the invariant the lowest word is a link.
        self.first = unsafe { stack.link().read() };
        // SAFETY: By the invariant of `Stack` there is room for a word. The stack is one of zeros again.
        unsafe { stack.link().write(ptr::null_mut()) };
        Some(stack)
    }

    fn free(mut self) {
        while let Some(stack) = self.pop() {
            stack.free();
        }
    }
}

/// Stacks that were given up and are not unmapped yet.
struct Retired {
    /// Given up after the present grace period began.
    young: List,
    /// Given up before it began: they are unmapped at its end.
    old: List,
    /// A grace period was asked for.
    is_waiting: bool,
}

// SAFETY: The stacks may be used by any task.
unsafe impl Send for Retired {}

impl Retired {
    fn pop(&mut self) -> Option<Stack> {
        self.young.pop().or_else(|| self.old.pop())
    }
}

kernel::sync::global_lock! {
    // SAFETY: `Stacks::begin` initialises it before anything looks at it.
    unsafe(uninit) static RETIRED: SpinLock<Retired> =
        Retired { young: List::new(), old: List::new(), is_waiting: false };
}

/// The head of the grace period that [`Retired`] waits for.
struct Head(UnsafeCell<bindings::callback_head>);

// SAFETY: The kernel alone uses it, from when it is handed over until the callback is called; `Retired::is_waiting` keeps it from
// being handed over meanwhile.
unsafe impl Sync for Head {}

static HEAD: Head = Head(UnsafeCell::new(bindings::callback_head { next: ptr::null_mut(), func: None }));

/// Keeps a stack until nobody reads it any more.
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

/// Calls [`grace_period_ended`] when one is over that begins now. Called by who has set `is_waiting`.
fn wait() {
    // SAFETY: The head is static and not in use, as `is_waiting` was not set; `Stacks::drop` waits for the callback before
    // the module is unloaded.
    #[cfg(CONFIG_TASKS_RCU)]
    unsafe {
        bindings::call_rcu_tasks(HEAD.0.get(), Some(grace_period_ended))
    };
    // SAFETY: As for RCU-tasks: such a kernel does not preempt who takes a trace.
    #[cfg(not(CONFIG_TASKS_RCU))]
    unsafe {
        bindings::call_rcu(HEAD.0.get(), Some(grace_period_ended))
    };
}

/// Unmaps the stacks that were given up before the grace period, and waits for another one if there are more.
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

/// Engine stacks can be had, until this is dropped. There is one.
pub(crate) struct Stacks {
    _private: (),
}

impl Stacks {
    /// Begins.
    ///
    /// # Safety
    ///
    /// Called once, before anything else here.
    pub(crate) unsafe fn begin() -> Self {
        // SAFETY: By the requirement of this function it is called once, and before the lock is used.
        unsafe { RETIRED.init() };
        Self { _private: () }
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        // No stack is in use any more. A callback may still run, or have asked for another one.
        loop {
            #[cfg(CONFIG_TASKS_RCU)]
            // SAFETY: The module is unloaded in process context, with no lock held.
            unsafe {
                bindings::rcu_barrier_tasks()
            };
            #[cfg(not(CONFIG_TASKS_RCU))]
            // SAFETY: The module is unloaded in process context, with no lock held.
            unsafe {
                bindings::rcu_barrier()
            };
            if !RETIRED.lock().is_waiting {
                break;
            }
        }
    }
}
