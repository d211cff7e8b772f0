// SPDX-License-Identifier: GPL-2.0

//! Validated and translated code of a module.

pub(crate) mod cache;

use crate::{
    counters,
    engine::{
        self,
        stack::Stack,
        Account,
        Failure, //
    },
    ffi::{
        Bytes,
        Engine,
        EngineOp,
        FunctionArgs,
        LoadArgs,
        ModuleLimits,
        NotCompiled,
        NumberTypes,
        StartArgs,
        Status,
        REASON_LEN, //
    },
    host::{
        Files,
        Host,
        Resident, //
    },
    jit::Programs,
    limits::{
        self,
        CallLimits, //
    },
    log::LogBuffer,
    signing::envelope::Envelope,
    uapi::{
        KWASMI_LIMIT_ARITY,
        KWASMI_LIMIT_CODE,
        KWASMI_LIMIT_CPU_TIME,
        KWASMI_LIMIT_DATA_SEGMENTS,
        KWASMI_LIMIT_ELEMENT_SEGMENTS,
        KWASMI_LIMIT_FUNCTIONS,
        KWASMI_LIMIT_FUNCTION_SIZE,
        KWASMI_LIMIT_GLOBALS,
        KWASMI_LIMIT_LOCALS,
        KWASMI_LIMIT_STACK,
        KWASMI_LIMIT_TIME, //
    },
    watch::ModuleCounters, //
};
use core::{
    ffi::c_void,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    }, //
};

/// Limits and choices that determine the result of a translation. They are part of the key of the
/// code cache.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CodeLimits {
    module: ModuleLimits,
    code: u64,
    compile: bool,
}

impl CodeLimits {
    /// Returns the part of `limits` that determines a translation, which compiles if `compile` is
    /// set.
    pub(crate) fn new(limits: &CallLimits, compile: bool) -> Self {
        Self {
            compile,
            module: ModuleLimits {
                functions: limits.get(KWASMI_LIMIT_FUNCTIONS),
                function_size: limits.get(KWASMI_LIMIT_FUNCTION_SIZE),
                locals: limits.get(KWASMI_LIMIT_LOCALS),
                arity: limits.get(KWASMI_LIMIT_ARITY),
                globals: limits.get(KWASMI_LIMIT_GLOBALS),
                data_segments: limits.get(KWASMI_LIMIT_DATA_SEGMENTS),
                element_segments: limits.get(KWASMI_LIMIT_ELEMENT_SEGMENTS),
                stack: limits.get(KWASMI_LIMIT_STACK),
            },
            code: limits.get(KWASMI_LIMIT_CODE),
        }
    }
}

/// Translated code. It exists until the last module that uses it is dropped; instances keep their
/// module alive.
///
/// # Invariants
///
/// `object` is null, or a module of the engine that was allocated on the account in `resources`.
#[pin_data(PinnedDrop)]
pub(crate) struct Code {
    object: Atomic<*mut c_void>,
    /// Set after the engine failed in an instance: objects that the instances share may be
    /// inconsistent.
    poisoned: Atomic<bool>,
    /// Set if it is machine code, not code for the interpreter.
    compiled: Atomic<bool>,
    /// Limit of the Wasm stack of each instance, in bytes.
    stack_max: u64,
    /// Counters of the instances of all modules that share the code.
    counters: ModuleCounters,
    /// State that entering the engine for this code requires.
    #[pin]
    resources: Mutex<CodeResources>,
}

struct CodeResources {
    stack: Stack,
    /// Heap account of the translated module; `None` before the load and after the drop.
    account: Option<Account>,
    /// Text that tells why compiling failed; empty if it did not.
    reason: KVVec<u8>,
    /// Machine code of the module, if it was compiled.
    programs: Option<Arc<Programs>>,
    /// Memory of `account` and `programs`, accounted to the process that loaded the code.
    resident: Resident,
}

// SAFETY: A module of the engine may be used by any task.
unsafe impl Send for Code {}
// SAFETY: A module of the engine may be used by several tasks at once: it is immutable after the
// load.
unsafe impl Sync for Code {}

impl Code {
    /// Validates and translates the module in `envelope` within `limits`. Makes machine code if
    /// possible, unless `not_compiled` is a reason not to.
    ///
    /// # Errors
    ///
    /// `ENOEXEC` if the module is not valid or not covered by its manifest; `EDQUOT` if a limit is
    /// exceeded; `ENOMEM`; `EINTR` if a fatal signal is pending; `EIO` if the engine failed. `log`
    /// gets the reason.
    pub(crate) fn load(
        envelope: &Envelope<'_>,
        limits: &CallLimits,
        not_compiled: Option<NotCompiled>,
        log: &mut LogBuffer,
    ) -> Result<Arc<Self>> {
        let stack = Stack::new()?;
        // INVARIANT: `object` is null. From here on, the drop of `this` cleans up.
        let this = Arc::pin_init(
            pin_init!(Self {
                object: Atomic::new(ptr::null_mut()),
                poisoned: Atomic::new(false),
                compiled: Atomic::new(false),
                stack_max: limits.get(KWASMI_LIMIT_STACK),
                counters: ModuleCounters::new(),
                resources <- new_mutex!(
                    CodeResources { stack, account: None, reason: KVVec::new(), programs: None, resident: Resident::new() },
                    "kwasmi::Code::resources"
                ),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let (object, is_compiled) =
            this.resources
                .lock()
                .load(envelope, limits, not_compiled, log)?;
        this.compiled.store(is_compiled, Relaxed);
        // INVARIANT: The engine just loaded `object`, on the account in `resources`.
        this.object.store(object.as_ptr(), Relaxed);
        Ok(this)
    }

    /// Returns the limit of the Wasm stack of each instance, in bytes.
    pub(crate) fn stack_max(&self) -> u64 {
        self.stack_max
    }

    /// Returns the counters of the instances of all modules that share the code.
    pub(crate) fn counters(&self) -> &ModuleCounters {
        &self.counters
    }

    /// Marks the code as unusable: no instance of it may be started any more.
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Relaxed);
    }

    /// Returns true if the code is marked as unusable.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Relaxed)
    }

    /// Returns true if it is machine code.
    pub(crate) fn is_compiled(&self) -> bool {
        self.compiled.load(Relaxed)
    }

    /// Calls `read` with the text that tells why compiling failed, which is empty if it did not.
    pub(crate) fn with_reason<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        read(&self.resources.lock().reason)
    }

    /// Returns the machine code, if there is any.
    pub(crate) fn programs(&self) -> Option<Arc<Programs>> {
        self.resources.lock().programs.clone()
    }

    /// Creates an instance, on the stack and the account of the instance.
    ///
    /// # Safety
    ///
    /// - `args` must be filled in except for `module`; all addresses in it must stay valid during
    ///   the call.
    /// - `host` must be null or point to a live [`crate::host::Host`] that nothing else uses during
    ///   the call.
    pub(crate) unsafe fn instantiate(
        &self,
        stack: &mut Stack,
        account: &Account,
        host: *mut c_void,
        args: &mut StartArgs,
    ) -> Result<Status, Failure> {
        args.module = self.object.load(Relaxed);
        // SAFETY: `engine::enter` requires the arguments of the operation, which are `StartArgs`
        // for `Start`: `args` and `host` are valid by this function's safety requirements. By the
        // type invariant `args.module` is a live module, which `Start` does not change.
        unsafe { engine::enter(stack, Some(account), host, EngineOp::Start, args) }
    }

    /// Looks up an exported function. Returns its number and the types of its parameters and
    /// results.
    ///
    /// # Errors
    ///
    /// `ENOENT`, `EINVAL`, `E2BIG`, `EOPNOTSUPP` and `ENOMEM` as documented for
    /// `KWASMI_IOC_FUNCTION`; `log` gets the reason.
    pub(crate) fn function(
        &self,
        name: &[u8],
        log: &mut LogBuffer,
    ) -> Result<(u32, NumberTypes, NumberTypes)> {
        let mut stack = Stack::new()?;
        let limits = CallLimits::from_user(0, 0, log)?;
        let account = Account::open(&mut stack, KWASMI_LIMIT_CODE, &limits, log)?;
        let mut args = FunctionArgs {
            module: self.object.load(Relaxed),
            name: Bytes::new(name),
            function: 0,
            params: NumberTypes::default(),
            results: NumberTypes::default(),
            log: ptr::null_mut(),
        };
        let outcome = log.lend(|log| {
            args.log = log;
            // SAFETY: `engine::enter` requires the arguments of the operation, which are
            // `FunctionArgs` for `Function`, and accepts a null host. By the type invariant
            // `args.module` is a live module, which `Function` does not change. `name` and `log`
            // outlive the call.
            unsafe {
                engine::enter(
                    &mut stack,
                    Some(&account),
                    ptr::null_mut(),
                    EngineOp::Function,
                    &mut args,
                )
            }
        });
        // SAFETY: `Account::reclaim` requires that nothing uses memory of the account any more. The
        // operation returns numbers only.
        unsafe { account.reclaim(&mut stack) };
        match outcome {
            Ok(Status::Ok) => Ok((args.function, args.params, args.results)),
            Ok(Status::NoFunction) => Err(ENOENT),
            Ok(Status::Argument) => Err(EINVAL),
            Ok(Status::Unsupported) => Err(EOPNOTSUPP),
            Ok(Status::TooBig) => Err(E2BIG),
            Ok(_) => Err(ENOMEM),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::Aborted {
                status: Status::NoMemory,
                ..
            }) => Err(ENOMEM),
            Err(Failure::Aborted { .. }) => {
                self.poison();
                Err(EIO)
            }
        }
    }

    /// Closes the account of an instance that was dropped. Blocks that remain move to the account
    /// of the code. Returns the peak in bytes.
    pub(crate) fn settle(&self, stack: &mut Stack, account: Account) -> usize {
        match &self.resources.lock().account {
            Some(own) => account.settle(stack, own),
            // SAFETY: `reclaim` requires that nothing uses memory of the account any more; the
            // instance was dropped. This arm is never reached: the code has an account until it is
            // dropped, and an instance keeps it alive.
            None => unsafe { account.reclaim(stack) },
        }
    }

    /// Frees an instance: drops `object`, unless it is abandoned and may be inconsistent, and
    /// closes `account`. This happens on `stack`, that of the instance. An instance that rests has
    /// none; the stack of the code is used then, so that freeing needs no memory. Returns the peak
    /// in bytes.
    ///
    /// # Safety
    ///
    /// `account` must be that of an instance, and `object` this instance, if it is given. Nothing
    /// may use the instance during the call or after it.
    pub(crate) unsafe fn free_instance(
        &self,
        stack: Option<&mut Stack>,
        account: Account,
        object: Option<NonNull<c_void>>,
    ) -> usize {
        let drop_on = |stack: &mut Stack| match object {
            // SAFETY: `engine::drop_object` requires a live instance that nothing uses, which this
            // function's safety requirement ensures.
            Some(object) => unsafe {
                engine::drop_object(stack, &account, EngineOp::Drop, object).is_ok()
            },
            None => false,
        };
        let close = |is_dropped, stack: &mut Stack, account: Account, own: Option<&Account>| {
            match own {
                Some(own) if is_dropped => account.settle(stack, own),
                _ => {
                    if object.is_some() {
                        self.poison();
                    }
                    // SAFETY: `reclaim` requires that nothing uses memory of the account any more,
                    // which this function's safety requirement ensures.
                    unsafe { account.reclaim(stack) }
                }
            }
        };
        match stack {
            Some(stack) => {
                let is_dropped = drop_on(stack);
                close(
                    is_dropped,
                    stack,
                    account,
                    self.resources.lock().account.as_ref(),
                )
            }
            None => {
                let mut resources = self.resources.lock();
                let CodeResources {
                    stack,
                    account: own,
                    ..
                } = &mut *resources;
                let is_dropped = drop_on(stack);
                close(is_dropped, stack, account, own.as_ref())
            }
        }
    }
}

impl CodeResources {
    /// Loads the module in the engine.
    fn load(
        &mut self,
        envelope: &Envelope<'_>,
        limits: &CallLimits,
        not_compiled: Option<NotCompiled>,
        log: &mut LogBuffer,
    ) -> Result<(NonNull<c_void>, bool)> {
        let account = Account::open(&mut self.stack, KWASMI_LIMIT_CODE, limits, log)?;
        let account = self.account.insert(account);
        let mut host = Host::new(Files::new());
        host.set_time(limits.get(KWASMI_LIMIT_TIME));
        host.cpu_max = limits.get(KWASMI_LIMIT_CPU_TIME);
        host.begin();
        let mut args = LoadArgs {
            wasm: Bytes::new(envelope.signed),
            manifest: Bytes::new(envelope.manifest.unwrap_or_default()),
            limits: CodeLimits::new(limits, not_compiled.is_none()).module,
            fault_injection: limits::has_fault_injection(),
            not_compiled: not_compiled.map_or(0, |reason| reason as u32),
            has_masks: limits::has_speculation_masks(),
            engine: 0,
            reason_len: 0,
            reason: [0; REASON_LEN],
            limit: 0,
            log: ptr::null_mut(),
            module: ptr::null_mut(),
        };
        let stack = &mut self.stack;
        let outcome = log.lend(|log| {
            args.log = log;
            let host = ptr::from_mut(&mut host).cast();
            // SAFETY: `engine::enter` requires the arguments of the operation, which are `LoadArgs`
            // for `Load`, with addresses that stay valid during the call: `envelope` and `log`
            // outlive it. `host` is a local variable that nothing else uses.
            unsafe { engine::enter(stack, Some(account), host, EngineOp::Load, &mut args) }
        });
        self.programs = host.take_programs();
        self.resident = host.take_resident();
        if args.engine == Engine::Unsafe as u32 {
            counters::UNSAFE.add(1);
            kernel::pr_warn_once!("the checker refused compiled code; the module is interpreted\n");
        }
        match (outcome, NonNull::new(args.module)) {
            (Ok(Status::Ok), Some(object)) => {
                let text = args
                    .reason
                    .get(..args.reason_len as usize)
                    .unwrap_or_default();
                self.reason.extend_from_slice(text, GFP_KERNEL_ACCOUNT)?;
                Ok((object, args.engine == Engine::Compiler as u32))
            }
            (Ok(status), _) => Err(engine::refused(status, args.limit, log, limits)),
            (Err(failure), _) => Err(failure.report(log, limits)),
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Code {
    fn drop(self: Pin<&mut Self>) {
        let mut resources = self.resources.lock();
        let Some(account) = resources.account.take() else {
            return;
        };
        let stack = &mut resources.stack;
        match NonNull::new(self.object.load(Relaxed)) {
            Some(object) if !self.is_poisoned() => {
                // SAFETY: `drop_object` requires a live module that nothing uses. By the type
                // invariant `object` is one, and the last reference to `self` is being dropped. If
                // the engine aborts here, `reclaim` frees the rest.
                let _ = unsafe { engine::drop_object(stack, &account, EngineOp::Unload, object) };
            }
            _ => {}
        }
        // SAFETY: `reclaim` requires that nothing uses memory of the account any more: the module
        // was dropped, or is never used again.
        unsafe { account.reclaim(stack) };
        // Only objects of the engine that no longer exist have its addresses.
        resources.programs = None;
        resources.resident.clear();
    }
}
