// SPDX-License-Identifier: GPL-2.0

//! Modules: code with its identity, behind a module fd.

use crate::{
    anon_file::{
        self,
        AnonFile, //
    },
    code::Code,
    code_cache::{
        CachedCode, //
        EngineChoice,
    },
    counters, dump,
    ffi::NotCompiled,
    instance::{
        Instance,
        Invocation, //
    },
    ioctl::{
        self,
        Argument, //
    },
    limits::{
        self,
        CallLimits,
        UNLIMITED, //
    },
    log::LogBuffer,
    policy::{
        audit::{
            self,
            Event, //
        },
        identity::Identity, //
    },
    signing::envelope::Envelope,
    uapi::{
        kwasmi_dump,
        kwasmi_fd,
        kwasmi_module,
        kwasmi_start,
        KWASMI_GUEST_FDS_MAX,
        KWASMI_LIMIT_FDS,
        KWASMI_LIMIT_FUEL,
        KWASMI_LIMIT_TOTAL_MODULES,
        KWASMI_MODULE_COMPILED,
        KWASMI_MODULE_SHARED,
        KWASMI_START_SIGPIPE,
        KWASMI_STRINGS_MAX, //
    },
};
use core::fmt::Write;
use kernel::{
    error::code::EOPNOTSUPP,
    ffi::c_char,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    uaccess::UserSlice, //
};

const START: u32 = ioctl::iowr::<kwasmi_start>(0x82);
const MODULE: u32 = ioctl::ior::<kwasmi_module>(0x86);
const DUMP: u32 = ioctl::iowr::<kwasmi_dump>(0x8C);

/// Loaded module. It exists until its last fd is closed and its last instance is dropped.
pub(crate) struct Module {
    code: CachedCode,
    identity: Arc<Identity>,
    /// Reason why the load did not ask for machine code.
    not_compiled: Option<NotCompiled>,
    _counted: Counted,
}

/// Guard that counts one module in [`counters::MODULES`].
struct Counted;

impl Counted {
    /// Counts one more module.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if `KWASMI_LIMIT_TOTAL_MODULES` is reached; `log` gets the limit.
    fn new(log: &mut LogBuffer) -> Result<Self> {
        let most = limits::ceiling(KWASMI_LIMIT_TOTAL_MODULES);
        if counters::MODULES.add_below(1, most) {
            return Ok(Self);
        }
        log.reached(KWASMI_LIMIT_TOTAL_MODULES, most);
        Err(EDQUOT)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        counters::MODULES.sub(1);
    }
}

impl Module {
    /// Loads the module in `envelope` within `limits`, for `engine`. Reuses the translation of a
    /// byte-identical module if there is one.
    ///
    /// # Errors
    ///
    /// `ENOEXEC` if the module is not valid or not covered by its manifest; `EDQUOT` if a limit is
    /// exceeded; `ENOMEM`; `EINTR` if a fatal signal is pending; `EIO` if the engine failed. `log`
    /// gets the reason. `EOPNOTSUPP` if `engine` is the compiler, which cannot compile the module.
    pub(crate) fn load(
        envelope: &Envelope<'_>,
        identity: Arc<Identity>,
        limits: &CallLimits,
        engine: EngineChoice,
        log: &mut LogBuffer,
    ) -> Result<Arc<Self>> {
        if engine == EngineChoice::Compiler && !limits::has_compiler() {
            let _ = write!(log, "cannot be compiled: {}", NotCompiled::Off.text());
            return Err(EOPNOTSUPP);
        }
        let has_fuel_limit = limits.get(KWASMI_LIMIT_FUEL) != UNLIMITED;
        let engine = match engine {
            EngineChoice::Compiler if has_fuel_limit => {
                let _ = write!(log, "cannot be compiled: {}", NotCompiled::Fuel.text());
                return Err(EOPNOTSUPP);
            }
            EngineChoice::Auto(_) if has_fuel_limit => EngineChoice::Interpreter(NotCompiled::Fuel),
            engine => engine,
        };
        let counted = Counted::new(log)?;
        let code = CachedCode::find_or_load(identity.sha256(), limits, engine, |not_compiled| {
            Code::load(envelope, limits, not_compiled, log)
        })?;
        if engine == EngineChoice::Compiler && !code.is_compiled() {
            code.with_reason(|reason| {
                let _ = write!(log, "cannot be compiled: {}", crate::log::text(reason));
            });
            return Err(EOPNOTSUPP);
        }
        Ok(Arc::new(
            Self {
                code,
                identity,
                not_compiled: engine.not_compiled(),
                _counted: counted,
            },
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    /// Returns hash, signer and manifest of the module.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns the code of the module.
    pub(crate) fn code(&self) -> &Code {
        &self.code
    }

    /// Checks that an instance that was already started may run for the first time.
    ///
    /// # Errors
    ///
    /// `EKEYREJECTED` if the policy rejects the module now; `log` gets the reason.
    pub(crate) fn check_run(&self, log: &mut LogBuffer) -> Result {
        self.identity
            .check_start(log)
            .inspect_err(|error| audit::record(Event::Run, &self.identity, Some(*error)))
    }

    /// Implements `KWASMI_IOC_MODULE`.
    fn info(&self, arg: &Argument) -> Result<isize> {
        let mut answer = self.identity.module_info();
        if self.code.was_cached() {
            answer.flags |= KWASMI_MODULE_SHARED;
        }
        // The last byte stays NUL.
        let places = answer.engine_reason.iter_mut().take(127);
        let fill = |reason: &[u8]| {
            places
                .zip(reason)
                .for_each(|(place, byte)| *place = *byte as c_char)
        };
        if self.code.is_compiled() {
            answer.flags |= KWASMI_MODULE_COMPILED;
        } else if let Some(reason) = self.not_compiled {
            fill(reason.text().as_bytes());
        } else {
            self.code.with_reason(fill);
        }
        arg.write(&answer).map(|()| 0)
    }

    fn start(this: ArcBorrow<'_, Self>, arg: &Argument) -> Result<isize> {
        let mut request: kwasmi_start = arg.read()?;
        if request.flags & !KWASMI_START_SIGPIPE != 0 || request.reserved != 0 {
            return Err(EINVAL);
        }
        let mut log = LogBuffer::new(request.log, request.log_size)?;
        let instance = Self::start_instance(this, &request, &mut log);
        audit::record(
            Event::Start,
            &this.identity,
            instance.as_ref().err().copied(),
        );
        ioctl::with_log(instance, &log, |len, limit| {
            request.log_len = len;
            (request.limit, request.limit_value) = limit;
            arg.write(&request)
        })
        .and_then(|instance| anon_file::install(instance))
    }

    fn start_instance(
        this: ArcBorrow<'_, Self>,
        request: &kwasmi_start,
        log: &mut LogBuffer,
    ) -> Result<Arc<Instance>> {
        if this.code.is_poisoned() {
            let _ = write!(
                log,
                "the engine failed in an earlier instance of this module"
            );
            return Err(EIO);
        }
        this.identity.check_start(log)?;
        if request.args_len.saturating_add(request.env_len) > u64::from(KWASMI_STRINGS_MAX) {
            let _ = write!(
                log,
                "arguments and environment exceed {KWASMI_STRINGS_MAX} bytes"
            );
            return Err(E2BIG);
        }
        if request.fds_len > KWASMI_GUEST_FDS_MAX {
            let _ = write!(log, "more than {KWASMI_GUEST_FDS_MAX} descriptors");
            return Err(E2BIG);
        }
        let mut limits = CallLimits::from_user(request.limits, request.limits_len, log)?;
        this.identity.restrict(&mut limits, log)?;
        limits.check(KWASMI_LIMIT_FDS, request.fds_len.into(), log)?;
        let args = ioctl::bytes_from_user(request.args, usize::try_from(request.args_len)?)?;
        let env = ioctl::bytes_from_user(request.env, usize::try_from(request.env_len)?)?;
        let fds = fds_from_user(request.fds, request.fds_len)?;
        let invocation = match request.invoke {
            0 => None,
            addr => Some(Invocation::from_user(addr, log)?),
        };
        Instance::new(
            this.into(),
            (&args, &env, &fds),
            invocation.as_ref(),
            limits,
            request.flags,
            log,
        )
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

impl AnonFile for Module {
    const NAME: &'static CStr = c"[kwasmi-module]";

    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize> {
        match cmd {
            START => Self::start(this, &Argument::new(arg)),
            MODULE => this.info(&Argument::new(arg)),
            DUMP => dump::dump(&this.code, &Argument::new(arg)),
            _ => Err(ENOTTY),
        }
    }
}
