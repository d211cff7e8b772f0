// SPDX-License-Identifier: GPL-2.0

//! Runs a Wasm program in an ordinary process, on the engine object that is linked into
//! `kwasmi.ko`.
//!
//!     kwasmi-native [--stats] [--env NAME=VALUE]... [--dir HOST[::GUEST][:ro]]... FILE [ARG]...
//!
//! The host functions are those of the kernel module, implemented with system calls, so that the
//! results show what guests must get in the kernel. Options and exit statuses are those of the
//! `kwasmi` command. `--stats` prints time, fuel, heap use and the depth of the engine stack on
//! standard error.
//!
//! With `--machine-code FILE` it runs the machine code that the kernel's JIT has made of the
//! module: the output of `kwasmi dump --json --raw`.

#[path = "../../src/ffi.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the engine and the kernel module")]
mod ffi;
mod host;
#[path = "../../src/host_operations.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the engine and the module, which use the rest")]
mod host_operations;
mod machine_code;
mod options;
#[path = "../../src/wasi/abi.rs"]
#[allow(
    dead_code,
    unfulfilled_lint_expectations,
    unreachable_pub,
    reason = "shared with the engine and the module, which use the rest"
)]
mod preview1;
mod stack;

use clap::Parser as _;
use ffi::{
    AccountArgs,
    AccountStats,
    Bytes,
    Context,
    Ending,
    EngineOp,
    FdGrant,
    GuestCounters,
    INVOKE_MAX,
    InitArgs,
    InstanceLimits,
    Limit,
    LoadArgs,
    Log,
    ModuleLimits,
    NotCompiled,
    ObjectArgs,
    REASON_LEN,
    RunArgs,
    StartArgs,
    Status, //
};
use host::Files;
use kwasmi::{
    bytecode,
    device::GuestFd,
    guest_fds::GuestFds,
    stdio::Stdio,
    strings, //
};
use options::Options;
use stack::Stack;
use std::{
    ffi::{
        OsString,
        c_void, //
    },
    fs,
    os::fd::BorrowedFd,
    path::Path,
    process::ExitCode,
    ptr,
    sync::atomic::Ordering,
    time::Instant, //
};

unsafe extern "C" {
    fn kwasmi_stack_enter(op: u32, args: *mut c_void, stack_top: *mut usize) -> i32;
}

/// Result of an engine entry: the status, or the status and the message of an abort.
type Outcome = Result<Status, (Status, String)>;

/// Engine of this process.
struct Engine {
    stack: Stack,
    account: *mut c_void,
    text: Vec<u8>,
}

impl Engine {
    fn new() -> Option<Self> {
        let mut engine = Self { stack: Stack::new()?, account: ptr::null_mut(), text: vec![0; 4096] };
        let reserve: &'static mut [u64] = Box::leak(vec![0; 128 * 1024].into_boxed_slice());
        let mut init = InitArgs { reserve: reserve.as_mut_ptr().cast(), reserve_len: size_of_val(reserve) };
        engine.enter(EngineOp::Init, &mut init).ok()?;
        let mut open = AccountArgs {
            account: ptr::null_mut(),
            budget: usize::MAX,
            limit: Limit::Heap as u32,
            counters: ptr::null(),
            parent: ptr::null_mut(),
            stats: AccountStats::default(),
        };
        engine.enter(EngineOp::AccountOpen, &mut open).ok()?;
        engine.account = open.account;
        Some(engine)
    }

    fn enter<A>(&mut self, op: EngineOp, args: &mut A) -> Outcome {
        let mut context = Context::new(self.stack.top(), self.account, host::present());
        host::set_context(&raw mut context);
        // SAFETY: Callers pass the argument type of `op`, with valid pointers. The context is set,
        // and the engine stack is not in use, because `self` is borrowed exclusively.
        let status = unsafe { kwasmi_stack_enter(op as u32, ptr::from_mut(args).cast(), context.stack_top) };
        host::end();
        let status = Status::from_raw(status);
        let Some(text) = context.fault_text() else {
            return Ok(status);
        };
        let text = text.get(..context.fault_len).unwrap_or(&[]);
        Err((status, String::from_utf8_lossy(text).into_owned()))
    }

    fn log(&mut self) -> Log {
        Log { text: self.text.as_mut_ptr(), size: self.text.len(), len: 0 }
    }

    fn words(&self, log: &Log) -> String {
        let text = self.text.get(..log.len.min(self.text.len())).unwrap_or(&[]);
        String::from_utf8_lossy(text).into_owned()
    }
}

/// End of the program: the exit status, and a message for standard error.
type End = (u8, Option<String>);

fn aborted((status, text): (Status, String)) -> End {
    match status {
        Status::NoMemory => (124, Some(format!("out of memory: {text}"))),
        Status::Limited => (124, Some(format!("limit reached: {text}"))),
        _ => (125, Some(format!("engine fault: {text}"))),
    }
}

/// Limits of modules: the defaults of the kernel module, except that the numbers of functions and
/// of parameters are the ceilings.
const MODULE_LIMITS: ModuleLimits = ModuleLimits {
    functions: 1_000_000,
    function_size: Limit::FunctionSize.default_value(),
    locals: Limit::Locals.default_value(),
    arity: 1000,
    globals: Limit::Globals.default_value(),
    data_segments: Limit::DataSegments.default_value(),
    element_segments: Limit::ElementSegments.default_value(),
    stack: Limit::Stack.default_value(),
};

fn limit_name(limit: u32) -> &'static str {
    Limit::from_raw(limit).map_or("", Limit::name)
}

fn refused(status: Status, limit: u32, words: String) -> End {
    match status {
        Status::Limited => (124, Some(format!("limit reached: {} ({words})", limit_name(limit)))),
        Status::NoMemory => (124, Some(format!("out of memory: {words}"))),
        _ => (126, Some(words)),
    }
}

/// Arguments, environment and descriptors of a guest.
struct Guest {
    args: Vec<u8>,
    env: Vec<u8>,
    fds: Vec<(GuestFd, u32)>,
}

impl Guest {
    /// Opens the files that `options` name and passes them to the host functions.
    fn new(options: &Options, stdio: Stdio) -> Result<Self, String> {
        let guest_fds =
            GuestFds::open(&options.dir, &options.tcp_listen, &options.fd).map_err(|failure| failure.to_string())?;
        let mut files = Files::new();
        let mut fds = Vec::new();
        for fd in stdio.guest_fds().into_iter().chain(guest_fds.as_slice().iter().cloned()) {
            // SAFETY: The descriptor is open: `stdio` and `guest_fds` own all descriptors in the
            // list and outlive `borrowed`.
            let borrowed = unsafe { BorrowedFd::borrow_raw(fd.fd) };
            let handle = files.open(borrowed).map_err(|errno| errno.to_string())?;
            fds.push((fd, u32::try_from(handle).map_err(|error| error.to_string())?));
        }
        host::set_files(files);
        let mut args = options.program.clone();
        // Like the command, passes only the file name as the first argument.
        if let Some(file) = args.first_mut() {
            *file = Path::new(file).file_name().map_or_else(|| file.clone(), OsString::from);
        }
        Ok(Self { args: strings::join(args)?, env: strings::join(strings::environment(options.env.clone()))?, fds })
    }

    fn grants(&self) -> Vec<FdGrant> {
        let grant = |(fd, handle): &(GuestFd, u32)| FdGrant {
            guest_fd: fd.guest_fd,
            handle: *handle,
            rights: fd.rights,
            rights_inheriting: fd.rights_inheriting,
            name: Bytes::new(&fd.name),
        };
        self.fds.iter().map(grant).collect()
    }
}

fn run(engine: &mut Engine, wasm: &[u8], guest: &Guest, options: &Options, has_masks: bool) -> End {
    let began = Instant::now();
    let mut log = engine.log();
    let mut load = LoadArgs {
        wasm: Bytes::new(wasm),
        limits: MODULE_LIMITS,
        manifest: Bytes::new(&[]),
        fault_injection: true,
        not_compiled: if options.machine_code.is_some() { 0 } else { NotCompiled::Requested as u32 },
        has_masks,
        engine: 0,
        reason_len: 0,
        reason: [0; REASON_LEN],
        limit: 0,
        log: &raw mut log,
        module: ptr::null_mut(),
    };
    match engine.enter(EngineOp::Load, &mut load) {
        Ok(Status::Ok) if load.not_compiled == 0 && load.engine != ffi::Engine::Compiler as u32 => {
            return (125, Some("the machine code cannot be used".to_owned()));
        }
        Ok(Status::Ok) => {}
        Ok(status) => return refused(status, load.limit, engine.words(&log)),
        Err(failure) => return aborted(failure),
    }
    let loaded = began.elapsed();
    if let Some(file) = &options.load_time
        && let Err(error) = fs::write(file, host::cpu_time().to_string())
    {
        return (125, Some(format!("{}: {error}", file.display())));
    }
    let load_stack = engine.stack.peak();

    let counters = GuestCounters::new();
    let grants = guest.grants();
    let mut log = engine.log();
    let mut start = StartArgs {
        module: load.module,
        args: Bytes::new(&guest.args),
        env: Bytes::new(&guest.env),
        fds: grants.as_ptr(),
        fds_len: grants.len(),
        invoke: ptr::null(),
        is_reactor: false,
        limits: InstanceLimits { memory: 256 << 20, table: 1_000_000, fds: 1024, fuel: u64::MAX },
        counters: &raw const counters,
        limit: 0,
        log: &raw mut log,
        instance: ptr::null_mut(),
    };
    match engine.enter(EngineOp::Start, &mut start) {
        Ok(Status::Ok) => {}
        Ok(status) => return refused(status, start.limit, engine.words(&log)),
        Err(failure) => return aborted(failure),
    }

    let began = Instant::now();
    let mut log = engine.log();
    let mut results = [0; INVOKE_MAX];
    let mut running = RunArgs {
        instance: start.instance,
        call: ptr::null(),
        batch: ptr::null(),
        only_begins: false,
        has_ticks: false,
        counters: &raw const counters,
        ending: 0,
        code: 0,
        results: results.as_mut_ptr(),
        results_len: 0,
        log: &raw mut log,
    };
    if let Err(failure) = engine.enter(EngineOp::Run, &mut running) {
        return aborted(failure);
    }
    let ran = began.elapsed();
    if let Some(file) = &options.time
        && let Err(error) = fs::write(file, ran.as_nanos().to_string())
    {
        return (125, Some(format!("{}: {error}", file.display())));
    }
    let words = engine.words(&log);
    for (op, object) in [(EngineOp::Drop, start.instance), (EngineOp::Unload, load.module)] {
        if let Err(failure) = engine.enter(op, &mut ObjectArgs { object }) {
            return aborted(failure);
        }
    }
    let mut close = AccountArgs {
        account: engine.account,
        budget: 0,
        limit: 0,
        counters: ptr::null(),
        parent: ptr::null_mut(),
        stats: AccountStats::default(),
    };
    engine.account = ptr::null_mut();
    if let Err(failure) = engine.enter(EngineOp::AccountClose, &mut close) {
        return aborted(failure);
    }
    if options.stats {
        eprintln!(
            "load {:.3} ms, run {:.3} ms, fuel {}, memory peak {} bytes, heap peak {} bytes, \
             engine stack {load_stack} bytes to load, {} to run",
            loaded.as_secs_f64() * 1e3,
            ran.as_secs_f64() * 1e3,
            counters.fuel.load(Ordering::Relaxed),
            counters.memory.load(Ordering::Relaxed),
            close.stats.peak,
            engine.stack.peak(),
        );
    }
    if close.stats.blocks != 0 {
        return (125, Some(format!("{} blocks were not freed", close.stats.blocks)));
    }
    match running.ending {
        ending if ending == Ending::Exited as u32 => (running.code.to_le_bytes()[0], None),
        ending if ending == Ending::Trapped as u32 => (134, Some(format!("trap: {words}"))),
        ending if ending == Ending::Limited as u32 => {
            (124, Some(format!("limit reached: {} ({words})", limit_name(running.code))))
        }
        ending => (124, Some(format!("ending {ending} ({words})"))),
    }
}

/// Runs the program that the command line names and returns the exit status.
#[must_use]
pub fn main() -> ExitCode {
    // The standard streams must be taken before another file is opened.
    let Ok(stdio) = Stdio::take() else {
        return ExitCode::from(125);
    };
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let status = if error.use_stderr() { 125 } else { 0 };
            return error.print().map_or(ExitCode::from(125), |()| ExitCode::from(status));
        }
    };
    let Some(file) = options.program.first() else {
        return ExitCode::from(125);
    };
    let complain = |status: u8, words: &str| {
        eprintln!("kwasmi-native: {}: {words}", file.display());
        ExitCode::from(status)
    };
    let wasm = match fs::read(file) {
        Ok(wasm) => wasm,
        Err(error) => return complain(127, &error.to_string()),
    };
    let guest = match Guest::new(&options, stdio) {
        Ok(guest) => guest,
        Err(words) => return complain(125, &words),
    };
    if options.stats {
        host::measure_stretches();
    }
    let mut has_masks = false;
    if let Some(path) = &options.machine_code {
        match fs::read(path)
            .map_err(|error| error.to_string())
            .and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()))
        {
            Ok(code) => {
                has_masks = bytecode::has_masks(&wasm, &code);
                host::set_code(code);
            }
            Err(words) => return complain(125, &format!("{}: {words}", path.display())),
        }
    }
    let Some(mut engine) = Engine::new() else {
        return complain(125, "no memory");
    };
    let (status, words) = run(&mut engine, &wasm, &guest, &options, has_masks);
    if options.stats {
        eprintln!("longest stretch {:.3} ms", host::longest_stretch().as_secs_f64() * 1e3);
    }
    match words {
        Some(words) => complain(status, &words),
        None => ExitCode::from(status),
    }
}
