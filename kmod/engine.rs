// SPDX-License-Identifier: GPL-2.0

//! The way into the engine object, see `engine/src/ffi.rs` and `engine/src/stack.rs`.

use crate::{
    counters,
    current_context::{
        Purpose,
        Stay, //
    },
    ffi::{
        AccountArgs,
        AccountStats,
        Context,
        EngineOp,
        InitArgs,
        ObjectArgs,
        ReserveArgs,
        Status,
        FAULT_TEXT_LEN, //
    },
    log::LogBuffer,
    stack::Stack, //
};
use core::{
    ffi::c_void,
    fmt::Write,
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
    prelude::*, //
};

extern "C" {
    fn kwasmi_stack_enter(op: u32, args: *mut c_void, stack_top: *mut usize) -> i32;
}

/// Why an operation did not happen.
pub(crate) enum Failure {
    /// The engine was not entered.
    Refused(Error),
    /// The engine failed in the middle of it: nothing of its account can be used any more.
    Landed {
        /// [`Status::Fault`] or [`Status::NoMemory`].
        status: Status,
        /// In words.
        text: [u8; FAULT_TEXT_LEN],
        /// The bytes of `text` in use.
        len: usize,
    },
}

impl Failure {
    /// Writes the reason to `log`, and gives the error number for it.
    pub(crate) fn report(&self, log: &mut LogBuffer) -> Error {
        match self {
            Self::Refused(error) => *error,
            Self::Landed { status, text, len } => {
                let text = crate::log::text(text.get(..*len).unwrap_or(&[]));
                if *status == Status::NoMemory {
                    let _ = write!(log, "the engine ran out of memory: {text}");
                    ENOMEM
                } else {
                    let _ = write!(log, "the engine failed: {text}");
                    EIO
                }
            }
        }
    }
}

/// What an operation came to.
type Outcome = Result<Status, Failure>;

/// The heap account of one module or instance.
///
/// # Invariants
///
/// `account` is open.
pub(crate) struct Account {
    account: NonNull<c_void>,
}

// SAFETY: The engine guards an account's list with a lock of its own, and counts with atomics.
unsafe impl Send for Account {}
// SAFETY: As above.
unsafe impl Sync for Account {}

impl Account {
    /// Opens an account that may hold `budget` bytes.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EAGAIN`.
    pub(crate) fn open(stack: &mut Stack, budget: usize) -> Result<Self> {
        let mut args =
            AccountArgs { account: ptr::null_mut(), budget, heir: ptr::null_mut(), stats: AccountStats::default() };
        // SAFETY: The argument is what the operation takes.
        match unsafe { enter(stack, None, ptr::null_mut(), EngineOp::AccountOpen, &mut args) } {
            Ok(Status::Ok) => {}
            Err(Failure::Refused(error)) => return Err(error),
            _ => return Err(ENOMEM),
        }
        // INVARIANT: It was just opened.
        Ok(Self { account: NonNull::new(args.account).ok_or(ENOMEM)? })
    }

    /// Closes it, and frees what it still holds: for when the engine failed. Returns the peak in bytes.
    ///
    /// # Safety
    ///
    /// Nobody uses anything that was allocated on it any more.
    pub(crate) unsafe fn reclaim(self, stack: &mut Stack) -> usize {
        let stats = self.close(stack, None);
        counters::RECLAIMED_BYTES.add(stats.used);
        stats.peak
    }

    /// Closes it after all of its objects are gone; `heir` gets what they left behind. Returns the peak in bytes.
    pub(crate) fn settle(self, stack: &mut Stack, heir: &Account) -> usize {
        self.close(stack, Some(heir)).peak
    }

    fn close(self, stack: &mut Stack, heir: Option<&Account>) -> AccountStats {
        let mut args = AccountArgs {
            account: self.account.as_ptr(),
            budget: 0,
            heir: heir.map_or(ptr::null_mut(), |heir| heir.account.as_ptr()),
            stats: AccountStats::default(),
        };
        // SAFETY: The argument is what the operation takes; the account is open, and is given up.
        let outcome = unsafe { enter(stack, None, ptr::null_mut(), EngineOp::AccountClose, &mut args) };
        if !matches!(outcome, Ok(Status::Ok)) {
            // Its blocks are lost, which is worth saying, once.
            kernel::pr_warn_once!("a heap account could not be closed\n");
        }
        args.stats
    }
}

/// Does `op` in the engine: on `stack`, charged to `account`, with `host` handed back in host calls.
///
/// # Safety
///
/// `args` is what `op` takes, filled in; objects in it are alive, and used by nobody else where `op` changes them. `host`
/// is null, or what [`crate::host`] expects.
pub(crate) unsafe fn enter<A>(
    stack: &mut Stack,
    account: Option<&Account>,
    host: *mut c_void,
    op: EngineOp,
    args: &mut A,
) -> Outcome {
    let stack_top = stack.top();
    let mut context = Context {
        stack_top,
        account: account.map_or(ptr::null_mut(), |account| account.account.as_ptr()),
        host,
        fault_len: 0,
        fault_text: [0; FAULT_TEXT_LEN],
    };
    let purpose = match op {
        EngineOp::AccountClose | EngineOp::Drop | EngineOp::Unload => Purpose::CleanUp,
        _ => Purpose::Work,
    };
    let stay = Stay::begin(NonNull::from(&mut context), purpose).map_err(Failure::Refused)?;
    // SAFETY: The stack is ours, aligned, and nobody runs on it; the caller guarantees the rest.
    let status = unsafe { kwasmi_stack_enter(op as u32, ptr::from_mut(args).cast(), stack_top) };
    drop(stay);
    if context.fault_len == 0 {
        return Ok(Status::from_raw(status));
    }
    Err(Failure::Landed { status: Status::from_raw(status), text: context.fault_text, len: context.fault_len })
}

/// Drops a module or an instance.
///
/// # Safety
///
/// `op` is [`EngineOp::Unload`] or [`EngineOp::Drop`], `object` is alive and of that kind, and used by nobody.
pub(crate) unsafe fn drop_object(
    stack: &mut Stack,
    account: &Account,
    op: EngineOp,
    object: NonNull<c_void>,
) -> Outcome {
    let mut args = ObjectArgs { object: object.as_ptr() };
    // SAFETY: The argument is what the operation takes, and the caller guarantees the rest.
    unsafe { enter(stack, Some(account), ptr::null_mut(), op, &mut args) }
}

/// The memory that serves small allocations when there is no other.
pub(crate) struct Reserve {
    _memory: Vec<u8, Vmalloc>,
}

impl Reserve {
    /// Sets `len` bytes aside. Called once, before the engine is used.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(len: usize) -> Result<Self> {
        let mut memory = Vec::<u8, Vmalloc>::with_capacity(len, GFP_KERNEL | flags::__GFP_ZERO)?;
        let mut args = InitArgs { reserve: memory.as_mut_ptr(), reserve_len: len };
        let mut stack = Stack::new()?;
        // SAFETY: The argument is what the operation takes; the memory stays until the module is unloaded.
        match unsafe { enter(&mut stack, None, ptr::null_mut(), EngineOp::Init, &mut args) } {
            Ok(Status::Ok) => Ok(Self { _memory: memory }),
            _ => Err(ENOMEM),
        }
    }

    /// The most bytes of it that were ever in use.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EAGAIN`.
    pub(crate) fn peak() -> Result<usize> {
        let mut stack = Stack::new()?;
        let mut args = ReserveArgs::default();
        // SAFETY: The argument is what the operation takes.
        match unsafe { enter(&mut stack, None, ptr::null_mut(), EngineOp::Reserve, &mut args) } {
            Ok(Status::Ok) => Ok(args.peak),
            Err(Failure::Refused(error)) => Err(error),
            _ => Err(EIO),
        }
    }
}
