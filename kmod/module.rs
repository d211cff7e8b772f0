// SPDX-License-Identifier: GPL-2.0

//! Module descriptors: validated and translated code.

use crate::{
    anon_file::{
        self,
        AnonFile, //
    },
    audit::{
        self,
        Event, //
    },
    counters,
    engine::{
        self,
        Account,
        Failure, //
    },
    ffi::{
        Bytes,
        EngineOp,
        LoadArgs,
        ModuleLimits,
        StartArgs,
        Status, //
    },
    host::{
        Files,
        Host, //
    },
    identity::Identity,
    instance::Instance,
    ioctl::{
        self,
        Argument, //
    },
    limits::{
        self,
        Chosen, //
    },
    log::LogBuffer,
    signing::envelope::Envelope,
    stack::Stack,
    uapi::{
        kwasmi_fd,
        kwasmi_module,
        kwasmi_start,
        KWASMI_GUEST_FDS_MAX,
        KWASMI_LIMIT_ARITY,
        KWASMI_LIMIT_CODE,
        KWASMI_LIMIT_CPU_TIME,
        KWASMI_LIMIT_DATA_SEGMENTS,
        KWASMI_LIMIT_ELEMENT_SEGMENTS,
        KWASMI_LIMIT_FDS,
        KWASMI_LIMIT_FUNCTIONS,
        KWASMI_LIMIT_FUNCTION_SIZE,
        KWASMI_LIMIT_GLOBALS,
        KWASMI_LIMIT_LOCALS,
        KWASMI_LIMIT_STACK,
        KWASMI_LIMIT_TIME,
        KWASMI_LIMIT_TOTAL_MODULES,
        KWASMI_STRINGS_MAX, //
    },
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
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow,
        Mutex, //
    },
    uaccess::UserSlice, //
};

const START: u32 = ioctl::iowr::<kwasmi_start>(0x82);
const MODULE: u32 = ioctl::ior::<kwasmi_module>(0x86);

/// A module. It lives until its descriptors and its instances are gone.
///
/// # Invariants
///
/// `object` is null, or a module of the engine that was allocated on the account in `stay`.
#[pin_data(PinnedDrop)]
pub(crate) struct Module {
    object: Atomic<*mut c_void>,
    /// Set when the engine failed in one of its instances: what they share may not be in a known state.
    poisoned: Atomic<bool>,
    /// Bytes of the Wasm stack of each instance.
    stack_max: u64,
    identity: Arc<Identity>,
    /// What is needed to enter the engine for it.
    #[pin]
    stay: Mutex<Stay>,
}

struct Stay {
    stack: Stack,
    /// There until the module is dropped.
    account: Option<Account>,
}

// SAFETY: The engine's module may be used by any task, and by several at once: it does not change.
unsafe impl Send for Module {}
// SAFETY: As above.
unsafe impl Sync for Module {}

impl Module {
    /// Validates and translates what is in `envelope`, within `limits`.
    ///
    /// # Errors
    ///
    /// `ENOEXEC`, `EDQUOT`, `ENOMEM`, `EINTR`, `EIO`, with words in `log`.
    pub(crate) fn load(
        envelope: &Envelope<'_>,
        identity: Arc<Identity>,
        limits: &Chosen,
        log: &mut LogBuffer,
    ) -> Result<Arc<Self>> {
        let most = limits::ceiling(KWASMI_LIMIT_TOTAL_MODULES);
        let stack = Stack::new()?;
        if !counters::MODULES.add_below(1, most) {
            log.reached(KWASMI_LIMIT_TOTAL_MODULES, most);
            return Err(EDQUOT);
        }
        // INVARIANT: There is no object yet. From here on, `drop` cleans up.
        let this = Arc::pin_init(
            pin_init!(Self {
                object: Atomic::new(ptr::null_mut()),
                poisoned: Atomic::new(false),
                stack_max: limits.get(KWASMI_LIMIT_STACK),
                identity,
                stay <- new_mutex!(Stay { stack, account: None }, "kwasmi::Module::stay"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
        .inspect_err(|_| counters::MODULES.sub(1))?;
        let object = this.stay.lock().load(envelope, limits, log)?;
        // INVARIANT: It was just loaded, on this account.
        this.object.store(object.as_ptr(), Relaxed);
        Ok(this)
    }

    /// What is known of it besides its code.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Bytes of the Wasm stack of each instance.
    pub(crate) fn stack_max(&self) -> u64 {
        self.stack_max
    }

    /// Nothing may be started of it any more.
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Relaxed);
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
            // SAFETY: Not reached, since the account stays until the module is dropped, which an instance prevents. There
            // would be nobody to use anything of it.
            None => unsafe { account.reclaim(stack) },
        }
    }

    fn start(this: ArcBorrow<'_, Self>, arg: &Argument) -> Result<isize> {
        let mut request: kwasmi_start = arg.read()?;
        if request.flags != 0 || request.reserved != [0; 2] {
            return Err(EINVAL);
        }
        let mut log = LogBuffer::new(request.log, request.log_size)?;
        let instance = Self::start_instance(this, &request, &mut log);
        audit::record(Event::Start, &this.identity, instance.as_ref().err().copied());
        ioctl::with_log(instance, &log, |len, limit| {
            request.log_len = len;
            (request.limit, request.limit_value) = limit;
            arg.write(&request)
        })
        .and_then(|instance| anon_file::install(instance))
    }

    fn start_instance(this: ArcBorrow<'_, Self>, request: &kwasmi_start, log: &mut LogBuffer) -> Result<Arc<Instance>> {
        if this.poisoned.load(Relaxed) {
            let _ = write!(log, "the engine failed in an earlier instance of this module");
            return Err(EIO);
        }
        this.identity.check_start(log)?;
        if request.args_len.saturating_add(request.env_len) > u64::from(KWASMI_STRINGS_MAX) {
            let _ = write!(log, "arguments and environment exceed {KWASMI_STRINGS_MAX} bytes");
            return Err(E2BIG);
        }
        if request.fds_len > KWASMI_GUEST_FDS_MAX {
            let _ = write!(log, "more than {KWASMI_GUEST_FDS_MAX} descriptors");
            return Err(E2BIG);
        }
        let mut limits = Chosen::from_user(request.limits, request.limits_len, log)?;
        this.identity.restrict(&mut limits, log)?;
        limits.check(KWASMI_LIMIT_FDS, request.fds_len.into(), log)?;
        let args = ioctl::bytes_from_user(request.args, usize::try_from(request.args_len)?)?;
        let env = ioctl::bytes_from_user(request.env, usize::try_from(request.env_len)?)?;
        let fds = fds_from_user(request.fds, request.fds_len)?;
        Instance::new(this.into(), (&args, &env, &fds), limits, log)
    }
}

fn fds_from_user(addr: u64, len: u32) -> Result<KVVec<kwasmi_fd>> {
    let mut fds = KVVec::with_capacity(len as usize, GFP_KERNEL_ACCOUNT)?;
    let size = (len as usize) * size_of::<kwasmi_fd>();
    let mut reader = UserSlice::new(UserPtr::from_addr(usize::try_from(addr)?), size).reader();
    for _ in 0..len {
        fds.push(reader.read()?, GFP_KERNEL_ACCOUNT)?;
    }
    Ok(fds)
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
            limits: ModuleLimits {
                functions: limits.get(KWASMI_LIMIT_FUNCTIONS),
                function_size: limits.get(KWASMI_LIMIT_FUNCTION_SIZE),
                locals: limits.get(KWASMI_LIMIT_LOCALS),
                arity: limits.get(KWASMI_LIMIT_ARITY),
                globals: limits.get(KWASMI_LIMIT_GLOBALS),
                data_segments: limits.get(KWASMI_LIMIT_DATA_SEGMENTS),
                element_segments: limits.get(KWASMI_LIMIT_ELEMENT_SEGMENTS),
                stack: limits.get(KWASMI_LIMIT_STACK),
            },
            fault_injection: limits::has_fault_injection(),
            limit: 0,
            log: ptr::null_mut(),
            module: ptr::null_mut(),
        };
        let stack = &mut self.stack;
        let host = ptr::from_mut(&mut host).cast();
        let outcome = log.lend(|log| {
            args.log = log;
            // SAFETY: The argument is what the operation takes, and all it points to outlives the call.
            unsafe { engine::enter(stack, Some(account), host, EngineOp::Load, &mut args) }
        });
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

impl AnonFile for Module {
    const NAME: &'static CStr = c"[kwasmi-module]";

    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize> {
        match cmd {
            START => Self::start(this, &Argument::new(arg)),
            MODULE => Argument::new(arg).write(&this.identity.tell()).map(|()| 0),
            _ => Err(ENOTTY),
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Module {
    fn drop(self: Pin<&mut Self>) {
        counters::MODULES.sub(1);
        let mut stay = self.stay.lock();
        let Some(account) = stay.account.take() else {
            return;
        };
        let stack = &mut stay.stack;
        match NonNull::new(self.object.load(Relaxed)) {
            Some(object) if !self.poisoned.load(Relaxed) => {
                // SAFETY: It is alive, and as the last reference goes, nobody uses it. If the engine fails here, what is
                // left is reclaimed below.
                let _ = unsafe { engine::drop_object(stack, &account, EngineOp::Unload, object) };
            }
            _ => {}
        }
        // SAFETY: It is gone, or will not be touched again.
        unsafe { account.reclaim(stack) };
    }
}
