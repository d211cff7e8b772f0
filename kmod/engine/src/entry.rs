// SPDX-License-Identifier: GPL-2.0

//! The way in: what the host asks, see [`ffi`](crate::ffi).

use crate::{
    compiler,
    ffi::{
        AccountArgs,
        Bytes,
        Ending,
        Engine,
        EngineOp,
        InitArgs,
        LoadArgs,
        Log,
        ObjectArgs,
        ReserveArgs,
        RunArgs,
        StartArgs,
        Status, //
    },
    heap::{
        self,
        Account,
        Lack, //
    },
    host::Handle,
    instance::{
        Instance,
        Outcome, //
    },
    kernel_host::KernelHost,
    module::{
        Module,
        Options,
        Refusal, //
    },
    signing::manifest::Manifest,
    text::Cut,
    wasi::{
        Context,
        abi::{
            Errno,
            Rights, //
        },
        fds::{
            Descriptor,
            Descriptors, //
        },
        strings::Strings,
    },
};
use alloc::{
    boxed::Box,
    string::ToString as _,
    sync::Arc, //
};
use core::{
    ffi::c_void,
    fmt::{
        Display,
        Write, //
    },
    ptr::NonNull,
    slice,
};

/// Does `op` with `args`; `kwasmi_stack_enter` calls it, on the engine stack.
///
/// # Safety
///
/// `op` is an [`EngineOp`], and `args` points to what it takes, filled in; objects in it came from here and are not gone.
#[unsafe(no_mangle)]
unsafe extern "C" fn kwasmi_engine_entry(op: u32, args: *mut c_void) -> i32 {
    macro_rules! ops {
        ($($op:ident => $function:path,)*) => {
            match op {
                $(op if op == EngineOp::$op as u32 => {
                    // SAFETY: The caller guarantees that `args` points to this operation's argument.
                    let args = unsafe { &mut *args.cast() };
                    // SAFETY: The caller guarantees that it is filled in.
                    unsafe { $function(args) }
                })*
                _ => Status::Unknown,
            }
        };
    }
    let status = ops! {
        Init => init,
        AccountOpen => account_open,
        AccountClose => account_close,
        Load => load,
        Unload => unload,
        Start => start,
        Run => run,
        Drop => drop_instance,
        Reserve => reserve,
    };
    status as i32
}

type KernelModule = Module<KernelHost>;
type KernelInstance = Instance<KernelHost>;

/// An instance, and what keeps its module's code alive.
struct Running {
    instance: KernelInstance,
    _module: Arc<KernelModule>,
}

/// # Safety
///
/// `bytes` describes memory that is valid for `'a`.
unsafe fn slice_of<'a>(bytes: Bytes) -> &'a [u8] {
    // SAFETY: The caller guarantees it.
    unsafe { slice::from_raw_parts(bytes.addr, bytes.len) }
}

/// Whether the reserve had to serve the present account.
fn is_exhausted() -> bool {
    Account::current().is_some_and(Account::is_exhausted)
}

/// What the present account lacked.
fn lack() -> Lack {
    Account::current().map_or(Lack::Nothing, Account::lack)
}

/// Why something could not be made: for what was refused, or else for want of memory. Tells which limit it was in `limit`.
fn refused(refusal: Option<&Refusal>, limit: &mut u32) -> Status {
    let (status, reached) = match refusal {
        Some(refusal) if refusal.limit().is_some() => (Status::Limited, refusal.limit()),
        Some(_) if lack() == Lack::Nothing => (Status::Invalid, None),
        _ => lack().status(),
    };
    *limit = reached.map_or(0, |limit| limit as u32);
    status
}

/// Writes `text` to the host's log.
///
/// # Safety
///
/// `log` points to a log that is filled in.
unsafe fn say(log: *mut Log, text: &dyn Display) {
    // SAFETY: The caller guarantees it.
    let log = unsafe { &mut *log };
    // SAFETY: As above.
    let buffer = unsafe { slice::from_raw_parts_mut(log.text, log.size) };
    let mut cut = Cut::new(buffer);
    // What does not fit is cut off.
    let _ = write!(cut, "{text}");
    log.len = cut.len();
}

/// # Safety
///
/// See [`heap::init_reserve`].
unsafe fn init(args: &mut InitArgs) -> Status {
    // SAFETY: The caller guarantees it.
    unsafe { heap::init_reserve(args.reserve, args.reserve_len) };
    Status::Ok
}

/// # Safety
///
/// None; it is one of many.
unsafe fn account_open(args: &mut AccountArgs) -> Status {
    match Account::open(args.budget, args.limit) {
        Ok(account) => {
            args.account = account.as_ptr().cast();
            Status::Ok
        }
        Err(lack) => {
            let (status, limit) = lack.status();
            args.limit = limit.map_or(0, |limit| limit as u32);
            status
        }
    }
}

/// # Safety
///
/// See [`Account::close`].
unsafe fn account_close(args: &mut AccountArgs) -> Status {
    let Some(account) = NonNull::new(args.account.cast::<Account>()) else {
        return Status::Unknown;
    };
    // SAFETY: The caller guarantees that it is null or an open account.
    let heir = unsafe { args.heir.cast::<Account>().as_ref() };
    // SAFETY: The caller guarantees it.
    args.stats = unsafe { Account::close(account, heir) };
    Status::Ok
}

/// # Safety
///
/// None; it is one of many.
unsafe fn reserve(args: &mut ReserveArgs) -> Status {
    (args.used, args.peak) = heap::reserve_stats();
    Status::Ok
}

/// # Safety
///
/// `args` is filled in.
unsafe fn load(args: &mut LoadArgs) -> Status {
    // SAFETY: The caller guarantees it.
    let wasm = unsafe { slice_of(args.wasm) };
    let options = Options { limits: args.limits, fault_injection: args.fault_injection };
    // SAFETY: As above.
    let manifest = unsafe { slice_of(args.manifest) };
    match load_covered(wasm, manifest, options, args) {
        // What the reserve had to serve is not kept.
        Ok(_) if is_exhausted() => refused(None, &mut args.limit),
        Ok(module) => {
            args.module = Arc::into_raw(Arc::new(module)).cast_mut().cast();
            Status::Ok
        }
        Err(refusal) => {
            // SAFETY: The caller guarantees it.
            unsafe { say(args.log, &refusal) };
            refused(Some(&refusal), &mut args.limit)
        }
    }
}

/// Loads a module that its manifest covers, if it has one.
fn load_covered(wasm: &[u8], manifest: &[u8], options: Options, args: &mut LoadArgs) -> Result<KernelModule, Refusal> {
    let mut module = KernelModule::new(wasm, options)?;
    if args.compiler {
        args.engine = match module.compile(wasm, &options.limits) {
            Ok(_) => Engine::Compiler,
            Err(compiler::Error::Unsafe(..)) => Engine::Unsafe,
            // It can still be interpreted.
            Err(_) => Engine::Interpreter,
        } as u32;
    }
    if !manifest.is_empty() {
        let manifest = Manifest::read(manifest).map_err(|wrong| Refusal::from(wrong.to_string()))?;
        module.check_manifest(&manifest)?;
    }
    Ok(module)
}

/// # Safety
///
/// `args.object` came from [`load`] and is not gone.
unsafe fn unload(args: &mut ObjectArgs) -> Status {
    // SAFETY: The caller guarantees it.
    drop(unsafe { Arc::from_raw(args.object.cast::<KernelModule>()) });
    Status::Ok
}

/// # Safety
///
/// `args` is filled in, and its module came from [`load`] and is not gone.
unsafe fn start(args: &mut StartArgs) -> Status {
    let module = args.module.cast::<KernelModule>();
    // SAFETY: The caller guarantees that the module is there; the count that it came with stays the caller's.
    unsafe { Arc::increment_strong_count(module) };
    // SAFETY: The count was just incremented for this.
    let module = unsafe { Arc::from_raw(module) };
    // SAFETY: The caller guarantees it.
    let context = match unsafe { guest_context(args) } {
        Ok(context) => context,
        Err(Errno::NoMem) => return refused(None, &mut args.limit),
        Err(_) => {
            // SAFETY: The caller guarantees it.
            unsafe { say(args.log, &"not a list of arguments, environment and descriptors") };
            return Status::Invalid;
        }
    };
    match Instance::new(&module, context, args.limits) {
        // What the reserve had to serve is not kept.
        Ok(_) if is_exhausted() => refused(None, &mut args.limit),
        Ok(instance) => {
            let running = Box::new(Running { instance, _module: module });
            args.instance = Box::into_raw(running).cast();
            Status::Ok
        }
        Err(refusal) => {
            // SAFETY: The caller guarantees it.
            unsafe { say(args.log, &refusal) };
            refused(Some(&refusal), &mut args.limit)
        }
    }
}

/// # Safety
///
/// `args` is filled in.
unsafe fn guest_context(args: &StartArgs) -> Result<Context<KernelHost>, Errno> {
    // SAFETY: The caller guarantees it.
    let arguments = Strings::new(unsafe { slice_of(args.args) })?;
    // SAFETY: As above.
    let environment = Strings::new(unsafe { slice_of(args.env) })?;
    // SAFETY: As above.
    let grants = unsafe { slice::from_raw_parts(args.fds, args.fds_len) };
    let mut fds = Descriptors::new(usize::try_from(args.limits.fds).unwrap_or(usize::MAX));
    for grant in grants {
        // SAFETY: As above.
        let name = unsafe { slice_of(grant.name) };
        let preopen = if name.is_empty() { None } else { Some(fds.add_name(name)?) };
        let rights = Rights::from_raw(grant.rights).ok_or(Errno::Inval)?;
        let inheriting = Rights::from_raw(grant.rights_inheriting).ok_or(Errno::Inval)?;
        let opens = rights.contains(Rights::PATH_OPEN);
        let refused = if opens { Rights::FD_WRITE.without(inheriting) } else { Rights::NONE };
        let descriptor = Descriptor { preopen, handle: Handle(grant.handle), rights, inheriting, refused };
        fds.insert(grant.guest_fd, descriptor)?;
    }
    Ok(Context::new(KernelHost::new(), arguments, environment, fds))
}

/// # Safety
///
/// `args` is filled in, and its instance came from [`start`], is not gone and run by nobody else.
unsafe fn run(args: &mut RunArgs) -> Status {
    // SAFETY: The caller guarantees it.
    let instance = unsafe { &mut (*args.instance.cast::<Running>()).instance };
    instance.host_mut().enter();
    let outcome = instance.run(|usage| {
        args.fuel_used = usage.fuel;
        args.memory_peak = usage.memory_peak;
    });
    match outcome {
        Outcome::Ended(end) => {
            args.ending = end.ending as u32;
            args.code = end.code;
            if end.ending != Ending::Exited {
                // SAFETY: The caller guarantees it.
                unsafe { say(args.log, &instance.words()) };
            }
            Status::Ok
        }
        Outcome::Interrupted => Status::Interrupted,
    }
}

/// # Safety
///
/// `args.object` came from [`start`], is not gone and run by nobody.
unsafe fn drop_instance(args: &mut ObjectArgs) -> Status {
    // SAFETY: The caller guarantees it.
    drop(unsafe { Box::from_raw(args.object.cast::<Running>()) });
    Status::Ok
}
