// SPDX-License-Identifier: GPL-2.0

//! Entry into the engine object; see `engine/src/ffi.rs` for its ABI and `engine/src/arch/` for
//! the switch of stacks.

pub(crate) mod context_table;
pub(crate) mod stack;

use crate::{
    counters,
    ffi::{
        AccountArgs,
        AccountCounters,
        AccountStats,
        Context,
        EngineOp,
        InitArgs,
        ObjectArgs,
        ReserveArgs,
        Status,
        FAULT_TEXT_LEN, //
    },
    limits::CallLimits,
    log::LogBuffer,
    uapi::KWASMI_LIMIT_TOTAL_RUNNING, //
};
use context_table::{
    EntryGuard,
    Purpose, //
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
    error::code::EOPNOTSUPP,
    prelude::*, //
};
use stack::Stack;

extern "C" {
    fn kwasmi_stack_enter(op: u32, args: *mut c_void, stack_top: *mut usize) -> i32;
}

/// Reason why an operation of the engine failed.
pub(crate) enum Failure {
    /// The engine was not entered.
    Refused(Error),
    /// The engine aborted: it stopped in the middle of the operation, and no object of its account
    /// may be used.
    Aborted {
        /// [`Status::Fault`], [`Status::NoMemory`], [`Status::Limited`] or [`Status::Killed`].
        status: Status,
        /// `KWASMI_LIMIT_*`, if `status` is [`Status::Limited`].
        limit: u32,
        /// Text that explains the failure.
        text: [u8; FAULT_TEXT_LEN],
        /// Number of bytes of `text` in use.
        len: usize,
    },
}

impl Failure {
    /// Writes the reason to `log` and returns the error number. `limits` are the limits of the
    /// call.
    pub(crate) fn report(&self, log: &mut LogBuffer, limits: &CallLimits) -> Error {
        match self {
            Self::Refused(error) if *error == EDQUOT => {
                log.reached(
                    KWASMI_LIMIT_TOTAL_RUNNING,
                    counters::most(context_table::most_running()),
                );
                EDQUOT
            }
            Self::Refused(error) => *error,
            Self::Aborted {
                status,
                limit,
                text,
                len,
            } => {
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

/// Returns the error number of an operation that returned `status` without an abort. `limit` is the
/// `KWASMI_LIMIT_*` that the engine reported.
pub(crate) fn refused(
    status: Status,
    limit: u32,
    log: &mut LogBuffer,
    limits: &CallLimits,
) -> Error {
    match status {
        Status::NoMemory => ENOMEM,
        Status::Limited => {
            log.reached(limit, limits.get(limit));
            EDQUOT
        }
        Status::NoFunction => ENOENT,
        Status::Argument => EINVAL,
        Status::Unsupported => EOPNOTSUPP,
        Status::TooBig => E2BIG,
        _ => ENOEXEC,
    }
}

/// Result of an operation of the engine.
type Outcome = Result<Status, Failure>;

/// Heap account of one module or instance.
///
/// # Invariants
///
/// `account` is an open account of the engine, and `counters` its counters.
pub(crate) struct Account {
    account: NonNull<c_void>,
    counters: NonNull<AccountCounters>,
}

// SAFETY: An account may be used by any task: the engine protects its list with a lock and uses
// atomic counters.
unsafe impl Send for Account {}
// SAFETY: An account may be used by several tasks at once: the engine protects its list with a lock
// and uses atomic counters.
unsafe impl Sync for Account {}

impl Account {
    /// Opens an account. Its budget is the value of `limit` in `limits`, in bytes.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EDQUOT` if a limit is reached, with the limit in `log`; `EINTR` or `EIO` if the
    /// engine aborted.
    pub(crate) fn open(
        stack: &mut Stack,
        limit: u32,
        limits: &CallLimits,
        log: &mut LogBuffer,
    ) -> Result<Self> {
        let mut args = AccountArgs {
            account: ptr::null_mut(),
            budget: usize::try_from(limits.get(limit))?,
            limit,
            counters: ptr::null(),
            parent: ptr::null_mut(),
            stats: AccountStats::default(),
        };
        // SAFETY: `enter` requires the arguments of the operation, which are `AccountArgs` for
        // `AccountOpen`, and accepts a null host.
        match unsafe {
            enter(
                stack,
                None,
                ptr::null_mut(),
                EngineOp::AccountOpen,
                &mut args,
            )
        } {
            Ok(Status::Ok) => {}
            Ok(status) => return Err(refused(status, args.limit, log, limits)),
            Err(failure) => return Err(failure.report(log, limits)),
        }
        // INVARIANT: The engine just opened the account.
        Ok(Self {
            account: NonNull::new(args.account).ok_or(ENOMEM)?,
            counters: NonNull::new(args.counters.cast_mut()).ok_or(ENOMEM)?,
        })
    }

    /// Returns the counters of the account, which are valid until it is closed.
    pub(crate) fn counters(&self) -> NonNull<AccountCounters> {
        self.counters
    }

    /// Closes the account and frees the memory that it still holds. Returns the peak in bytes.
    ///
    /// # Safety
    ///
    /// Nothing may use memory that was allocated on the account any more.
    pub(crate) unsafe fn reclaim(self, stack: &mut Stack) -> usize {
        let stats = self.close(stack, None);
        counters::RECLAIMED_BYTES.add(stats.used);
        stats.peak
    }

    /// Closes the account after its objects were dropped. Blocks that remain move to `parent`.
    /// Returns the peak in bytes.
    pub(crate) fn settle(self, stack: &mut Stack, parent: &Account) -> usize {
        self.close(stack, Some(parent)).peak
    }

    fn close(self, stack: &mut Stack, parent: Option<&Account>) -> AccountStats {
        let mut args = AccountArgs {
            account: self.account.as_ptr(),
            budget: 0,
            limit: 0,
            counters: ptr::null(),
            parent: parent.map_or(ptr::null_mut(), |parent| parent.account.as_ptr()),
            stats: AccountStats::default(),
        };
        // SAFETY: `enter` requires the arguments of the operation, which are `AccountArgs` of an
        // open account for `AccountClose`. By the type invariant the account is open; `self` is
        // consumed, so it is not used again.
        let outcome = unsafe {
            enter(
                stack,
                None,
                ptr::null_mut(),
                EngineOp::AccountClose,
                &mut args,
            )
        };
        if !matches!(outcome, Ok(Status::Ok)) {
            // The blocks of the account leak: log that once.
            kernel::pr_warn_once!("a heap account could not be closed\n");
        }
        args.stats
    }
}

/// Runs the operation `op` of the engine on `stack`. Allocations are charged to `account`. Host
/// calls get `host`.
///
/// # Safety
///
/// - `args` must be the argument type of `op`, filled in as `ffi::EngineOp` documents; all
///   addresses in it must stay valid during the call.
/// - Objects in `args` must be alive. Nothing else may use an object that `op` changes.
/// - `host` must be null or point to a live [`crate::host::Host`] that nothing else uses during the
///   call.
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
    let guard =
        EntryGuard::begin(NonNull::from(&mut context), purpose).map_err(Failure::Refused)?;
    // SAFETY: `kwasmi_stack_enter` requires the top of a stack that is not in use, aligned to 16
    // bytes: `stack` is borrowed exclusively, and `Stack::top` aligns. `args` and `host` are valid
    // by this function's safety requirements. `guard` makes `context` known to the engine.
    let status = unsafe { kwasmi_stack_enter(op as u32, ptr::from_mut(args).cast(), stack_top) };
    drop(guard);
    let status = Status::from_raw(status);
    match context.fault_text() {
        None => Ok(status),
        Some(text) => Err(Failure::Aborted {
            status,
            limit: context.limit,
            text: *text,
            len: context.fault_len,
        }),
    }
}

/// Drops a module or an instance of the engine.
///
/// # Safety
///
/// - `op` must be [`EngineOp::Unload`] and `object` a live module, or [`EngineOp::Drop`] and
///   `object` a live instance.
/// - Nothing may use `object` during the call or after it.
pub(crate) unsafe fn drop_object(
    stack: &mut Stack,
    account: &Account,
    op: EngineOp,
    object: NonNull<c_void>,
) -> Outcome {
    let mut args = ObjectArgs {
        object: object.as_ptr(),
    };
    // SAFETY: `enter` requires the arguments of the operation, which are `ObjectArgs` with a live
    // object of the kind of `op` that nothing else uses, by this function's safety requirements. It
    // accepts a null host.
    unsafe { enter(stack, Some(account), ptr::null_mut(), op, &mut args) }
}

/// Lets an instance rest: see [`EngineOp::Rest`].
///
/// # Safety
///
/// `object` must be a live instance that nothing uses during the call.
pub(crate) unsafe fn rest(
    stack: &mut Stack,
    account: &Account,
    object: NonNull<c_void>,
) -> Outcome {
    let mut args = ObjectArgs {
        object: object.as_ptr(),
    };
    // SAFETY: `enter` requires the arguments of the operation, which are `ObjectArgs` with a live
    // instance that nothing else uses, by this function's safety requirement. It accepts a null
    // host.
    unsafe {
        enter(
            stack,
            Some(account),
            ptr::null_mut(),
            EngineOp::Rest,
            &mut args,
        )
    }
}

/// Memory that serves small allocations when no other memory is available.
pub(crate) struct Reserve {
    _memory: Vec<u8, Vmalloc>,
}

impl Reserve {
    /// Allocates a reserve of `len` bytes and initialises the engine with it. Must be called once,
    /// before any other operation of the engine.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the reserve or a stack cannot be allocated, or if the engine fails.
    pub(crate) fn new(len: usize) -> Result<Self> {
        let mut memory = Vec::<u8, Vmalloc>::with_capacity(len, GFP_KERNEL | flags::__GFP_ZERO)?;
        let mut args = InitArgs {
            reserve: memory.as_mut_ptr(),
            reserve_len: len,
        };
        let mut stack = Stack::new()?;
        // SAFETY: `enter` requires the arguments of the operation, which are `InitArgs` for `Init`,
        // and accepts a null host. The engine keeps the address of the reserve; the returned value
        // owns the memory, and is dropped when the module is unloaded.
        match unsafe { enter(&mut stack, None, ptr::null_mut(), EngineOp::Init, &mut args) } {
            Ok(Status::Ok) => Ok(Self { _memory: memory }),
            _ => Err(ENOMEM),
        }
    }

    /// Returns the current and the peak usage of the reserve.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if a stack cannot be allocated; `EIO` if the engine fails.
    pub(crate) fn usage() -> Result<ReserveArgs> {
        let mut stack = Stack::new()?;
        let mut args = ReserveArgs::default();
        // SAFETY: `enter` requires the arguments of the operation, which are `ReserveArgs` for
        // `Reserve`, and accepts a null host.
        match unsafe {
            enter(
                &mut stack,
                None,
                ptr::null_mut(),
                EngineOp::Reserve,
                &mut args,
            )
        } {
            Ok(Status::Ok) => Ok(args),
            Err(Failure::Refused(error)) => Err(error),
            _ => Err(EIO),
        }
    }
}
