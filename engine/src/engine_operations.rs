// SPDX-License-Identifier: GPL-2.0

//! Entry point of the engine object: dispatches the operations that the host requests. The ABI is
//! in [`ffi`](crate::ffi).

use crate::{
    compiler,
    ffi::{
        AccountArgs,
        Bytes,
        CallBatch,
        Ending,
        Engine,
        EngineOp,
        FunctionArgs,
        INVOKE_MAX,
        InitArgs,
        LoadArgs,
        Log,
        NotCompiled,
        ObjectArgs,
        ReserveArgs,
        RunArgs,
        StartArgs,
        Status, //
    },
    guest_counters::Counters,
    heap::{
        self,
        Account,
        AllocError, //
    },
    host::Handle,
    instance::{
        Instance,
        Outcome,
        Usage, //
    },
    invoke::{
        Functions,
        Invocation, //
    },
    kernel_host::KernelHost,
    module::{
        EngineChoice,
        Module,
        Options, //
    },
    refusal::{
        Reason,
        Refusal, //
    },
    signing::manifest::Manifest,
    text::TruncatingWriter,
    wasi::{
        WasiCtx,
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
    string::{
        String,
        ToString as _, //
    },
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
    str::Utf8Error,
    sync::atomic::Ordering,
};

/// Performs `op` with `args`. `kwasmi_stack_enter` calls this function on the engine stack.
///
/// # Safety
///
/// - `op` is an [`EngineOp`], and `args` points to a valid value of the argument type of `op`,
///   which no other code accesses during the call.
/// - Pointers in `*args` are valid for the call.
/// - Modules, instances and accounts in `*args` were returned by this function and have not been
///   freed.
#[unsafe(no_mangle)]
unsafe extern "C" fn kwasmi_engine_entry(op: u32, args: *mut c_void) -> i32 {
    macro_rules! ops {
        ($($op:ident => $function:path,)*) => {
            match op {
                $(op if op == EngineOp::$op as u32 => {
                    // SAFETY: `args` points to a valid, unaliased value of the argument type of
                    // `op`, by this function's safety requirement.
                    let args = unsafe { &mut *args.cast() };
                    // SAFETY: The pointers and objects in `args` are valid by this function's
                    // safety requirement.
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
        Function => function,
        Rest => rest,
    };
    status as i32
}

type KernelModule = Module<KernelHost>;
type KernelInstance = Instance<KernelHost>;

/// Instance, with a reference that keeps the code of its module alive.
struct Running {
    instance: KernelInstance,
    _module: Arc<KernelModule>,
}

/// Returns the slice that `bytes` describes.
///
/// # Safety
///
/// `bytes.addr` points to `bytes.len` initialised bytes that are valid and unchanged for `'a`.
unsafe fn slice_of<'a>(bytes: Bytes) -> &'a [u8] {
    // SAFETY: Address and length describe initialised bytes that are valid and unchanged for `'a`,
    // by this function's safety requirement.
    unsafe { slice::from_raw_parts(bytes.addr, bytes.len) }
}

/// Returns true if the reserve had to serve the current account.
fn is_exhausted() -> bool {
    Account::current().is_some_and(Account::is_exhausted)
}

/// Returns the first [`AllocError`] of the current account.
fn alloc_error() -> AllocError {
    Account::current().map_or(AllocError::None, Account::alloc_error)
}

/// Returns the status of an operation that failed because of `refusal` or for lack of memory, and
/// sets `limit` to the limit that was reached, or to 0.
fn refused(refusal: Option<&Refusal>, limit: &mut u32) -> Status {
    let (status, reached) = match refusal {
        Some(refusal) if refusal.limit().is_some() => (Status::Limited, refusal.limit()),
        Some(refusal) if alloc_error() == AllocError::None => {
            let status = match refusal.reason() {
                Reason::NoFunction => Status::NoFunction,
                Reason::Argument => Status::Argument,
                Reason::Unsupported => Status::Unsupported,
                Reason::TooBig => Status::TooBig,
                Reason::Invalid | Reason::Limit(_) => Status::Invalid,
            };
            (status, None)
        }
        _ => alloc_error().status(),
    };
    *limit = reached.map_or(0, |limit| limit as u32);
    status
}

/// Writes `text` to the host's log, cut off at the size of the buffer.
///
/// # Safety
///
/// - `log` points to a valid [`Log`] that no other code accesses during the call.
/// - `log.text` points to `log.size` writable, initialised bytes.
unsafe fn say(log: *mut Log, text: &dyn Display) {
    // SAFETY: `log` points to a valid, unaliased log by this function's safety requirement.
    let log = unsafe { &mut *log };
    // SAFETY: `log.text` points to `log.size` writable, initialised bytes by this function's safety
    // requirement.
    let buffer = unsafe { slice::from_raw_parts_mut(log.text, log.size) };
    let mut writer = TruncatingWriter::new(buffer);
    // `TruncatingWriter` drops the text that does not fit, and writing to it never fails.
    let _ = write!(writer, "{text}");
    log.len = writer.len();
}

/// # Safety
///
/// `args.reserve` and `args.reserve_len` meet the requirements of [`heap::init_reserve`].
unsafe fn init(args: &mut InitArgs) -> Status {
    // SAFETY: The memory meets the requirements of `init_reserve` by this function's safety
    // requirement.
    unsafe { heap::init_reserve(args.reserve, args.reserve_len) };
    Status::Ok
}

/// # Safety
///
/// The function has no requirements. It is unsafe because all operations have the same
/// signature.
unsafe fn account_open(args: &mut AccountArgs) -> Status {
    match Account::open(args.budget, args.limit) {
        Ok(account) => {
            args.account = account.as_ptr().cast();
            // SAFETY: `open` returned a pointer to an open account.
            args.counters = unsafe { account.as_ref() }.counters();
            Status::Ok
        }
        Err(error) => {
            let (status, limit) = error.status();
            args.limit = limit.map_or(0, |limit| limit as u32);
            status
        }
    }
}

/// # Safety
///
/// `args.account` is null, or meets the requirements of [`Account::close`]. `args.parent` is null
/// or an open account.
unsafe fn account_close(args: &mut AccountArgs) -> Status {
    let Some(account) = NonNull::new(args.account.cast::<Account>()) else {
        return Status::Unknown;
    };
    // SAFETY: `parent` is null or points to an open account by this function's safety requirement.
    let parent = unsafe { args.parent.cast::<Account>().as_ref() };
    // SAFETY: `account` meets the requirements of `close` by this function's safety requirement.
    args.stats = unsafe { Account::close(account, parent) };
    Status::Ok
}

/// # Safety
///
/// The function has no requirements. It is unsafe because all operations have the same
/// signature.
unsafe fn reserve(args: &mut ReserveArgs) -> Status {
    (args.used, args.peak) = heap::reserve_stats();
    Status::Ok
}

/// # Safety
///
/// The module, the manifest and the log in `args` are valid for the call.
unsafe fn load(args: &mut LoadArgs) -> Status {
    // SAFETY: The module's bytes are valid for the call by this function's safety requirement.
    let wasm = unsafe { slice_of(args.wasm) };
    let options = Options { limits: args.limits, fault_injection: args.fault_injection };
    // SAFETY: The manifest's bytes are valid for the call by this function's safety requirement.
    let manifest = unsafe { slice_of(args.manifest) };
    match load_covered(wasm, manifest, options, args) {
        // A module that needed the reserve is not kept.
        Ok(_) if is_exhausted() => refused(None, &mut args.limit),
        Ok(module) => {
            args.module = Arc::into_raw(Arc::new(module)).cast_mut().cast();
            Status::Ok
        }
        Err(refusal) => {
            // SAFETY: The log is valid for the call by this function's safety requirement.
            unsafe { say(args.log, &refusal) };
            refused(Some(&refusal), &mut args.limit)
        }
    }
}

/// Loads a module and checks that its manifest, if it has one, covers its imports.
fn load_covered(wasm: &[u8], manifest: &[u8], options: Options, args: &mut LoadArgs) -> Result<KernelModule, Refusal> {
    let manifest = match manifest {
        [] => None,
        bytes => Some(Manifest::read(bytes).map_err(|wrong| Refusal::from(wrong.to_string()))?),
    };
    let choice = match NotCompiled::from_raw(args.not_compiled) {
        Some(reason) => EngineChoice::Interpreter(reason),
        None => EngineChoice::Compiler { has_masks: args.has_masks },
    };
    let module = KernelModule::load(wasm, options, manifest.as_ref(), choice, |error| {
        // `TruncatingWriter` drops the text that does not fit, and writing to it never fails.
        let mut writer = TruncatingWriter::new(&mut args.reason);
        let _ = write!(writer, "{error}");
        args.reason_len = u32::try_from(writer.len()).unwrap_or(0);
        if matches!(error, compiler::Error::Unsafe(..)) {
            args.engine = Engine::Unsafe as u32;
        }
    })?;
    if module.is_compiled() {
        args.engine = Engine::Compiler as u32;
    }
    Ok(module)
}

/// # Safety
///
/// `args.object` came from [`load`] and has not been passed to this function before.
unsafe fn unload(args: &mut ObjectArgs) -> Status {
    // SAFETY: `object` came from `Arc::into_raw` in `load`, and its reference has not been dropped,
    // by this function's safety requirement.
    drop(unsafe { Arc::from_raw(args.object.cast::<KernelModule>()) });
    Status::Ok
}

/// # Safety
///
/// - The pointers in `args` are valid for the call, and `args.counters` until the instance is
///   dropped.
/// - `args.module` came from [`load`] and has not been unloaded.
unsafe fn start(args: &mut StartArgs) -> Status {
    let module = args.module.cast::<KernelModule>();
    // SAFETY: `module` came from `Arc::into_raw` in `load`, and the host still holds its reference,
    // by this function's safety requirement.
    unsafe { Arc::increment_strong_count(module) };
    // SAFETY: `module` came from `Arc::into_raw`, and this call owns the reference that was just
    // added.
    let module = unsafe { Arc::from_raw(module) };
    // SAFETY: The pointers in `args` are valid for the call by this function's safety requirement.
    let context = match unsafe { guest_context(args) } {
        Ok(context) => context,
        Err(Errno::NoMem) => return refused(None, &mut args.limit),
        Err(_) => {
            // SAFETY: The log is valid for the call by this function's safety requirement.
            unsafe { say(args.log, &"malformed list of arguments, environment or descriptors") };
            return Status::Invalid;
        }
    };
    // SAFETY: The call is valid for the call of this function by this function's safety
    // requirement.
    let Ok(invocation) = (unsafe { invocation(args) }) else {
        // SAFETY: The log is valid for the call by this function's safety requirement.
        unsafe { say(args.log, &"the name of the function is not UTF-8") };
        return Status::Argument;
    };
    let functions = match invocation {
        Some(invocation) => Functions::Invoked(invocation),
        None if args.is_reactor => Functions::Reactor,
        None => Functions::Program,
    };
    match Instance::with_functions(&module, context, args.limits, functions) {
        // An instance that needed the reserve is not kept.
        Ok(_) if is_exhausted() => refused(None, &mut args.limit),
        Ok(instance) => {
            let running = Box::new(Running { instance, _module: module });
            args.instance = Box::into_raw(running).cast();
            Status::Ok
        }
        Err(refusal) => {
            // SAFETY: The log is valid for the call by this function's safety requirement.
            unsafe { say(args.log, &refusal) };
            refused(Some(&refusal), &mut args.limit)
        }
    }
}

/// # Safety
///
/// - `args.module` came from [`load`] and has not been unloaded.
/// - The name and the log in `args` are valid for the call.
unsafe fn function(args: &mut FunctionArgs) -> Status {
    // SAFETY: `module` came from `Arc::into_raw` in `load`, and the host still holds its reference,
    // by this function's safety requirement.
    let module = unsafe { &*args.module.cast::<KernelModule>() };
    // SAFETY: The name's bytes are valid for the call by this function's safety requirement.
    let name = unsafe { slice_of(args.name) };
    let callable = match str::from_utf8(name) {
        Ok(name) => module.callable(name),
        Err(_) => Err(Refusal::because(Reason::Argument, String::from("the name of the function is not UTF-8"))),
    };
    match callable {
        Ok(callable) => {
            args.function = callable.number;
            args.params = callable.params;
            args.results = callable.results;
            Status::Ok
        }
        Err(refusal) => {
            // SAFETY: The log is valid for the call by this function's safety requirement.
            unsafe { say(args.log, &refusal) };
            refused(Some(&refusal), &mut 0)
        }
    }
}

/// Returns the call of an exported function, if there is one.
///
/// # Errors
///
/// The name is not UTF-8.
///
/// # Safety
///
/// `args.invoke` is null or points to a call that is valid for `'a`, with its name and its
/// arguments.
unsafe fn invocation<'a>(args: &StartArgs) -> Result<Option<Invocation<'a>>, Utf8Error> {
    // SAFETY: `invoke` is null or valid for `'a` by this function's safety requirement.
    let Some(invoke) = (unsafe { args.invoke.as_ref() }) else {
        return Ok(None);
    };
    // SAFETY: The name is valid for `'a` by this function's safety requirement.
    let name = str::from_utf8(unsafe { slice_of(invoke.name) })?;
    // SAFETY: `args` points to `args_len` arguments that are valid for `'a` by this function's
    // safety requirement.
    let args = unsafe { slice::from_raw_parts(invoke.args, invoke.args_len) };
    Ok(Some(Invocation { name, args }))
}

/// Builds the WASI context of a guest: its arguments, environment and descriptors.
///
/// # Safety
///
/// - `args.args`, `args.env`, the descriptors and their names are valid for the call.
/// - `args.counters` is valid until the result is dropped.
unsafe fn guest_context(args: &StartArgs) -> Result<WasiCtx<KernelHost>, Errno> {
    // SAFETY: The arguments are valid for the call by this function's safety requirement.
    let arguments = Strings::new(unsafe { slice_of(args.args) })?;
    // SAFETY: The environment is valid for the call by this function's safety requirement.
    let environment = Strings::new(unsafe { slice_of(args.env) })?;
    // SAFETY: `fds` points to `fds_len` valid descriptors by this function's safety requirement.
    let grants = unsafe { slice::from_raw_parts(args.fds, args.fds_len) };
    let mut fds = Descriptors::new(usize::try_from(args.limits.fds).unwrap_or(usize::MAX));
    for grant in grants {
        // SAFETY: The names of descriptors are valid for the call by this function's safety
        // requirement.
        let name = unsafe { slice_of(grant.name) };
        let preopen = if name.is_empty() { None } else { Some(fds.add_name(name)?) };
        let rights = Rights::from_raw(grant.rights).ok_or(Errno::Inval)?;
        let inheriting = Rights::from_raw(grant.rights_inheriting).ok_or(Errno::Inval)?;
        let opens = rights.contains(Rights::PATH_OPEN);
        let refused = if opens { Rights::FD_WRITE.without(inheriting) } else { Rights::NONE };
        let descriptor = Descriptor { preopen, handle: Handle(grant.handle), rights, inheriting, refused };
        fds.insert(grant.guest_fd, descriptor)?;
    }
    // SAFETY: The counters are valid until the instance is dropped, by this function's safety
    // requirement.
    let counters = unsafe { Counters::of_host(args.counters) };
    Ok(WasiCtx::with_counters(KernelHost::new(), (arguments, environment), fds, counters))
}

/// # Safety
///
/// - `args.instance` came from [`start`], has not been dropped, and no other task runs it.
/// - `args.counters` is that of [`start`].
/// - `args.log` is valid for the call. So is `args.call`, with its arguments, unless it is null, and
///   `args.batch`, with its calls, which no other code accesses, unless it is null.
/// - `args.results` points to [`INVOKE_MAX`] initialised words that no other code accesses during the
///   call.
unsafe fn run(args: &mut RunArgs) -> Status {
    // SAFETY: `instance` points to a live `Running` that no other task accesses, by this function's
    // safety requirement.
    let instance = unsafe { &mut (*args.instance.cast::<Running>()).instance };
    // SAFETY: `call` is null or points to a call that is valid by this function's safety
    // requirement.
    if let Some(call) = unsafe { args.call.as_ref() } {
        // SAFETY: `args` points to `args_len` valid arguments by this function's safety
        // requirement.
        let arguments = unsafe { slice::from_raw_parts(call.args, call.args_len as usize) };
        if let Err(status) = instance.begin(call.function, arguments) {
            return status;
        }
        if args.only_begins {
            return Status::Interrupted;
        }
    }
    instance.keep_ticks(args.has_ticks);
    instance.host_mut().enter();
    // SAFETY: The counters are valid until the instance is dropped, by this function's safety
    // requirement.
    let counters = unsafe { &*args.counters };
    let mut report = |usage: Usage| {
        counters.fuel.store(usage.fuel, Ordering::Relaxed);
        counters.memory.store(usage.memory_peak, Ordering::Relaxed);
    };
    // SAFETY: `batch` is null or valid by this function's safety requirement.
    let outcome = match unsafe { args.batch.as_ref() } {
        // SAFETY: The batch is valid by this function's safety requirement.
        Some(batch) => match unsafe { run_batch(instance, batch, &mut report) } {
            Ok(Outcome::Idle) => return Status::Idle,
            Ok(outcome) => outcome,
            Err(status) => return status,
        },
        None => instance.run(&mut report),
    };
    match outcome {
        Outcome::Ended(end) => {
            args.ending = end.ending as u32;
            args.code = end.code;
            // SAFETY: `results` is valid for the call by this function's safety requirement.
            args.results_len = instance.results(unsafe { slice::from_raw_parts_mut(args.results, INVOKE_MAX) });
            if end.ending != Ending::Exited {
                // SAFETY: The log is valid for the call by this function's safety requirement.
                unsafe { say(args.log, &instance.words()) };
            }
            Status::Ok
        }
        Outcome::Interrupted => Status::Interrupted,
        Outcome::Idle => {
            // SAFETY: `results` is valid for the call by this function's safety requirement.
            args.results_len = instance.results(unsafe { slice::from_raw_parts_mut(args.results, INVOKE_MAX) });
            Status::Idle
        }
    }
}

/// Makes the calls of `batch` until they have taken a few milliseconds, or one does not return.
///
/// # Errors
///
/// The errors of [`Instance::begin`] that are no fault of the call.
///
/// # Safety
///
/// `batch.calls` points to `batch.len` calls that no other code accesses, and `batch.done` to a
/// valid number.
unsafe fn run_batch(
    instance: &mut KernelInstance,
    batch: &CallBatch,
    report: &mut impl FnMut(Usage),
) -> Result<Outcome, Status> {
    // SAFETY: `calls` points to `len` calls by this function's safety requirement.
    let calls = unsafe { slice::from_raw_parts_mut(batch.calls, batch.len as usize) };
    // SAFETY: `done` is valid by this function's safety requirement.
    let done = unsafe { &*batch.done };
    let slices = instance.slices();
    for (call, next) in calls.iter_mut().zip(1..) {
        let args = match call.values.get(..call.args_len as usize) {
            Some(args) if call.status == Status::Ok as i32 => args,
            _ => {
                done.store(next, Ordering::Relaxed);
                continue;
            }
        };
        let outcome = match instance.repeat(call.function, args, &mut *report) {
            Some(outcome) => Ok(outcome),
            None => instance.begin(call.function, args).map(|()| instance.run(&mut *report)),
        };
        match outcome {
            Ok(Outcome::Idle) => {
                call.results_len = u32::try_from(instance.results(&mut call.values)).unwrap_or(u32::MAX);
                call.status = Status::Idle as i32;
            }
            Ok(outcome) => return Ok(outcome),
            Err(status @ (Status::NoFunction | Status::Argument)) => call.status = status as i32,
            Err(status) => return Err(status),
        }
        done.store(next, Ordering::Relaxed);
        if instance.is_slice_over(slices) {
            break;
        }
    }
    report(instance.usage());
    Ok(Outcome::Idle)
}

/// # Safety
///
/// `args.object` came from [`start`], has not been dropped, and no task runs it.
unsafe fn rest(args: &mut ObjectArgs) -> Status {
    // SAFETY: `object` points to a live `Running` that no other task accesses, by this function's
    // safety requirement.
    let running = unsafe { &mut *args.object.cast::<Running>() };
    if running.instance.rest() { Status::Ok } else { Status::Interrupted }
}

/// # Safety
///
/// `args.object` came from [`start`], has not been dropped, and no task runs it.
unsafe fn drop_instance(args: &mut ObjectArgs) -> Status {
    // SAFETY: `object` came from `Box::into_raw` in `start`, and nothing else uses it, by this
    // function's safety requirement.
    drop(unsafe { Box::from_raw(args.object.cast::<Running>()) });
    Status::Ok
}
