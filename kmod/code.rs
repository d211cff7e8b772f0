// SPDX-License-Identifier: GPL-2.0

//! Validated and translated code.

use crate::{
    counters,
    engine::{
        self,
        Account,
        Failure, //
    },
    ffi::{
        Bytes,
        Engine,
        EngineOp,
        LoadArgs,
        ModuleLimits,
        StartArgs,
        Status, //
    },
    host::{
        Files,
        Host,
        Resident, //
    },
    limits::{
        self,
        Chosen, //
    },
    log::LogBuffer,
    signing::envelope::Envelope,
    stack::Stack,
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

/// What makes code another one, or refused, if it is loaded from the same bytes: what the engine is told, and the most that it may
/// take.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CodeLimits {
    module: ModuleLimits,
    code: u64,
}

impl From<&Chosen> for CodeLimits {
    fn from(limits: &Chosen) -> Self {
        Self {
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

/// Code. It lives until the modules that have it are gone, and their instances.
///
/// # Invariants
///
/// `object` is null, or a module of the engine that was allocated on the account in `stay`.
#[pin_data(PinnedDrop)]
pub(crate) struct Code {
    object: Atomic<*mut c_void>,
    /// Set when the engine failed in one of its instances: what they share may not be in a known state.
    poisoned: Atomic<bool>,
    /// Bytes of the Wasm stack of each instance.
    stack_max: u64,
    /// What is needed to enter the engine for it.
    #[pin]
    stay: Mutex<Stay>,
}

struct Stay {
    stack: Stack,
    /// There until the code is dropped.
    account: Option<Account>,
    /// The memory on `account`, counted for the process that caused the translation.
    resident: Resident,
}

// SAFETY: The engine's module may be used by any task, and by several at once: it does not change.
unsafe impl Send for Code {}
// SAFETY: As above.
unsafe impl Sync for Code {}

impl Code {
    /// Validates and translates what is in `envelope`, within `limits`.
    ///
    /// # Errors
    ///
    /// `ENOEXEC`, `EDQUOT`, `ENOMEM`, `EINTR`, `EIO`, with words in `log`.
    pub(crate) fn load(envelope: &Envelope<'_>, limits: &Chosen, log: &mut LogBuffer) -> Result<Arc<Self>> {
        let stack = Stack::new()?;
        // INVARIANT: There is no object yet. From here on, `drop` cleans up.
        let this = Arc::pin_init(
            pin_init!(Self {
                object: Atomic::new(ptr::null_mut()),
                poisoned: Atomic::new(false),
                stack_max: limits.get(KWASMI_LIMIT_STACK),
                stay <- new_mutex!(Stay { stack, account: None, resident: Resident::new() }, "kwasmi::Code::stay"),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let object = this.stay.lock().load(envelope, limits, log)?;
        // INVARIANT: It was just loaded, on this account.
        this.object.store(object.as_ptr(), Relaxed);
        Ok(this)
    }

    /// Bytes of the Wasm stack of each instance.
    pub(crate) fn stack_max(&self) -> u64 {
        self.stack_max
    }

    /// Nothing may be started of it any more.
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Relaxed);
    }

    /// Whether nothing may be started of it any more.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Relaxed)
    }

    /// Instantiates it, on a stack and an account of the instance's own.
    ///
    /// # Safety
    ///
    /// `args` is filled in but for its module, and `host` is what [`crate::host`] expects.
    pub(crate) unsafe fn instantiate(
        &self,
        stack: &mut Stack,
        account: &Account,
        host: *mut c_void,
        args: &mut StartArgs,
    ) -> Result<Status, Failure> {
        args.module = self.object.load(Relaxed);
        // SAFETY: The caller guarantees it; the module is alive, and instantiation does not change it.
        unsafe { engine::enter(stack, Some(account), host, EngineOp::Start, args) }
    }

    /// Closes the account of an instance that was dropped; returns the account's peak in bytes.
    pub(crate) fn settle(&self, stack: &mut Stack, account: Account) -> usize {
        match &self.stay.lock().account {
            Some(own) => account.settle(stack, own),
            // SAFETY: Not reached, since the account stays until the code is dropped, which an instance prevents. There
            // would be nobody to use anything of it.
            None => unsafe { account.reclaim(stack) },
        }
    }
}

impl Stay {
    /// Has the engine load what was signed.
    fn load(&mut self, envelope: &Envelope<'_>, limits: &Chosen, log: &mut LogBuffer) -> Result<NonNull<c_void>> {
        let account = Account::open(&mut self.stack, KWASMI_LIMIT_CODE, limits, log)?;
        let account = self.account.insert(account);
        let mut host = Host::new(Files::new());
        host.set_time(limits.get(KWASMI_LIMIT_TIME));
        host.cpu_max = limits.get(KWASMI_LIMIT_CPU_TIME);
        host.begin();
        let mut args = LoadArgs {
            wasm: bytes(envelope.signed),
            manifest: bytes(envelope.manifest.unwrap_or_default()),
            limits: CodeLimits::from(limits).module,
            fault_injection: limits::has_fault_injection(),
            compiler: limits::has_compiler(),
            engine: 0,
            limit: 0,
            log: ptr::null_mut(),
            module: ptr::null_mut(),
        };
        let stack = &mut self.stack;
        let outcome = log.lend(|log| {
            args.log = log;
            let host = ptr::from_mut(&mut host).cast();
            // SAFETY: The argument is what the operation takes, and all it points to outlives the call.
            unsafe { engine::enter(stack, Some(account), host, EngineOp::Load, &mut args) }
        });
        self.resident = host.take_resident();
        if args.engine == Engine::Unsafe as u32 {
            counters::UNSAFE.add(1);
            kernel::pr_warn_once!("the checker refused compiled code; the module is interpreted\n");
        }
        match (outcome, NonNull::new(args.module)) {
            (Ok(Status::Ok), Some(object)) => Ok(object),
            (Ok(status), _) => Err(engine::refused(status, args.limit, log, limits)),
            (Err(failure), _) => Err(failure.report(log, limits)),
        }
    }
}

/// `bytes`, as the engine takes them.
pub(crate) fn bytes(bytes: &[u8]) -> Bytes {
    Bytes { addr: bytes.as_ptr(), len: bytes.len() }
}

#[pinned_drop]
impl PinnedDrop for Code {
    fn drop(self: Pin<&mut Self>) {
        let mut stay = self.stay.lock();
        let Some(account) = stay.account.take() else {
            return;
        };
        let stack = &mut stay.stack;
        match NonNull::new(self.object.load(Relaxed)) {
            Some(object) if !self.is_poisoned() => {
                // SAFETY: It is alive, and as the last reference goes, nobody uses it. If the engine fails here, what is
                // left is reclaimed below.
                let _ = unsafe { engine::drop_object(stack, &account, EngineOp::Unload, object) };
            }
            _ => {}
        }
        // SAFETY: It is gone, or will not be touched again.
        unsafe { account.reclaim(stack) };
        stay.resident.clear();
    }
}
