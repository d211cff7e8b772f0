// SPDX-License-Identifier: GPL-2.0

//! Stacks of engines and of compiled guests: allocation, reuse and deferred freeing.
//!
//! While a task is preempted in the engine, its saved stack pointer points into such a stack.
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
    },
    slice, //
};
use kernel::{
    alloc::{
        allocator::Vmalloc,
        flags, //
    },
    bindings,
    prelude::*, //
};

// Without it a grace period ends in a softirq, in which the lock of retired stacks must not be
// taken.
#[cfg(not(CONFIG_TASKS_RCU))]
compile_error!("the kernel needs CONFIG_TASKS_RCU, which tracing and BPF select");

/// Size of an engine stack, in bytes: more than twice the highest use that the tests have measured.
pub(crate) const SIZE: usize = 64 * 1024;

/// Words that are compared with zero at once.
type Chunk = [u64; 8];

fn is_zero(chunk: &Chunk) -> bool {
    let [a, b, c, d, e, f, g, h] = chunk;
    a | b | c | d | e | f | g | h == 0
}

/// Upper bound of the zero bytes between two words of a guest stack that are in use: each frame
/// holds a return address, and is smaller. The largest frame of machine code has 32,760 bytes
/// (`FRAME_MAX` in `engine/src/vmctx.rs`), and functions that machine code calls on the guest stack
/// use at most 16 KiB (`QUICK_HELPERS` in `engine/src/compiled/native.rs`).
const GUEST_GAP: usize = 64 * 1024;

/// Memory of a stack, with unmapped guard pages above and below, as it is vmalloc memory.
///
/// # Invariants
///
/// `start` is the start of `size` initialised bytes of [`Vmalloc`], which this value owns. `size`
/// is a multiple of 8, and at least 16.
struct Memory {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: `Memory` owns its bytes, and vmalloc memory may be used and freed by any task.
unsafe impl Send for Memory {}

impl Memory {
    /// Allocates `size` zeroed bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `size` is below 16 or no multiple of 8; `ENOMEM`.
    fn new(size: usize) -> Result<Self> {
        if size < size_of::<Link>() || size % size_of::<u64>() != 0 {
            return Err(EINVAL);
        }
        let flags = GFP_KERNEL_ACCOUNT | flags::__GFP_ZERO | flags::__GFP_NOWARN;
        let mut memory = ManuallyDrop::new(Vec::<u8, Vmalloc>::with_capacity(size, flags)?);
        // INVARIANT: The vector has a capacity of `size` zeroed bytes, and `ManuallyDrop` gives up
        // its ownership of them.
        Ok(Self {
            start: NonNull::new(memory.as_mut_ptr()).ok_or(ENOMEM)?,
            size,
        })
    }

    /// Returns the memory in chunks, except for the last bytes if they are no whole chunk. No task
    /// runs on the stack.
    fn chunks(&self) -> &[Chunk] {
        // SAFETY: `from_raw_parts` requires initialised memory that nothing changes during the
        // borrow. By the type invariant the `size` bytes are initialised, and vmalloc memory is
        // aligned. The caller ensures that no task runs on the stack.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.size / size_of::<Chunk>()) }
    }

    /// Returns the number of bytes from the lowest chunk that is not zero to the end. No task runs
    /// on the stack.
    fn used(&self) -> usize {
        let unused = self.chunks().iter().take_while(|chunk| is_zero(chunk));
        self.size - unused.count() * size_of::<Chunk>()
    }

    /// As [`used`](Self::used), if no `gap` bytes between two words in use are zero.
    fn used_above(&self, gap: usize) -> usize {
        let rest = self.size % size_of::<Chunk>();
        let (mut used, mut seen) = (rest, rest);
        for chunk in self.chunks().iter().rev() {
            seen += size_of::<Chunk>();
            if !is_zero(chunk) {
                used = seen;
            } else if seen - used >= gap {
                break;
            }
        }
        used
    }

    /// Zeroes the last `used` bytes. No task runs on the stack.
    fn clear(&mut self, used: usize) {
        let used = used.min(self.size);
        let start = self.start.as_ptr().wrapping_add(self.size - used);
        // SAFETY: By the type invariant the memory has `size` bytes, and `start` is `used` bytes
        // below its end.
        unsafe { ptr::write_bytes(start, 0, used) };
    }

    /// Frees the memory.
    fn free(self) {
        let memory = ManuallyDrop::new(self);
        // SAFETY: `from_raw_parts` requires memory of `Vmalloc` with this capacity, which the
        // vector takes over. By the type invariant `start` is, and `ManuallyDrop` keeps this value
        // from using it again.
        drop(unsafe { Vec::<u8, Vmalloc>::from_raw_parts(memory.start.as_ptr(), 0, memory.size) });
    }

    /// Returns the address of the lowest words. While the memory is in a [`List`], they are the
    /// link to the next one.
    fn link(&self) -> *mut Link {
        self.start.as_ptr().cast()
    }
}

/// Lowest words of a stack in a [`List`]: the next stack, null for none, and the size of this one.
struct Link {
    next: *mut u8,
    size: usize,
}

/// Stack for the engine.
///
/// # Invariants
///
/// `memory` has [`SIZE`] bytes.
pub(crate) struct Stack {
    memory: Memory,
    /// Number of bytes that were ever in use, if it was counted after the last use.
    peak: Option<usize>,
}

impl Stack {
    /// Returns a stack whose bytes are all zero, a retired one if possible.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if no stack can be allocated.
    pub(crate) fn new() -> Result<Self> {
        let retired = RETIRED.lock().pop();
        // INVARIANT: Engine stacks are retired and allocated with `SIZE` bytes.
        Ok(Self {
            memory: retired.map_or_else(|| Memory::new(SIZE), Ok)?,
            peak: None,
        })
    }

    /// Returns the address of the highest usable word, aligned to 16 bytes, for a use of the stack.
    pub(crate) fn top(&mut self) -> *mut usize {
        self.peak = None;
        self.memory.start.as_ptr().wrapping_add(SIZE - 16).cast()
    }

    /// Returns the number of bytes that were ever in use, from the lowest chunk that is not zero to
    /// the top.
    pub(crate) fn peak(&mut self) -> usize {
        // `engine::enter` borrows the stack exclusively while a task runs on it.
        *self.peak.get_or_insert_with(|| self.memory.used())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let used = self.peak();
        counters::STACK_PEAK.raise(used);
        self.memory.clear(used);
        // INVARIANT: The new value takes over the memory; `self` does not use it afterwards.
        retire(
            Memory {
                start: self.memory.start,
                size: SIZE,
            },
            Kind::Engine,
        );
    }
}

/// Stack for a compiled guest.
pub(crate) struct GuestStack {
    memory: Memory,
}

impl GuestStack {
    /// Returns a stack of `size` bytes, all zero: a retired one if possible.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `size` is below 16; `ENOMEM`.
    pub(crate) fn new(size: usize) -> Result<Self> {
        let retired = RETIRED.lock().pop_guest(size);
        Ok(Self {
            memory: retired.map_or_else(|| Memory::new(size), Ok)?,
        })
    }

    /// Returns the address of the lowest byte.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.memory.start
    }
}

impl Drop for GuestStack {
    fn drop(&mut self) {
        // The next guest must not read what this one left.
        self.memory.clear(self.memory.used_above(GUEST_GAP));
        // INVARIANT: The new value takes over the memory; `self` does not use it afterwards.
        retire(
            Memory {
                start: self.memory.start,
                size: self.memory.size,
            },
            Kind::Guest,
        );
    }
}

/// Use of a stack. All retired stacks are zeroed.
#[derive(Clone, Copy)]
enum Kind {
    /// Engine stacks have [`SIZE`] bytes.
    Engine,
    /// Guest stacks have the size that the module's limit asks for.
    Guest,
}

/// Singly linked list of stacks.
///
/// # Invariants
///
/// `first` is null, or the start of a [`Memory`] that the list owns and whose [`Link`] has its size
/// and in turn such a pointer.
struct List {
    first: *mut u8,
}

impl List {
    const fn new() -> Self {
        // INVARIANT: Null is the empty list.
        Self {
            first: ptr::null_mut(),
        }
    }

    fn push(&mut self, memory: Memory) {
        let memory = ManuallyDrop::new(memory);
        // SAFETY: By the invariant of `Memory` there is room for an aligned link, and this function
        // owns the memory.
        unsafe {
            memory.link().write(Link {
                next: self.first,
                size: memory.size,
            })
        };
        // INVARIANT: The list takes over the memory; its link has the former `first`.
        self.first = memory.start.as_ptr();
    }

    fn pop(&mut self) -> Option<Memory> {
        let start = NonNull::new(self.first)?;
        // SAFETY: By the invariant of the list a link is at the start of the memory.
        let link = unsafe { start.as_ptr().cast::<Link>().read() };
        // SAFETY: By the invariant of `Memory` there is room for a link. The words are those that
        // an engine stack has not zeroed.
        unsafe {
            start.as_ptr().cast::<Link>().write(Link {
                next: ptr::null_mut(),
                size: 0,
            })
        };
        self.first = link.next;
        // INVARIANT: By the invariant of the list the memory has this size, and the list has just
        // dropped its pointer to it.
        Some(Memory {
            start,
            size: link.size,
        })
    }

    /// Returns the next stack if it has `size` bytes.
    fn pop_of(&mut self, size: usize) -> Option<Memory> {
        let start = NonNull::new(self.first)?;
        // SAFETY: By the invariant of the list a link is at the start of the memory.
        let link = unsafe { start.as_ptr().cast::<Link>().read() };
        if link.size == size {
            self.pop()
        } else {
            None
        }
    }

    fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    fn free(mut self) {
        while let Some(memory) = self.pop() {
            memory.free();
        }
    }
}

/// Lists of stacks by kind.
struct Lists {
    engine: List,
    guest: List,
}

impl Lists {
    const fn new() -> Self {
        Self {
            engine: List::new(),
            guest: List::new(),
        }
    }

    fn push(&mut self, memory: Memory, kind: Kind) {
        match kind {
            Kind::Engine => self.engine.push(memory),
            Kind::Guest => self.guest.push(memory),
        }
    }

    fn is_empty(&self) -> bool {
        self.engine.is_empty() && self.guest.is_empty()
    }

    fn free(self) {
        self.engine.free();
        self.guest.free();
    }
}

/// Stacks that were dropped and are not unmapped yet.
struct Retired {
    /// Stacks dropped after the current grace period began.
    young: Lists,
    /// Stacks dropped before the current grace period began. They are unmapped at its end.
    old: Lists,
    /// Set while a callback is queued for the end of a grace period.
    is_waiting: bool,
}

// SAFETY: The lists own their stacks, and `Memory` may be sent to any task.
unsafe impl Send for Retired {}

impl Retired {
    /// Memory for an engine stack.
    fn pop(&mut self) -> Option<Memory> {
        self.young.engine.pop().or_else(|| self.old.engine.pop())
    }

    /// Memory for a guest's stack of `size` bytes. Guests with the same limit have stacks of the
    /// same size.
    fn pop_guest(&mut self, size: usize) -> Option<Memory> {
        self.young
            .guest
            .pop_of(size)
            .or_else(|| self.old.guest.pop_of(size))
    }
}

kernel::sync::global_lock! {
    // SAFETY: `Stacks::begin` initialises the lock when the module is loaded, before the first
    // stack is created.
    unsafe(uninit) static RETIRED: SpinLock<Retired> =
        Retired { young: Lists::new(), old: Lists::new(), is_waiting: false };
}

/// Head of the callback for the end of the grace period.
struct Head(UnsafeCell<bindings::callback_head>);

// SAFETY: Only the kernel accesses the head, from `call_rcu_tasks` until it calls the callback.
// `Retired::is_waiting` prevents a second call meanwhile.
unsafe impl Sync for Head {}

static HEAD: Head = Head(UnsafeCell::new(bindings::callback_head {
    next: ptr::null_mut(),
    func: None,
}));

/// Keeps a stack until no stack trace can read it any more.
fn retire(memory: Memory, kind: Kind) {
    let mut retired = RETIRED.lock();
    if retired.is_waiting {
        retired.young.push(memory, kind);
        return;
    }
    retired.old.push(memory, kind);
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
    unsafe { bindings::call_rcu_tasks(HEAD.0.get(), Some(grace_period_ended)) };
}

/// Frees the stacks that were dropped before the grace period, and queues another callback if newer
/// ones remain.
unsafe extern "C" fn grace_period_ended(_head: *mut bindings::callback_head) {
    let mut retired = RETIRED.lock();
    let unused = core::mem::replace(&mut retired.old, Lists::new());
    retired.old = core::mem::replace(&mut retired.young, Lists::new());
    let is_waiting = !retired.old.is_empty();
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
            // SAFETY: `rcu_barrier_tasks` may sleep. The module is unloaded in process context,
            // with no lock held.
            unsafe { bindings::rcu_barrier_tasks() };
            if !RETIRED.lock().is_waiting {
                break;
            }
        }
    }
}
