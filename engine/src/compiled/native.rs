// SPDX-License-Identifier: GPL-2.0

//! Machine code of a compiled module, and the switch between the engine's stack and a guest's.
//!
//! Compiled functions run on the guest's own stack. A helper that may end or pause the guest is a
//! switch: its thunk saves the guest's registers on the guest's stack and continues on the engine's
//! stack, where [`resume`] returns the request. The next [`resume`] goes back with the result, in
//! another engine entry if need be. The routines are in `arch/`. Before a switch some thunks try a
//! quick form of the helper on the guest's stack ([`quick`](super::quick)). Helpers that only
//! compute are called directly.
//!
//! The words below the context that the contract describes are these routines' own; no compiled
//! code can name them.

use super::{
    instance::{
        self,
        PRIVATE,
        Private, //
    },
    linear_memory::HostMemory,
    simd, //
};
use crate::{
    arch::guest::{
        DONE,
        Frame,
        IMPORT,
        frame,
        kwasmi_guest_import,
        kwasmi_guest_resolved,
        kwasmi_guest_resume,
        thunks, //
    },
    compiler::{
        Compiled,
        Error, //
    },
    ffi::{
        Jit,
        JitFunction, //
    },
    heap::{
        Account,
        AllocError, //
    },
    host::Fail,
    host_operations::{
        RawOperations as _,
        Uncompiled, //
    },
    kernel_host::KernelHost,
    vmctx::{
        ARGS,
        ARGS_MAX,
        FRAME_MAX,
        Helper,
        STACK_RED_ZONE, //
    },
    wasi::abi::Errno, //
};
use alloc::vec::Vec;
use core::ptr::NonNull;

/// Instance whose memories the host owns.
pub(crate) type HostInstance = instance::CompiledInstance<HostMemory>;

macro_rules! switching {
    ($($name:ident = $number:literal: $helper:ident $(, $quick:ident)?;)*) => {
        thunks! {
            $($name = $number $(, $quick)?;)*
        }

        /// Address of the thunk of a helper that switches stacks.
        fn thunk(helper: Helper) -> usize {
            match helper {
                $(Helper::$helper => ($name as unsafe extern "C" fn()) as usize,)*
                _ => 0,
            }
        }

        $(const _: () = assert!(Helper::$helper as u8 == $number);)*
    };
}

switching! {
    kwasmi_guest_trap = 0: Trap;
    kwasmi_guest_checkpoint = 1: Checkpoint;
    kwasmi_guest_call_import = 2: CallImport, kwasmi_quick_call_import;
    kwasmi_guest_resolve = 3: Resolve, kwasmi_quick_resolve;
    kwasmi_guest_memory_grow = 5: MemoryGrow;
    kwasmi_guest_memory_fill = 6: MemoryFill, kwasmi_quick_memory_fill;
    kwasmi_guest_memory_copy = 7: MemoryCopy, kwasmi_quick_memory_copy;
    kwasmi_guest_memory_init = 8: MemoryInit;
    kwasmi_guest_data_drop = 9: DataDrop;
    kwasmi_guest_table_get = 10: TableGet, kwasmi_quick_table_get;
    kwasmi_guest_table_set = 11: TableSet, kwasmi_quick_table_set;
    kwasmi_guest_table_size = 12: TableSize, kwasmi_quick_table_size;
    kwasmi_guest_table_grow = 13: TableGrow;
    kwasmi_guest_table_fill = 14: TableFill;
    kwasmi_guest_table_copy = 15: TableCopy;
    kwasmi_guest_table_init = 16: TableInit;
    kwasmi_guest_elem_drop = 17: ElemDrop;
    kwasmi_guest_trapping_numeric = 18: TrappingNumeric, kwasmi_quick_trapping_numeric;
    kwasmi_guest_resolve_tail = 19: ResolveTail, kwasmi_quick_resolve_tail;
    kwasmi_guest_throw = 73: Throw;
    kwasmi_guest_throw_ref = 74: ThrowRef;
    kwasmi_guest_catch_tag = 75: CatchTag;
    kwasmi_guest_catch_all = 76: CatchAll;
}

/// [`Helper::Simd`].
///
/// # Safety
///
/// `context` must be the context of the guest that runs.
unsafe extern "C" fn compute_simd(context: *mut u64, operation: u64) -> u64 {
    let args = context.wrapping_byte_add(usize::from(ARGS.unsigned_abs()));
    // SAFETY: `read` requires an aligned pointer to words that nobody changes meanwhile. The
    // context of a guest has [`ARGS_MAX`] words at [`ARGS`], and only the guest, which waits for
    // this function, and the engine, which waits for the guest, use them.
    let operands = unsafe { args.cast::<[u64; simd::OPERANDS]>().read() };
    let [low, high] = simd::compute(operation, operands);
    // SAFETY: `write` requires an aligned pointer to a word that nobody else uses meanwhile. It is
    // one of the words that were read.
    unsafe { args.wrapping_add(1).write(high) };
    low
}

const _: () = assert!(simd::OPERANDS <= ARGS_MAX as usize);

macro_rules! computing {
    ($($helper:ident)*) => {
        /// Address of a helper that only computes.
        fn computation(helper: Helper) -> usize {
            match helper {
                $(Helper::$helper => {
                    extern "C" fn call(a: u64, b: u64) -> u64 {
                        super::numeric::compute(Helper::$helper, [a, b]).unwrap_or(0)
                    }
                    (call as extern "C" fn(u64, u64) -> u64) as usize
                })*
                _ => 0,
            }
        }
    };
}

computing! {
    I32Clz I32Ctz I32Popcnt I64Clz I64Ctz I64Popcnt
    F32Add F32Sub F32Mul F32Div F32Min F32Max F32Ceil F32Floor F32Trunc F32Nearest F32Sqrt F32Eq F32Lt F32Le
    F64Add F64Sub F64Mul F64Div F64Min F64Max F64Ceil F64Floor F64Trunc F64Nearest F64Sqrt F64Eq F64Lt F64Le
    F32ConvertI32S F32ConvertI32U F32ConvertI64S F32ConvertI64U
    F64ConvertI32S F64ConvertI32U F64ConvertI64S F64ConvertI64U F32Demote F64Promote
    I32TruncSatF32S I32TruncSatF32U I32TruncSatF64S I32TruncSatF64U
    I64TruncSatF32S I64TruncSatF32U I64TruncSatF64S I64TruncSatF64U
}

/// Machine code of a module's functions. The host owns it, and frees it after the module.
#[derive(Debug)]
pub(crate) struct CompiledCode {
    /// Address of each function that the module defines.
    entries: Vec<usize>,
    /// Bytes of machine code.
    size: u64,
}

impl CompiledCode {
    /// Has the host make machine code of `compiled`.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if no memory is available; [`Error::CodeLimit`] or
    /// [`Error::TotalHeapLimit`] if the machine code would exceed that limit;
    /// [`Error::Unsupported`] if the host has no compiler for it.
    pub(crate) fn new(compiled: &Compiled) -> Result<Self, Error> {
        let mut helpers = Vec::new();
        helpers.try_reserve_exact(256).map_err(|_| Error::Memory)?;
        helpers.resize(256, 0_usize);
        for helper in Helper::ALL {
            if let Some(address) = helpers.get_mut(usize::from(*helper as u8)) {
                *address = match helper {
                    Helper::CallResolved => (kwasmi_guest_resolved as unsafe extern "C" fn()) as usize,
                    Helper::Simd => (compute_simd as unsafe extern "C" fn(*mut u64, u64) -> u64) as usize,
                    helper if helper.takes_context() => thunk(*helper),
                    helper => computation(*helper),
                };
            }
        }
        let mut functions = Vec::new();
        functions.try_reserve_exact(compiled.functions.len()).map_err(|_| Error::Memory)?;
        functions.extend(compiled.functions.iter().map(|function| JitFunction {
            code: function.code.as_ptr().cast(),
            len: function.code.len(),
            frame: function.frame,
            size: 0,
            entry: 0,
            reserved: 0,
        }));
        let mut entries = Vec::new();
        entries.try_reserve_exact(functions.len()).map_err(|_| Error::Memory)?;
        let account = Account::current();
        let jit = Jit {
            size_max: account.map_or(u64::MAX, |account| account.remaining() as u64),
            functions: functions.as_mut_ptr(),
            count: functions.len(),
            helpers: helpers.as_ptr(),
            helpers_len: helpers.len(),
        };
        // SAFETY: `jit` holds addresses and lengths of `functions`, which is not used until the
        // host returns, and of `helpers` and the code of `compiled`, which are borrowed or owned by
        // this function. Each helper is called with the arguments of its number.
        let uncompiled = unsafe { Uncompiled::new(&jit) };
        KernelHost::new().compile(uncompiled).map_err(|fail| match fail {
            Fail::Errno(Errno::NoMem) => Error::Memory,
            Fail::Errno(Errno::FBig) => Error::CodeLimit,
            Fail::Errno(Errno::DQuot) => Error::TotalHeapLimit,
            _ => Error::Unsupported("this kernel: its eBPF JIT refuses, or is off"),
        })?;
        entries.extend(functions.iter().map(|function| function.entry));
        let size = functions.iter().map(|function| u64::from(function.size)).sum();
        if let Some(account) = account {
            account.charge_host_memory(to_usize(size));
        }
        Ok(Self { entries, size })
    }

    /// Address of a function by its index among all functions.
    fn entry(&self, index: u32, imported: u32) -> usize {
        index
            .checked_sub(imported)
            .and_then(|defined| self.entries.get(defined as usize))
            .copied()
            .unwrap_or((kwasmi_guest_import as unsafe extern "C" fn()) as usize)
    }

    /// Has [`Helper::CallResolved`] call function `index`.
    pub(crate) fn resolve(&self, instance: &mut HostInstance, index: u32, imported: u32) {
        instance.set_private(Private::Target, self.entry(index, imported) as u64);
    }
}

impl Drop for CompiledCode {
    fn drop(&mut self) {
        // The host frees the machine code after it has closed the account.
        if let Some(account) = Account::current() {
            account.uncharge_host_memory(to_usize(self.size));
        }
    }
}

/// Returns a number of bytes as the heap counts it. Addresses have 64 bits, so it fits.
fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// A request of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The outermost function has returned, with this value as its first result.
    Done(u64),
    /// A helper, with its arguments; the first is the context.
    Help(Helper, [u64; 5]),
    /// A call of an imported function by way of a table, with its first five arguments.
    Import([u64; 5]),
    /// A request that there is not: a defect of the engine.
    Unknown,
}

/// A guest's stack, between guard pages.
///
/// # Invariants
///
/// The host has allocated the stack at `start` with `size` bytes and keeps it as long as this
/// value, which alone uses it.
#[derive(Debug)]
pub(crate) struct GuestStack {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: `GuestStack` owns its memory, which any task may use and free.
unsafe impl Send for GuestStack {}
// SAFETY: A shared reference gives no access to the memory.
unsafe impl Sync for GuestStack {}

/// Bytes below the stack limit.
///
/// A function that passes the check may have a frame of [`STACK_RED_ZONE`] bytes below the limit.
/// The next function's prologue moves the stack pointer by its whole frame, at most [`FRAME_MAX`]
/// bytes, and saves registers there before the function compares the limit. Below that is room for
/// helpers that run on the guest's stack, and for the kernel, when it interrupts or preempts the
/// guest.
const RESERVE: u64 = (FRAME_MAX + STACK_RED_ZONE) as u64 + QUICK_HELPERS;

/// Bytes of the guest's stack for helpers that run on it, and for the kernel. All tests of WASI
/// used 3,200 bytes, the guest's frames included.
const QUICK_HELPERS: u64 = 16 * 1024;

/// Bytes of a page of the kernel.
const KERNEL_PAGE: u64 = 4096;

impl GuestStack {
    /// Allocates a stack with at least `bytes` bytes for the guest.
    ///
    /// # Errors
    ///
    /// [`AllocError::Total`] if the limit on the memory of all engines is reached;
    /// [`AllocError::Memory`] if no memory is available.
    pub(crate) fn new(bytes: u64) -> Result<Self, AllocError> {
        let size = bytes.saturating_add(RESERVE).checked_next_multiple_of(KERNEL_PAGE).ok_or(AllocError::Memory)?;
        let size = usize::try_from(size).map_err(|_| AllocError::Memory)?;
        let start = KernelHost::new()
            .alloc_stack(size)
            .map_err(|fail| if fail == Fail::Errno(Errno::DQuot) { AllocError::Total } else { AllocError::Memory })?;
        // INVARIANT: The host has just allocated the stack with this size, for this instance's
        // account.
        Ok(Self { start, size })
    }

    /// The stack limit of the contract.
    pub(crate) fn limit(&self) -> u64 {
        (self.start.as_ptr().expose_provenance() as u64).saturating_add(RESERVE)
    }

    /// Returns the words on the stack of a guest that waits for the engine, its registers included.
    pub(crate) fn words<'a>(&'a self, instance: &HostInstance) -> impl Iterator<Item = u64> + use<'a> {
        let start = self.start.cast::<u64>();
        let used = usize::try_from(instance.private(Private::GuestStack)).unwrap_or(usize::MAX);
        let first = used.saturating_sub(start.as_ptr().expose_provenance()) / 8;
        // SAFETY: `read` requires an aligned pointer to an initialised word that nobody writes
        // meanwhile. By the type invariant there are `size` bytes at `start`, a multiple of the
        // page size; the host has zeroed them, and keeps them as long as the value that the
        // iterator borrows. The guest does not run.
        (first..self.size / 8).map(move |index| unsafe { start.as_ptr().wrapping_add(index).read() })
    }

    /// Prepares a call of function `index`, whose arguments are in the context.
    pub(crate) fn prepare(&mut self, code: &CompiledCode, index: u32, imported: u32, instance: &mut HostInstance) {
        let top = self.start.as_ptr().wrapping_add(self.size);
        let frame = frame(instance.context_address(), code.entry(index, imported) as u64);
        let pointer = top.cast::<Frame>().wrapping_sub(1);
        // SAFETY: By the type invariant this value owns `size` bytes at `start`, more than the
        // frame. Both are multiples of the page size, so the pointer is aligned. Nothing runs on
        // the stack now.
        unsafe { pointer.write(frame) };
        instance.set_private(Private::GuestStack, pointer.expose_provenance() as u64);
        // A call without a lookup before it, which only a mistake of the compiler makes, goes to
        // the engine.
        instance.set_private(Private::Target, code.entry(0, u32::MAX) as u64);
    }
}

/// Runs the guest on its stack until it makes a request; the helper that it waits for returns
/// `result`.
///
/// # Safety
///
/// - `context` must be the context of an instance that the caller does not use meanwhile, with the
///   stack that [`GuestStack::prepare`] prepared for it.
/// - [`Private::Guest`] of `context` must be 0, or the address of the instance's
///   `Guest<KernelHost>`, which the caller does not use meanwhile.
pub(crate) unsafe fn resume(context: *mut u64, result: u64) -> u64 {
    // SAFETY: The context's private words hold the guest's stack pointer, where
    // `GuestStack::prepare` or the guest's last switch has left what the routine restores. Compiled
    // code accesses the context, the guest's memories and its stack, and quick forms of helpers
    // the guest, all of which live and are used by nobody else until the routine returns, by this
    // function's safety requirement.
    unsafe { kwasmi_guest_resume(context, result) }
}

/// Returns the first result of the outermost function of `instance`, if the request with this number
/// tells that it has returned.
#[inline(always)]
pub(crate) fn returned(instance: &HostInstance, number: u64) -> Option<u64> {
    (number == DONE).then(|| instance.private(Private::argument(0)))
}

/// Returns the request of `instance` with this number.
pub(crate) fn request(instance: &HostInstance, number: u64) -> Request {
    let argument = |index: usize| instance.private(Private::argument(index));
    let args = || [argument(0), argument(1), argument(2), argument(3), argument(4)];
    match number {
        DONE => Request::Done(argument(0)),
        IMPORT => Request::Import(args()),
        number => match i32::try_from(number).ok().and_then(Helper::from_number) {
            Some(helper) => Request::Help(helper, args()),
            None => Request::Unknown,
        },
    }
}

const _: () = assert!(PRIVATE >= 10);
