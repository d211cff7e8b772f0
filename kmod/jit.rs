// SPDX-License-Identifier: GPL-2.0

//! Compiles functions to machine code with the kernel's eBPF JIT. No other file of the kernel side
//! calls BPF functions.
//!
//! The functions of a module call each other, so each is compiled twice: the first pass fixes its
//! address, the second writes the addresses of its callees into the calls. The machine code of a
//! function starts at `bpf_func`.
//!
//! C headers: [`include/linux/filter.h`](srctree/include/linux/filter.h),
//! [`include/linux/bpf.h`](srctree/include/linux/bpf.h)

use crate::{
    bindings as bpf,
    counters,
    ffi::{
        Jit,
        JitFunction, //
    },
    host::signal,
    host_operations::Uncompiled,
    limits,
    uapi::KWASMI_LIMIT_TOTAL_HEAP, //
};
use core::{
    ffi::c_void,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::code::{
        EFBIG,
        EOPNOTSUPP, //
    },
    page::PAGE_SIZE,
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// Operation code of a call: `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;

/// Source register of a call of a function: `BPF_PSEUDO_CALL`.
const PSEUDO_CALL: u8 = 1;

/// Immediate of a call until the callee's address is known. The JIT refuses 0.
const UNKNOWN: i32 = 1;

/// Machine code as C sees it, `bpf_func`.
type Function = Option<unsafe extern "C" fn(*const c_void, *const bpf::bpf_insn) -> u32>;

/// Number of programs that are freed between two pauses of 1 ms, after their machine code was taken
/// out. The kernel frees each in a work item.
const PROGRAMS_AT_ONCE: usize = 64;

/// Number of images that are freed between two calls of [`wait_for_kernel`], by all tasks together.
const IMAGES_AT_ONCE: usize = 8;

kernel::sync::global_lock! {
    // SAFETY: `Freeing::begin` initialises the lock before the device is registered; only modules
    // have machine code.
    //
    // Number of images that were freed since the last call of `wait_for_kernel`. A task frees
    // images with this lock held.
    unsafe(uninit) static FREED: Mutex<usize> = 0;
}

/// Guard of the lock under which images are freed. There is one, for the lifetime of the module.
pub(crate) struct Freeing {
    _private: (),
}

impl Freeing {
    /// Initialises the lock.
    ///
    /// # Safety
    ///
    /// Must be called once, before any [`Programs`] are compiled.
    pub(crate) unsafe fn begin() -> Self {
        // SAFETY: `init` must be called once, before the lock is used. `begin` is called once,
        // before any machine code exists, by this function's safety requirement.
        unsafe { FREED.init() };
        Self { _private: () }
    }
}

/// `__GFP_NOFAIL`.
const NOFAIL: u32 = 1 << bindings::___GFP_NOFAIL_BIT;

/// `__GFP_NOWARN`: the caller of the ioctl learns of the failure.
const NOWARN: u32 = 1 << bindings::___GFP_NOWARN_BIT;

/// Approximate size of the auxiliary data of a program, `struct bpf_prog_aux` and the JIT's, in
/// bytes.
const AUXILIARY: usize = 2048;

/// Number of attempts to free an image, 10 ms apart.
const FREE_ATTEMPTS: u32 = 500;

/// Machine code of the functions of a module. It is freed when this value is dropped.
pub(crate) struct Programs {
    images: KVVec<Image>,
    counted: Counted,
    helpers: KVVec<usize>,
}

/// Guard that counts the compiled code of one module in [`counters::COMPILED`], and its bytes in
/// [`counters::HEAP_BYTES`] and [`counters::MACHINE_CODE_BYTES`].
struct Counted(usize);

impl Counted {
    /// Counts the code of a module, with no bytes yet.
    fn new() -> Self {
        counters::COMPILED.add(1);
        Self(0)
    }

    /// Counts `more` bytes.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if all engines together would exceed `KWASMI_LIMIT_TOTAL_HEAP`.
    fn add(&mut self, more: usize) -> Result {
        if !counters::HEAP_BYTES.add_of_total(more, limits::ceiling(KWASMI_LIMIT_TOTAL_HEAP)) {
            return Err(EDQUOT);
        }
        counters::MACHINE_CODE_BYTES.add(more);
        self.0 = self.0.saturating_add(more);
        Ok(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        counters::HEAP_BYTES.sub(self.0);
        counters::MACHINE_CODE_BYTES.sub(self.0);
        counters::COMPILED.sub(1);
    }
}

/// Guard that counts memory of programs that are being compiled in [`counters::HEAP_BYTES`].
struct Compiling(usize);

impl Compiling {
    /// Counts `more` bytes.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if all engines together would exceed `KWASMI_LIMIT_TOTAL_HEAP`.
    fn add(&mut self, more: usize) -> Result {
        if !counters::HEAP_BYTES.add_of_total(more, limits::ceiling(KWASMI_LIMIT_TOTAL_HEAP)) {
            return Err(EDQUOT);
        }
        self.0 = self.0.saturating_add(more);
        Ok(())
    }
}

impl Drop for Compiling {
    fn drop(&mut self) {
        counters::HEAP_BYTES.sub(self.0);
    }
}

impl Programs {
    /// Compiles `functions` to machine code, and sets `entry` and `size` of each.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the kernel has no JIT, or it is off. `EINTR` if the task is to end.
    /// `ENOMEM`. `EINVAL` if the JIT refuses a function, or its second pass gives another address
    /// or size. `ERANGE` if a callee is too far away. `EFBIG` if the machine code and the programs
    /// would take more than [`Jit::size_max`] bytes. `EDQUOT` if all engines together would exceed
    /// `KWASMI_LIMIT_TOTAL_HEAP`.
    pub(crate) fn compile(functions: Uncompiled<'_>) -> Result<Self> {
        let Jit {
            functions,
            count,
            helpers,
            helpers_len,
            size_max,
        } = *functions.into_jit();
        // SAFETY: By the invariant of `Uncompiled`, there are `count` functions at `functions`,
        // which nothing else uses.
        let functions = unsafe { core::slice::from_raw_parts_mut(functions, count) };
        // SAFETY: By the invariant of `Uncompiled`, there are `helpers_len` addresses at `helpers`.
        let helpers = unsafe { core::slice::from_raw_parts(helpers, helpers_len) };
        let mut counted = Counted::new();
        let mut compiling = Compiling(0);
        let memory = functions
            .iter()
            .map(|function| Program::memory(function.len))
            .fold(0, usize::saturating_add);
        if memory as u64 > size_max {
            return Err(EFBIG);
        }
        compiling.add(memory)?;
        let mut programs = Unfinished(KVVec::with_capacity(functions.len(), GFP_KERNEL_ACCOUNT)?);
        let mut images = KVVec::with_capacity(functions.len(), GFP_KERNEL_ACCOUNT)?;
        for function in functions.iter_mut() {
            check_signals()?;
            // SAFETY: By the invariant of `Uncompiled`, there are `len` instructions at `code`,
            // which nothing writes. An `Insn` is laid out as an instruction.
            let code =
                unsafe { core::slice::from_raw_parts(function.code.cast::<Insn>(), function.len) };
            let mut program = Program::new(code, function.frame)?;
            for insn in program.code() {
                if insn.is_helper_call() {
                    let helper = usize::try_from(insn.imm)
                        .ok()
                        .and_then(|number| helpers.get(number).copied());
                    insn.imm = distance(helper.filter(|address| *address != 0).ok_or(EINVAL)?)?;
                } else if insn.is_function_call() {
                    insn.imm = UNKNOWN;
                }
            }
            program.run_jit()?;
            (function.entry, function.size) = program.image();
            counted.add(function.size as usize)?;
            if counted.0.saturating_add(compiling.0) as u64 > size_max {
                return Err(EFBIG);
            }
            programs.0.push(program, GFP_KERNEL_ACCOUNT)?;
        }
        for (index, program) in programs.0.iter_mut().enumerate() {
            check_signals()?;
            let function = functions.get(index).ok_or(EINVAL)?;
            // SAFETY: By the invariant of `Uncompiled`, there are `len` instructions at `code`,
            // which nothing writes. An `Insn` is laid out as an instruction.
            let code =
                unsafe { core::slice::from_raw_parts(function.code.cast::<Insn>(), function.len) };
            // Constant blinding may have added instructions. The calls are in the same order.
            let mut callees = code.iter().filter(|insn| insn.is_function_call());
            for insn in program.code() {
                if insn.is_function_call() {
                    let callee = callees.next().ok_or(EINVAL)?;
                    let callee = usize::try_from(callee.imm)
                        .ok()
                        .and_then(|callee| functions.get(callee));
                    insn.imm = distance(callee.ok_or(EINVAL)?.entry)?;
                }
            }
            program.clear_entry();
            program.run_jit()?;
            if program.image() != (function.entry, function.size) {
                return Err(EINVAL);
            }
        }
        for (index, program) in core::mem::take(&mut programs.0).into_iter().enumerate() {
            if index % PROGRAMS_AT_ONCE == PROGRAMS_AT_ONCE - 1 {
                fsleep(Delta::from_millis(1));
            }
            let instructions = functions.get(index).map_or(0, |function| function.len);
            images.push(
                program.into_image(u32::try_from(instructions)?),
                GFP_KERNEL_ACCOUNT,
            )?;
        }
        let mut addresses = KVVec::with_capacity(helpers.len(), GFP_KERNEL_ACCOUNT)?;
        addresses.extend_from_slice(helpers, GFP_KERNEL_ACCOUNT)?;
        Ok(Self {
            images,
            counted,
            helpers: addresses,
        })
    }

    /// Returns the number of bytes of machine code.
    pub(crate) fn size(&self) -> usize {
        self.counted.0
    }

    /// Returns the machine code of each function.
    pub(crate) fn images(&self) -> &[Image] {
        &self.images
    }

    /// Returns the addresses of the helpers by their numbers; 0 for a number without a helper.
    pub(crate) fn helpers(&self) -> &[usize] {
        &self.helpers
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        free_slowly(core::mem::take(&mut self.images));
    }
}

/// Programs of a compilation that has not succeeded yet.
struct Unfinished(KVVec<Program>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        free_slowly(core::mem::take(&mut self.0));
    }
}

/// Drops values with machine code, which the kernel frees in work items, a few at a time.
///
/// Each work item that waits needs a worker thread, which the kernel keeps for minutes. So the lock
/// bounds the images of all tasks, not of each.
fn free_slowly<T>(values: KVVec<T>) {
    let mut values = values.into_iter().peekable();
    while values.peek().is_some() {
        let mut freed = FREED.lock();
        for value in values.by_ref().take(IMAGES_AT_ONCE) {
            drop(value);
            *freed += 1;
        }
        if *freed >= IMAGES_AT_ONCE {
            *freed = 0;
            wait_for_kernel();
        }
    }
}

/// Waits for the work items in which the kernel frees images.
///
/// Each work item holds the lock of all images (`pack_mutex` in `kernel/bpf/core.c`) for
/// milliseconds. Without waiting, thousands of work items would queue up, and some would wait for
/// minutes. Compiling takes the lock too, and the lock serves its waiters in order. This function
/// therefore compiles a program of one instruction.
fn wait_for_kernel() {
    // If there is no memory for the program, this does not wait.
    if let Ok(mut program) = Program::new(&[Insn::EXIT], 0) {
        let _ = program.run_jit();
    }
}

/// Lets other tasks run, and checks for a fatal signal.
///
/// # Errors
///
/// `EINTR` if the task is to end.
fn check_signals() -> Result {
    signal::yield_now();
    if signal::is_fatal_signal_pending() {
        return Err(EINTR);
    }
    Ok(())
}

/// Returns the immediate of a call of `address`.
///
/// # Errors
///
/// `ERANGE` if it is too far from the kernel's text.
fn distance(address: usize) -> Result<i32> {
    let base = bpf::__bpf_call_base as usize;
    i32::try_from((address as i64).wrapping_sub(base as i64)).map_err(|_| ERANGE)
}

/// An instruction: `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Insn {
    code: u8,
    regs: u8,
    off: i16,
    imm: i32,
}

impl Insn {
    /// `BPF_JMP | BPF_EXIT`.
    const EXIT: Self = Self {
        code: 0x95,
        regs: 0,
        off: 0,
        imm: 0,
    };

    fn is_function_call(&self) -> bool {
        self.code == CALL && self.regs >> 4 == PSEUDO_CALL
    }

    fn is_helper_call(&self) -> bool {
        self.code == CALL && self.regs >> 4 == 0
    }
}

/// Program whose machine code is freed with it.
///
/// # Invariants
///
/// The pointer came from `bpf_prog_alloc`, perhaps by way of `bpf_prog_select_runtime`, and is used
/// by this value alone.
struct Program(NonNull<bpf::bpf_prog>);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: `bpf_prog_free` requires a program that nothing uses. By the type invariant the
        // program is this value's alone.
        unsafe { bpf::bpf_prog_free(self.0.as_ptr()) };
    }
}

/// Machine code without its program, which has been freed: `struct bpf_prog`, its instructions and
/// its auxiliary data take several times the memory of a small function's machine code.
///
/// `bpf_jit_free` finds machine code by `bpf_func` alone. To free an image, its address is
/// therefore put into a new program, which is then freed.
///
/// # Invariants
///
/// The JIT allocated the machine code, completed it, and nothing else frees it.
pub(crate) struct Image {
    /// `bpf_func` of the program.
    function: Function,
    /// Size in bytes.
    size: u32,
    /// Number of eBPF instructions that were compiled.
    instructions: u32,
}

impl Image {
    /// Returns the machine code. Its address is that of the function.
    pub(crate) fn bytes(&self) -> &[u8] {
        let start = self
            .function
            .map_or(core::ptr::dangling(), |function| function as *const u8);
        // SAFETY: By the type invariant the JIT has put `size` bytes of machine code at this
        // address. They are readable, and do not change until this value is dropped.
        unsafe { core::slice::from_raw_parts(start, self.size as usize) }
    }

    /// Returns the number of eBPF instructions that were compiled.
    pub(crate) fn instructions(&self) -> u32 {
        self.instructions
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // `bpf_prog_alloc` also allocates per-processor memory, which may fail despite
        // `__GFP_NOFAIL`.
        for _ in 0..FREE_ATTEMPTS {
            if let Ok(program) = Program::allocate(1, NOFAIL) {
                program.adopt(self);
                return;
            }
            fsleep(Delta::from_millis(10));
        }
        kernel::pr_warn_once!(
            "out of memory while freeing machine code: the machine code is leaked\n"
        );
    }
}

impl Program {
    /// Returns the approximate number of bytes that a program of `len` instructions takes, without
    /// its machine code: whole pages for the instructions, the auxiliary data, and an address for
    /// each instruction.
    fn memory(len: usize) -> usize {
        let header = bpf::KWASMI_CONST_BPF_PROG_INSNSI as usize;
        let code = len
            .saturating_mul(size_of::<Insn>())
            .saturating_add(header)
            .next_multiple_of(PAGE_SIZE);
        code.saturating_add(len.saturating_mul(size_of::<u32>()))
            .saturating_add(AUXILIARY)
    }

    /// Allocates a program of `len` instructions. `flags` are more `GFP_*` flags.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is too long; `ENOMEM`.
    fn allocate(len: usize, flags: u32) -> Result<Self> {
        let header = bpf::KWASMI_CONST_BPF_PROG_INSNSI as usize;
        let size = len
            .checked_mul(size_of::<Insn>())
            .and_then(|bytes| bytes.checked_add(header));
        let size = u32::try_from(size.ok_or(EINVAL)?)?;
        // SAFETY: `bpf_prog_alloc` has no requirements. It returns null if there is no memory. It
        // charges the memory cgroup.
        let program = unsafe { bpf::bpf_prog_alloc(size, flags | NOWARN) };
        // INVARIANT: It was just allocated.
        let program = Self(NonNull::new(program).ok_or(ENOMEM)?);
        let prog = program.0.as_ptr();
        // SAFETY: `free_percpu` requires null or per-processor memory that nothing uses. The
        // program is allocated, so its statistics are that. Only `bpf_prog_run` and trampolines use
        // them, when they run the program, which nothing asks them to.
        unsafe { bpf::free_percpu((*prog).stats.cast()) };
        // SAFETY: The program is allocated, and nothing else uses it yet.
        unsafe { (*prog).stats = core::ptr::null_mut() };
        // SAFETY: `free_percpu` requires null or per-processor memory that nothing uses. The
        // program is allocated, so `active` is that. Only `bpf_prog_get_recursion_context` uses it,
        // when a trampoline or tracepoint runs the program, and nothing attaches the program to
        // one.
        unsafe { bpf::free_percpu((*prog).active.cast()) };
        // SAFETY: The program is allocated, and nothing else uses it yet.
        unsafe { (*prog).active = core::ptr::null_mut() };
        Ok(program)
    }

    /// Takes over the machine code of `image`, and frees it with the program.
    fn adopt(self, image: &Image) {
        let prog = self.0.as_ptr();
        // SAFETY: By the type invariant the program is allocated and this value's alone.
        unsafe { (*prog).bpf_func = image.function };
        // SAFETY: By the type invariant the program is allocated and this value's alone.
        unsafe { (*prog).set_jited(1) };
        // SAFETY: By the type invariant the program is allocated and this value's alone.
        unsafe { (*prog).jited_len = image.size };
    }

    /// Frees the program, and returns its machine code. `instructions` is the number of its eBPF
    /// instructions.
    fn into_image(self, instructions: u32) -> Image {
        let prog = self.0.as_ptr();
        // SAFETY: By the type invariant the program is allocated.
        let function = unsafe { (*prog).bpf_func };
        let (_, size) = self.image();
        // SAFETY: By the type invariant the program is allocated and this value's alone.
        unsafe { (*prog).set_jited(0) };
        // SAFETY: By the type invariant the program is allocated and this value's alone.
        unsafe { (*prog).bpf_func = None };
        // INVARIANT: The second pass of the JIT completed the machine code. The program, which is
        // dropped, does not own it any more.
        Image {
            function,
            size,
            instructions,
        }
    }

    /// Creates a program with a copy of `code` and a frame of `frame` bytes.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if no memory is available.
    fn new(code: &[Insn], frame: u32) -> Result<Self> {
        let header = bpf::KWASMI_CONST_BPF_PROG_INSNSI as usize;
        let program = Self::allocate(code.len(), 0)?;
        let prog = program.0.as_ptr();
        // SAFETY: The program is allocated, and nothing else uses it yet.
        unsafe { (*prog).len = code.len() as u32 };
        // SAFETY: The program is allocated, and nothing else uses it yet. Any type does: nothing
        // attaches the program.
        unsafe { (*prog).type_ = kernel::bindings::bpf_prog_type_BPF_PROG_TYPE_SYSCALL };
        // SAFETY: The program is allocated, and nothing else uses it yet.
        unsafe { (*prog).set_is_func(1) };
        // SAFETY: `bpf_prog_alloc` allocates the auxiliary data, which has a `u32` at this offset.
        unsafe {
            (*prog)
                .aux
                .cast::<u8>()
                .add(bpf::KWASMI_CONST_BPF_AUX_STACK_DEPTH as usize)
                .cast::<u32>()
                .write(frame)
        };
        // SAFETY: The program was allocated with room for the instructions, which lie at this
        // offset.
        let target = unsafe { prog.cast::<u8>().add(header).cast::<Insn>() };
        // SAFETY: There is room for as many instructions, and the code is elsewhere.
        unsafe { core::ptr::copy_nonoverlapping(code.as_ptr(), target, code.len()) };
        Ok(program)
    }

    /// Returns the instructions, with those that constant blinding may have added.
    fn code(&mut self) -> &mut [Insn] {
        let prog = self.0.as_ptr();
        // SAFETY: By the invariant the program is allocated, and its instructions lie at this
        // offset.
        let code = unsafe {
            prog.cast::<u8>()
                .add(bpf::KWASMI_CONST_BPF_PROG_INSNSI as usize)
                .cast::<Insn>()
        };
        // SAFETY: By the invariant the program is allocated.
        let len = unsafe { (*prog).len };
        // SAFETY: There are so many instructions, which are this program's alone.
        unsafe { core::slice::from_raw_parts_mut(code, len as usize) }
    }

    /// Forgets the machine code of the first pass, which the second writes again.
    fn clear_entry(&mut self) {
        // SAFETY: By the invariant the program is allocated.
        unsafe { (*self.0.as_ptr()).bpf_func = None };
    }

    /// Compiles the program with the kernel's JIT.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the JIT is off, else those of `bpf_prog_select_runtime`.
    fn run_jit(&mut self) -> Result {
        let mut error = 0;
        // SAFETY: `bpf_prog_select_runtime` requires an allocated program with initialised
        // instructions. By the type invariant it is allocated, and `Program::new` copied its
        // instructions into it.
        let prog = unsafe { bpf::bpf_prog_select_runtime(self.0.as_ptr(), &mut error) };
        // INVARIANT: The program that it returns replaces the one that was passed.
        self.0 = NonNull::new(prog).ok_or(ENOMEM)?;
        kernel::error::to_result(error)?;
        // SAFETY: By the invariant the program is allocated.
        if unsafe { (*prog).jited() } == 0 {
            return Err(EOPNOTSUPP);
        }
        Ok(())
    }

    /// Returns address and size in bytes of the machine code.
    fn image(&self) -> (usize, u32) {
        let prog = self.0.as_ptr();
        // SAFETY: By the invariant the program is allocated.
        let entry = unsafe { (*prog).bpf_func };
        // SAFETY: By the invariant the program is allocated.
        let size = unsafe { (*prog).jited_len };
        (entry.map_or(0, |entry| entry as usize), size)
    }
}

/// The engine and the kernel side agree on the size of `JitFunction`.
const _: () = assert!(size_of::<JitFunction>() == 40);
