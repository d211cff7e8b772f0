// SPDX-License-Identifier: GPL-2.0

//! Programs of the kernel's eBPF JIT: machine code of compiled functions. Nothing else knows of BPF.
//!
//! The functions of a module call each other, so each is compiled twice: the first pass fixes its address, the second writes
//! the addresses of its callees into the calls. The machine code of a function starts at `bpf_func`.
//!
//! C headers: [`include/linux/filter.h`](srctree/include/linux/filter.h),
//! [`include/linux/bpf.h`](srctree/include/linux/bpf.h)

use crate::{
    bindings as bpf,
    ffi::{
        Jit,
        JitFunction, //
    },
    host::signal,
    host_operations::Uncompiled, //
};
use core::ptr::NonNull;
use kernel::{
    error::code::EOPNOTSUPP,
    prelude::*, //
};

/// Operation code of a call: `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;

/// Source register of a call of a function: `BPF_PSEUDO_CALL`.
const PSEUDO_CALL: u8 = 1;

/// Offset of a callee until its address is known: not 0, which the JIT refuses.
const UNKNOWN: i32 = 1;

/// Compiled functions that free their machine code when they are dropped.
pub(crate) struct Programs {
    _programs: KVVec<Program>,
}

/// A program that owns its machine code.
///
/// # Invariants
///
/// The pointer came from `bpf_prog_alloc`, perhaps by way of `bpf_prog_select_runtime`, and is used by this value alone.
struct Program(NonNull<bpf::bpf_prog>);

// SAFETY: A program may be freed by any task.
unsafe impl Send for Program {}
// SAFETY: A shared reference gives no access to the program.
unsafe impl Sync for Program {}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: By the invariant the program is this value's alone.
        unsafe { bpf::bpf_prog_free(self.0.as_ptr()) };
    }
}

impl Programs {
    /// Makes machine code of `functions`, and fills in their entries.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the kernel has no JIT, or it is off. `EINTR` if the task is to end. `ENOMEM`. `EINVAL` if the JIT refuses
    /// a function.
    pub(crate) fn compile(functions: Uncompiled<'_>) -> Result<Self> {
        let Jit { functions, count, helpers, helpers_len } = *functions.into_jit();
        // SAFETY: By the invariant of `Uncompiled`, there are `count` functions at `functions`, which
        // nothing else uses.
        let functions = unsafe { core::slice::from_raw_parts_mut(functions, count) };
        // SAFETY: By the invariant of `Uncompiled`, there are `helpers_len` addresses at `helpers`.
        let helpers = unsafe { core::slice::from_raw_parts(helpers, helpers_len) };
        let mut programs = KVVec::with_capacity(functions.len(), GFP_KERNEL_ACCOUNT)?;
        for function in functions.iter_mut() {
            check_signals()?;
            // SAFETY: By the invariant of `Uncompiled`, there are `len` instructions at `code`, which
            // nothing writes. An `Insn` is laid out as an instruction.
            let code = unsafe { core::slice::from_raw_parts(function.code.cast::<Insn>(), function.len) };
            let mut program = Program::new(code, function.frame)?;
            for insn in program.code() {
                if insn.is_helper_call() {
                    let helper = usize::try_from(insn.imm).ok().and_then(|number| helpers.get(number).copied());
                    insn.imm = distance(helper.filter(|address| *address != 0).ok_or(EINVAL)?)?;
                } else if insn.is_function_call() {
                    insn.imm = UNKNOWN;
                }
            }
            program.run_jit()?;
            (function.entry, function.size) = program.image();
            programs.push(program, GFP_KERNEL_ACCOUNT)?;
        }
        for (index, program) in programs.iter_mut().enumerate() {
            check_signals()?;
            let function = functions.get(index).ok_or(EINVAL)?;
            // SAFETY: By the invariant of `Uncompiled`, there are `len` instructions at `code`, which
            // nothing writes. An `Insn` is laid out as an instruction.
            let code = unsafe { core::slice::from_raw_parts(function.code.cast::<Insn>(), function.len) };
            // With constant blinding there are more instructions, and the calls are in the same order.
            let mut callees = code.iter().filter(|insn| insn.is_function_call());
            for insn in program.code() {
                if insn.is_function_call() {
                    let callee = callees.next().ok_or(EINVAL)?;
                    let callee = usize::try_from(callee.imm).ok().and_then(|callee| functions.get(callee));
                    insn.imm = distance(callee.ok_or(EINVAL)?.entry)?;
                }
            }
            program.clear_entry();
            program.run_jit()?;
            if program.image() != (function.entry, function.size) {
                return Err(EINVAL);
            }
        }
        Ok(Self { _programs: programs })
    }
}

/// Lets others run.
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

/// Immediate of a call of `address`.
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
    fn is_function_call(&self) -> bool {
        self.code == CALL && self.regs >> 4 == PSEUDO_CALL
    }

    fn is_helper_call(&self) -> bool {
        self.code == CALL && self.regs >> 4 == 0
    }
}

impl Program {
    /// A program with a copy of `code` and a frame of `frame` bytes.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn new(code: &[Insn], frame: u32) -> Result<Self> {
        let header = bpf::KWASMI_CONST_BPF_PROG_INSNSI as usize;
        let size = code.len().checked_mul(size_of::<Insn>()).and_then(|bytes| bytes.checked_add(header));
        let size = u32::try_from(size.ok_or(EINVAL)?)?;
        // SAFETY: It has no requirements; it returns null if there is no memory. It charges the memory cgroup by itself.
        let program = unsafe { bpf::bpf_prog_alloc(size, 0) };
        // INVARIANT: It was just allocated.
        let program = Self(NonNull::new(program).ok_or(ENOMEM)?);
        let prog = program.0.as_ptr();
        // SAFETY: The program is allocated, and its statistics are per-processor memory or null. Only `bpf_prog_run` uses them.
        unsafe { bpf::free_percpu((*prog).stats.cast()) };
        // SAFETY: The program is allocated.
        unsafe { (*prog).stats = core::ptr::null_mut() };
        // SAFETY: As for the statistics: per-processor memory that only `bpf_prog_run` uses.
        unsafe { bpf::free_percpu((*prog).active.cast()) };
        // SAFETY: The program is allocated.
        unsafe { (*prog).active = core::ptr::null_mut() };
        // SAFETY: The program is allocated.
        unsafe { (*prog).len = code.len() as u32 };
        // SAFETY: The program is allocated. Any type does: nothing attaches it.
        unsafe { (*prog).type_ = kernel::bindings::bpf_prog_type_BPF_PROG_TYPE_SYSCALL };
        // SAFETY: The program is allocated.
        unsafe { (*prog).set_is_func(1) };
        // SAFETY: `bpf_prog_alloc` allocates the auxiliary data, which has a `u32` at this offset.
        unsafe {
            (*prog).aux.cast::<u8>().add(bpf::KWASMI_CONST_BPF_AUX_STACK_DEPTH as usize).cast::<u32>().write(frame)
        };
        // SAFETY: The program was allocated with room for the instructions, which lie at this offset.
        let target = unsafe { prog.cast::<u8>().add(header).cast::<Insn>() };
        // SAFETY: There is room for as many instructions, and the code is elsewhere.
        unsafe { core::ptr::copy_nonoverlapping(code.as_ptr(), target, code.len()) };
        Ok(program)
    }

    /// Returns the instructions, with those that constant blinding may have added.
    fn code(&mut self) -> &mut [Insn] {
        let prog = self.0.as_ptr();
        // SAFETY: By the invariant the program is allocated, and its instructions lie at this offset.
        let code = unsafe { prog.cast::<u8>().add(bpf::KWASMI_CONST_BPF_PROG_INSNSI as usize).cast::<Insn>() };
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

    /// Has the JIT compile it.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the JIT is off, else those of `bpf_prog_select_runtime`.
    fn run_jit(&mut self) -> Result {
        let mut error = 0;
        // SAFETY: By the invariant the program is allocated; its instructions are such that the JIT can compile, and it says so if not.
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

    /// Address and size of the machine code.
    fn image(&self) -> (usize, u32) {
        let prog = self.0.as_ptr();
        // SAFETY: By the invariant the program is allocated.
        let entry = unsafe { (*prog).bpf_func };
        // SAFETY: By the invariant the program is allocated.
        let size = unsafe { (*prog).jited_len };
        (entry.map_or(0, |entry| entry as usize), size)
    }
}

/// Shape of what the engine passes.
const _: () = assert!(size_of::<JitFunction>() == 40);
