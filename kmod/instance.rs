// SPDX-License-Identifier: GPL-2.0

//! Instance descriptors: one program, from its start to how it ended.

use crate::{
    anon_file::AnonFile,
    code::bytes,
    engine::{
        self,
        Account,
        Failure, //
    },
    ffi::{
        Ending,
        EngineOp,
        FdGrant,
        InstanceLimits,
        RunArgs,
        StartArgs,
        Status, //
    },
    host::{
        self,
        credentials::{
            self,
            Assumed, //
        },
        Alarm,
        Files,
        Host, //
    },
    ioctl::{
        self,
        Argument, //
    },
    limits::Chosen,
    log::LogBuffer,
    memory,
    module::Module,
    signing::manifest::{
        Capabilities,
        Capability, //
    },
    stack::Stack,
    uapi::{
        kwasmi_fd,
        kwasmi_run,
        KWASMI_LIMIT_CPU_TIME,
        KWASMI_LIMIT_FDS,
        KWASMI_LIMIT_FUEL,
        KWASMI_LIMIT_HEAP,
        KWASMI_LIMIT_MEMORY,
        KWASMI_LIMIT_STACK,
        KWASMI_LIMIT_TABLE,
        KWASMI_LIMIT_TIME,
        KWASMI_NAMES_MAX,
        KWASMI_NAME_MAX,
        KWASMI_START_SIGPIPE, //
    },
    user::Counted,
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
    cred::Credential,
    new_mutex,
    new_spinlock,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        ArcBorrow,
        Mutex,
        SpinLock, //
    },
    task::Task,
    time::{
        hrtimer::ArcHrTimerHandle,
        Instant,
        Monotonic, //
    }, //
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};

const RUN: u32 = ioctl::iowr::<kwasmi_run>(0x83);
const KILL: u32 = ioctl::io(0x84);

/// An instance.
#[pin_data(PinnedDrop)]
pub(crate) struct Instance {
    module: Arc<Module>,
    counted: Counted,
    /// Those of who started it: it acts with them, whoever runs it.
    credentials: ARef<Credential>,
    #[pin]
    inner: Mutex<Inner>,
    /// Who runs it now, and whether it is to end.
    #[pin]
    runner: SpinLock<Runner>,
}

/// Who runs an instance, and whether it is to end.
#[derive(Default)]
pub(crate) struct Runner {
    task: Option<ARef<Task>>,
    killed: bool,
}

/// What only who runs the instance touches.
struct Inner {
    stack: Stack,
    /// There until the instance has ended or is dropped.
    live: Option<Live>,
    host: Host,
    limits: Chosen,
    has_run: bool,
    /// Whether the guest may have done something: then it may go on, though its module was denied since.
    has_entered: bool,
    report: Report,
}

/// # Invariants
///
/// `object` is an instance of the engine, allocated on `account`.
struct Live {
    object: NonNull<c_void>,
    account: Account,
}

// SAFETY: The engine's instance may be used by any task, one at a time.
unsafe impl Send for Live {}

/// What `KWASMI_IOC_RUN` tells.
struct Report {
    ending: Ending,
    code: u32,
    fuel_used: u64,
    memory_peak: u64,
    heap_peak: u64,
    stack_peak: u64,
    limit_value: u64,
    text: LogText,
}

/// Words about an ending, kept so that they can be told again.
type LogText = KVVec<u8>;

/// The most words that are kept, in bytes.
const TEXT_MAX: usize = 512;

impl Instance {
    /// Makes an instance of `module`; `flags` are `KWASMI_START_*`.
    ///
    /// # Errors
    ///
    /// Those of `KWASMI_IOC_START`, each with words in `log`.
    pub(crate) fn new(
        module: Arc<Module>,
        (args, env, fds): (&[u8], &[u8], &[kwasmi_fd]),
        limits: Chosen,
        flags: u32,
        log: &mut LogBuffer,
    ) -> Result<Arc<Self>> {
        for strings in [args, env] {
            if strings.last().is_some_and(|last| *last != 0) {
                let _ = write!(log, "an argument or environment string without a NUL at its end");
                return Err(EINVAL);
            }
        }
        let (files, grants, _names) = open_files(fds, module.identity().capabilities(), log)?;
        let counted = Counted::new(log)?;

        let host = Host::new(files);
        let host = if flags & KWASMI_START_SIGPIPE != 0 { host.end_without_reader() } else { host };

        // From here on, `drop` cleans up.
        let this = Arc::pin_init(
            try_pin_init!(Self {
                inner <- new_mutex!(
                    Inner {
                        stack: Stack::new()?,
                        live: None,
                        host,
                        limits,
                        has_run: false,
                        has_entered: false,
                        report: Report::new(),
                    },
                    "kwasmi::Instance::inner"
                ),
                runner <- new_spinlock!(Runner::default(), "kwasmi::Instance::runner"),
                credentials: credentials::current(),
                module,
                counted,
            }),
            GFP_KERNEL_ACCOUNT,
        )?;

        let mut start = StartArgs {
            module: ptr::null(),
            args: bytes(args),
            env: bytes(env),
            fds: grants.as_ptr(),
            fds_len: grants.len(),
            limits: InstanceLimits { memory: 0, table: 0, fds: 0, fuel: 0 },
            limit: 0,
            log: ptr::null_mut(),
            instance: ptr::null_mut(),
        };
        let entered = this.counted.enter(log)?;
        this.inner.lock().instantiate(&this.module, &mut start, log)?;
        drop(entered);
        Ok(this)
    }

    fn run(this: ArcBorrow<'_, Self>, arg: &Argument) -> Result<isize> {
        let request: kwasmi_run = arg.read()?;
        if request.flags != 0 || request.reserved != 0 {
            return Err(EINVAL);
        }
        let mut log = LogBuffer::new(request.log, request.log_size)?;
        let mut inner = this.inner.try_lock().ok_or(EBUSY)?;
        match inner.run(&this, &mut log) {
            Ok(()) => {}
            // The call is made again.
            Err(error) if error == ERESTARTSYS => return Err(error),
            Err(error) => {
                let (code, limit_value) = log.limit();
                arg.write(&kwasmi_run { code, limit_value, log_len: log.give()?, ..request })?;
                return Err(error);
            }
        }
        let report = &inner.report;
        let _ = log.write_str(crate::log::text(&report.text));
        arg.write(&kwasmi_run {
            status: report.ending as u32,
            code: report.code,
            fuel_used: report.fuel_used,
            memory_peak: report.memory_peak,
            heap_peak: report.heap_peak,
            stack_peak: report.stack_peak,
            limit_value: report.limit_value,
            log_len: log.give()?,
            ..request
        })?;
        Ok(0)
    }

    fn kill(&self) -> Result<isize> {
        let mut runner = self.runner.lock();
        runner.killed = true;
        if let Some(task) = &runner.task {
            crate::host::signal::interrupt(task);
        }
        Ok(0)
    }
}

impl Inner {
    fn instantiate(&mut self, module: &Module, args: &mut StartArgs, log: &mut LogBuffer) -> Result {
        args.limits = InstanceLimits {
            memory: self.limits.get(KWASMI_LIMIT_MEMORY),
            table: self.limits.get(KWASMI_LIMIT_TABLE),
            fds: self.limits.get(KWASMI_LIMIT_FDS),
            fuel: self.limits.get(KWASMI_LIMIT_FUEL),
        };
        let account = Account::open(&mut self.stack, KWASMI_LIMIT_HEAP, &self.limits, log)?;
        self.host.begin();
        let host = ptr::from_mut(&mut self.host).cast();
        let outcome = log.lend(|log| {
            args.log = log;
            // SAFETY: The caller filled the argument in, and all it points to outlives the call.
            unsafe { module.code().instantiate(&mut self.stack, &account, host, args) }
        });
        let error = match (outcome, NonNull::new(args.instance)) {
            (Ok(Status::Ok), Some(object)) => {
                // INVARIANT: It was just made, on this account.
                self.live = Some(Live { object, account });
                return Ok(());
            }
            (Ok(status), _) => {
                // There is no instance, and what was allocated for it was freed.
                module.code().settle(&mut self.stack, account);
                return Err(engine::refused(status, args.limit, log, &self.limits));
            }
            (Err(failure), _) => {
                if matches!(&failure, Failure::Landed { status: Status::Fault, .. }) {
                    module.code().poison();
                }
                failure.report(log, &self.limits)
            }
        };
        // SAFETY: There is no instance, so nobody uses anything of it.
        unsafe { account.reclaim(&mut self.stack) };
        Err(error)
    }

    /// Runs the guest until it ends; then `report` tells how.
    fn run(&mut self, instance: &Instance, caller_log: &mut LogBuffer) -> Result {
        let Some(live) = &self.live else {
            return Ok(());
        };
        if !self.has_entered {
            instance.module.check_run(caller_log)?;
        }
        let entered = match instance.counted.enter(caller_log) {
            Err(error) if error == EDQUOT && self.has_entered => return Err(wait_for_turn()),
            entered => entered?,
        };
        if !self.has_run {
            self.has_run = true;
            self.host.set_time(self.limits.get(KWASMI_LIMIT_TIME));
            self.host.cpu_max = self.limits.get(KWASMI_LIMIT_CPU_TIME);
        }
        let running = Running::begin(instance, self.host.deadline)?;
        let mut text = [0; TEXT_MAX];
        let mut log = crate::ffi::Log { text: text.as_mut_ptr(), size: TEXT_MAX, len: 0 };
        let mut args = RunArgs {
            instance: live.object.as_ptr(),
            ending: Ending::EngineFault as u32,
            code: 0,
            fuel_used: 0,
            memory_peak: 0,
            log: &mut log,
        };
        self.host.instance = instance;
        self.host.begin();
        let host = ptr::from_mut(&mut self.host).cast();
        let assumed = Assumed::new(&instance.credentials);
        // SAFETY: The argument is what the operation takes; the instance is alive, and the lock keeps others off it.
        let outcome = unsafe { engine::enter(&mut self.stack, Some(&live.account), host, EngineOp::Run, &mut args) };
        drop(assumed);
        drop(running);
        drop(entered);
        self.host.end();
        self.has_entered |= !matches!(outcome, Err(Failure::Refused(_)));
        let report = &mut self.report;
        report.fuel_used = args.fuel_used;
        report.memory_peak = args.memory_peak;
        match outcome {
            Ok(Status::Interrupted) => return Err(host::signal::restart_syscall()),
            Ok(_) => {
                report.ending = ending(args.ending);
                report.code = args.code;
                report.say(text.get(..log.len.min(TEXT_MAX)).unwrap_or(&[]));
                self.end(instance);
            }
            Err(Failure::Refused(error)) if error == EDQUOT && self.has_entered => return Err(wait_for_turn()),
            Err(failure @ Failure::Refused(_)) => return Err(failure.report(caller_log, &self.limits)),
            Err(Failure::Landed { status, limit, text, len }) => {
                report.ending = match status {
                    Status::NoMemory => Ending::OutOfMemory,
                    Status::Limited => Ending::Limited,
                    Status::Killed => Ending::Killed,
                    _ => {
                        instance.module.code().poison();
                        Ending::EngineFault
                    }
                };
                report.code = limit;
                report.say(text.get(..len).unwrap_or(&[]));
                if let Some(live) = self.live.take() {
                    // SAFETY: The engine failed in it: the instance is not touched again.
                    let peak = unsafe { live.account.reclaim(&mut self.stack) };
                    self.report.heap_peak = peak as u64;
                }
                self.finish();
            }
        }
        if self.report.ending == Ending::Limited {
            self.report.limit_value = self.limit_value(instance);
        }
        Ok(())
    }

    /// The value of the limit that the guest has reached.
    fn limit_value(&self, instance: &Instance) -> u64 {
        // That of the stack is the module's.
        if self.report.code == KWASMI_LIMIT_STACK {
            instance.module.code().stack_max()
        } else {
            self.limits.get(self.report.code)
        }
    }

    /// Frees what the guest had: it has ended, or nobody will run it.
    fn end(&mut self, instance: &Instance) {
        let Some(live) = self.live.take() else {
            return;
        };
        // SAFETY: The instance is alive, and the lock keeps others off it.
        let outcome = unsafe { engine::drop_object(&mut self.stack, &live.account, EngineOp::Drop, live.object) };
        let peak = match outcome {
            Ok(_) => instance.module.code().settle(&mut self.stack, live.account),
            Err(_) => {
                instance.module.code().poison();
                // SAFETY: The engine failed in it: the instance is not touched again.
                unsafe { live.account.reclaim(&mut self.stack) }
            }
        };
        self.report.heap_peak = peak as u64;
        self.finish();
    }

    fn finish(&mut self) {
        self.report.stack_peak = self.stack.peak() as u64;
        self.host.close_all();
    }
}

impl Report {
    fn new() -> Self {
        Self {
            ending: Ending::EngineFault,
            code: 0,
            fuel_used: 0,
            memory_peak: 0,
            heap_peak: 0,
            stack_peak: 0,
            limit_value: 0,
            text: KVVec::new(),
        }
    }

    /// Keeps words about the ending; without memory for them, the ending has to do. The guest may have used up all that its
    /// cgroup has: nobody is to be killed for a few words.
    fn say(&mut self, text: &[u8]) {
        self.text = memory::buffer(text.len()).unwrap_or_default();
        if self.text.capacity() >= text.len() {
            let _ = self.text.extend_from_slice(text, GFP_KERNEL_ACCOUNT);
        }
    }
}

fn ending(raw: u32) -> Ending {
    [Ending::Exited, Ending::Trapped, Ending::Limited, Ending::Killed, Ending::OutOfMemory]
        .into_iter()
        .find(|ending| *ending as u32 == raw)
        .unwrap_or(Ending::EngineFault)
}

/// Waits a moment, for a guest that runs already and was on the way to userspace; there others took its place among those
/// that may run at the same time. Returns the error by which the call is made again.
fn wait_for_turn() -> Error {
    host::signal::pause();
    host::signal::restart_syscall()
}

/// The current task runs the instance for as long as this lives.
struct Running<'a> {
    instance: &'a Instance,
    _alarm: Option<ArcHrTimerHandle<Alarm>>,
}

impl<'a> Running<'a> {
    fn begin(instance: &'a Instance, deadline: Option<Instant<Monotonic>>) -> Result<Self> {
        let task: ARef<Task> = ARef::from(&**kernel::current!());
        let _alarm = match deadline {
            Some(deadline) => Some(Alarm::set(task.clone(), deadline)?),
            None => None,
        };
        instance.runner.lock().task = Some(task);
        Ok(Self { instance, _alarm })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let task = self.instance.runner.lock().task.take();
        // Outside of the lock.
        drop(task);
    }
}

impl Instance {
    /// Whether `KWASMI_IOC_KILL` was called.
    pub(crate) fn is_killed(&self) -> bool {
        self.runner.lock().killed
    }
}

/// Preview 1 `rights` that take a file that can be read: `fd_read`, `fd_readdir`.
const RIGHTS_READ: u64 = 1 << 1 | 1 << 14;

/// Those that take one that can be written: `fd_write`, `fd_allocate`, `fd_filestat_set_size`.
const RIGHTS_WRITE: u64 = 1 << 6 | 1 << 8 | 1 << 22;

/// Those that a directory never has: `fd_read`, `fd_seek`, `fd_tell`, `fd_write`, `fd_advise`, `fd_allocate`,
/// `fd_filestat_set_size`, `sock_shutdown`, `sock_accept`.
const RIGHTS_NOT_OF_DIRECTORIES: u64 =
    1 << 1 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 22 | 1 << 28 | 1 << 29;

/// The guest's standard streams are those below: they need no capability.
const STANDARD_FDS: u32 = 3;

/// The names of preopened directories, which grants point to.
type Names = KVVec<KVec<u8>>;

/// Takes references to the caller's files.
fn open_files(fds: &[kwasmi_fd], has: Capabilities, log: &mut LogBuffer) -> Result<(Files, KVVec<FdGrant>, Names)> {
    let mut files = Files::new();
    let mut grants = KVVec::with_capacity(fds.len(), GFP_KERNEL_ACCOUNT)?;
    let mut names = Names::new();
    let mut names_len = 0;
    for fd in fds {
        if fd.flags != 0 {
            return Err(EINVAL);
        }
        let (handle, (is_readable, is_writable)) = files.open(fd.fd).inspect_err(|_| {
            let _ = write!(log, "descriptor {} is not open", fd.fd);
        })?;
        if grants.iter().any(|other: &FdGrant| other.guest_fd == fd.guest_fd) {
            let _ = write!(log, "the guest's descriptor {} is there twice", fd.guest_fd);
            return Err(EINVAL);
        }
        if fd.guest_fd >= crate::uapi::KWASMI_GUEST_FDS_MAX || fd.rights >> 30 != 0 || fd.rights_inheriting >> 30 != 0 {
            let _ = write!(log, "the guest's descriptor {} has a number or rights that there are not", fd.guest_fd);
            return Err(EINVAL);
        }
        // The instance's own descriptor may come to be in there, and then neither is ever given up.
        if files.may_hold_files(handle) && ioctl::ask_for_root().is_err() {
            let _ = write!(log, "descriptor {} is a Unix socket or has no name, which only root hands over", fd.fd);
            return Err(EPERM);
        }
        let (needed, word) =
            if files.is_socket(handle) { (Capability::Sockets, "sockets") } else { (Capability::Files, "files") };
        if fd.guest_fd >= STANDARD_FDS && !has.has(needed) {
            let _ = write!(log, "the manifest lacks the capability {word} for descriptor {}", fd.guest_fd);
            return Err(EACCES);
        }
        names_len += fd.name_len.min(KWASMI_NAME_MAX + 1);
        if fd.name_len > KWASMI_NAME_MAX || names_len > KWASMI_NAMES_MAX {
            let _ = write!(log, "the name of the guest's descriptor {} is too long", fd.guest_fd);
            return Err(E2BIG);
        }
        let name = name(&files, handle, fd, log)?;
        let mut rights = fd.rights;
        if !is_readable {
            rights &= !RIGHTS_READ;
        }
        if !is_writable {
            rights &= !RIGHTS_WRITE;
        }
        if files.is_directory(handle) {
            rights &= !RIGHTS_NOT_OF_DIRECTORIES;
        }
        let grant = FdGrant {
            guest_fd: fd.guest_fd,
            handle,
            rights,
            rights_inheriting: fd.rights_inheriting,
            name: bytes(&name),
        };
        names.push(name, GFP_KERNEL_ACCOUNT)?;
        grants.push(grant, GFP_KERNEL_ACCOUNT)?;
    }
    Ok((files, grants, names))
}

/// The name that a descriptor is handed under; empty for none.
fn name(files: &Files, handle: u32, fd: &kwasmi_fd, log: &mut LogBuffer) -> Result<KVec<u8>> {
    let mut name = KVec::new();
    if fd.name_len == 0 {
        return Ok(name);
    }
    let len = fd.name_len as usize;
    UserSlice::new(UserPtr::from_addr(usize::try_from(fd.name)?), len)
        .reader()
        .read_all(&mut name, GFP_KERNEL_ACCOUNT)?;
    if name.contains(&0) {
        let _ = write!(log, "the name of the guest's descriptor {} has a NUL in it", fd.guest_fd);
        return Err(EINVAL);
    }
    if !files.is_directory(handle) {
        let _ = write!(log, "the guest's descriptor {} has a name but is no directory", fd.guest_fd);
        return Err(EINVAL);
    }
    Ok(name)
}

impl AnonFile for Instance {
    const NAME: &'static CStr = c"[kwasmi-instance]";

    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize> {
        match cmd {
            RUN => Self::run(this, &Argument::new(arg)),
            KILL => this.kill(),
            _ => Err(ENOTTY),
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Instance {
    fn drop(self: Pin<&mut Self>) {
        self.inner.lock().end(&self);
    }
}
