// SPDX-License-Identifier: GPL-2.0

//! Ioctls of module descriptors.

use super::{
    dump,
    pool::PoolFile, //
};
use crate::{
    anon_file::{
        self,
        AnonFile, //
    },
    instance::{
        Instance,
        Invocation,
        Pool, //
    },
    ioctl::{
        self,
        Argument, //
    },
    limits::CallLimits,
    log::LogBuffer,
    module::Module,
    policy::audit::{
        self,
        Event, //
    },
    trace::{
        self,
        InstanceNumber, //
    },
    uapi::{
        kwasmi_dump,
        kwasmi_fd,
        kwasmi_module,
        kwasmi_start,
        KWASMI_GUEST_FDS_MAX,
        KWASMI_LIMIT_FDS,
        KWASMI_MODULE_COMPILED,
        KWASMI_MODULE_SHARED,
        KWASMI_START_REACTOR,
        KWASMI_START_SIGPIPE,
        KWASMI_STRINGS_MAX, //
    },
    watch::Sink, //
};
use core::fmt::Write;
use kernel::{
    ffi::c_char,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    uaccess::UserSlice, //
};

pub(super) const START: u32 = ioctl::iowr::<kwasmi_start>(0x82);
const MODULE: u32 = ioctl::ior::<kwasmi_module>(0x86);
const POOL: u32 = ioctl::io(0x99);
const DUMP: u32 = ioctl::iowr::<kwasmi_dump>(0x8C);

/// Implements `KWASMI_IOC_MODULE`.
fn info(module: &Module, arg: &Argument) -> Result<isize> {
    let mut answer = module.identity().module_info();
    if module.is_shared() {
        answer.flags |= KWASMI_MODULE_SHARED;
    }
    if module.code().is_compiled() {
        answer.flags |= KWASMI_MODULE_COMPILED;
    }
    // The last byte stays NUL.
    let places = answer.engine_reason.iter_mut().take(127);
    module.with_interpreter_reason(|reason| {
        places
            .zip(reason)
            .for_each(|(place, byte)| *place = *byte as c_char)
    });
    arg.write(&answer).map(|()| 0)
}

/// Implements `KWASMI_IOC_START`.
///
/// The instance belongs to `pool` if it is given.
pub(super) fn start(
    module: &Arc<Module>,
    pool: Option<&Arc<Pool>>,
    arg: &Argument,
) -> Result<isize> {
    let mut request: kwasmi_start = arg.read()?;
    let is_reactor = request.flags & KWASMI_START_REACTOR != 0;
    if request.flags & !(KWASMI_START_SIGPIPE | KWASMI_START_REACTOR) != 0
        || request.reserved != 0
        || is_reactor && request.invoke != 0
    {
        return Err(EINVAL);
    }
    let mut log = LogBuffer::new(request.log, request.log_size)?;
    let instance = start_instance(module, pool, &request, &mut log);
    trace::start(
        instance
            .as_ref()
            .map_or(InstanceNumber(0), |instance| instance.runner().number()),
        module.identity().sha256(),
        instance.as_ref().err().map_or(0, |error| error.to_errno()),
    );
    audit::record(
        Event::Start,
        module.identity(),
        instance.as_ref().err().copied(),
    );
    let started = instance.as_ref().ok().cloned();
    ioctl::with_log(instance, &log, |len, limit| {
        request.log_len = len;
        (request.limit, request.limit_value) = limit;
        arg.write(&request)
    })
    .and_then(|instance| anon_file::install(instance))
    .inspect_err(|_| {
        if let Some(instance) = started {
            instance.give_up();
        }
    })
}

fn start_instance(
    module: &Arc<Module>,
    pool: Option<&Arc<Pool>>,
    request: &kwasmi_start,
    log: &mut LogBuffer,
) -> Result<Arc<Instance>> {
    if module.code().is_poisoned() {
        let _ = write!(
            log,
            "the engine failed in an earlier instance of this module"
        );
        return Err(EIO);
    }
    module.identity().check_start(log)?;
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
    module.identity().restrict(&mut limits, log)?;
    limits.check(KWASMI_LIMIT_FDS, request.fds_len.into(), log)?;
    let args = ioctl::bytes_from_user(request.args, usize::try_from(request.args_len)?)?;
    let env = ioctl::bytes_from_user(request.env, usize::try_from(request.env_len)?)?;
    let fds = fds_from_user(request.fds, request.fds_len)?;
    let invocation = match request.invoke {
        0 => None,
        addr => Some(Invocation::from_user(addr, log)?),
    };
    Instance::new(
        (module.clone(), pool),
        (&args, &env, &fds),
        invocation.as_ref(),
        limits,
        request.flags,
        log,
    )
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
            START => start(&this.into(), None, &Argument::new(arg)),
            POOL => PoolFile::create(this.into()),
            MODULE => info(&this, &Argument::new(arg)),
            DUMP => dump::dump(this.code(), &Argument::new(arg)),
            _ => Err(ENOTTY),
        }
    }

    fn list_counters(&self, sink: Sink<'_>) -> Result {
        self.code().counters().list(sink)
    }
}
