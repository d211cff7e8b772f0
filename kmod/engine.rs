// SPDX-License-Identifier: GPL-2.0

//! The way into the engine object, see `engine/src/ffi.rs` and `engine/src/stack.rs`.

use crate::{
    counters,
    current_context::{
        self,
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
    limits::Chosen,
    log::LogBuffer,
    stack::Stack,
    uapi::KWASMI_LIMIT_TOTAL_RUNNING, //
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
        /// [`Status::Fault`], [`Status::NoMemory`], [`Status::Limited`] or [`Status::Killed`].
        status: Status,
        /// `KWASMI_LIMIT_*`, with [`Status::Limited`].
        limit: u32,
        /// In words.
        text: [u8; FAULT_TEXT_LEN],
        /// The bytes of `text` in use.
        len: usize,
    },
}

impl Failure {
    /// Writes the reason to `log`, and gives the error number for it. `limits` are those of the call.
    pub(crate) fn report(&self, log: &mut LogBuffer, limits: &Chosen) -> Error {
        match self {
            Self::Refused(error) if *error == EDQUOT => {
                log.reached(KWASMI_LIMIT_TOTAL_RUNNING, counters::most(current_context::most_running()));
                EDQUOT
            }
            Self::Refused(error) => *error,
            Self::Landed { status, limit, text, len } => {
                let text = crate::log::text(text.get(..*len).unwrap_or(&[]));
                match status {
                    Status::NoMemory => {
                        let _ = write!(log, "the engine ran out of memory: {text}");
                        ENOMEM
                    }
                    Status::Killed => EINTR,
                    Status::Limited => {
                        let _ = log.write_str(text);
                        log.reached(*limit, limits.get(*limit));
                        EDQUOT
                    }
                    _ => {
                        let _ = write!(log, "the engine failed: {text}");
                        EIO
                    }
                }
            }
        }
    }
}

/// The error number for an operation that came to `status` and did not land; `limit` is the one that it told.
pub(crate) fn refused(status: Status, limit: u32, log: &mut LogBuffer, limits: &Chosen) -> Error {
    match status {
        Status::NoMemory => ENOMEM,
        Status::Limited => {
            log.reached(limit, limits.get(limit));
            EDQUOT
        }
        _ => ENOEXEC,
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
    /// Opens an account that may hold as many bytes as `limits` say for `limit`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EDQUOT`.
    pub(crate) fn open(stack: &mut Stack, limit: u32, limits: &Chosen, log: &mut LogBuffer) -> Result<Self> {
        let mut args = AccountArgs {
            account: ptr::null_mut(),
            budget: usize::try_from(limits.get(limit))?,
            limit,
            heir: ptr::null_mut(),
            stats: AccountStats::default(),
        };
        // SAFETY: The argument is what the operation takes.
        match unsafe { enter(stack, None, ptr::null_mut(), EngineOp::AccountOpen, &mut args) } {
            Ok(Status::Ok) => {}
            Ok(status) => return Err(refused(status, args.limit, log, limits)),
            Err(failure) => return Err(failure.report(log, limits)),
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
            limit: 0,
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
    let account = account.map_or(ptr::null_mut(), |account| account.account.as_ptr());
    let mut context = Context::new(stack_top, account, host);
    let purpose = match op {
        EngineOp::AccountOpen | EngineOp::Load | EngineOp::Start | EngineOp::Run => Purpose::Work,
        _ => Purpose::CleanUp,
    };
    let stay = Stay::begin(NonNull::from(&mut context), purpose).map_err(Failure::Refused)?;
    // SAFETY: The stack is ours, aligned, and nobody runs on it; the caller guarantees the rest.
    let status = unsafe { kwasmi_stack_enter(op as u32, ptr::from_mut(args).cast(), stack_top) };
    drop(stay);
    let status = Status::from_raw(status);
    if !context.landed {
        return Ok(status);
    }
    let Context { limit, fault_text: text, fault_len: len, .. } = context;
    Err(Failure::Landed { status, limit, text, len })
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

    /// How much of it is in use, and was at most.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EDQUOT`.
    pub(crate) fn usage() -> Result<ReserveArgs> {
        let mut stack = Stack::new()?;
        let mut args = ReserveArgs::default();
        // SAFETY: The argument is what the operation takes.
        match unsafe { enter(&mut stack, None, ptr::null_mut(), EngineOp::Reserve, &mut args) } {
            Ok(Status::Ok) => Ok(args),
            Err(Failure::Refused(error)) => Err(error),
            _ => Err(EIO),
        }
    }
}
