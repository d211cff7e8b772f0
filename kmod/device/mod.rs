// SPDX-License-Identifier: GPL-2.0

//! The misc device `/dev/kwasmi` and its ioctls.

mod dump;
mod module;
mod pool;

use crate::{
    anon_file,
    code::cache::EngineChoice,
    counters,
    engine::{
        stack,
        Reserve, //
    },
    ffi::NotCompiled,
    ioctl::{
        self,
        Argument, //
    },
    limits::{
        self,
        CallLimits,
        LIMITS, //
    },
    log::LogBuffer,
    module::Module,
    policy::{
        audit::{
            self,
            Event, //
        },
        denied,
        identity::Identity, //
    },
    service::registry,
    signing::envelope::Envelope,
    trace,
    uapi::{
        kwasmi_deny,
        kwasmi_find,
        kwasmi_info,
        kwasmi_limit_info,
        kwasmi_list_limits,
        kwasmi_list_policy,
        kwasmi_list_services,
        kwasmi_load,
        kwasmi_min_version,
        kwasmi_policy,
        KWASMI_ABI,
        KWASMI_FEATURE_COMPILER,
        KWASMI_FEATURE_FAULT_INJECTION,
        KWASMI_FEATURE_WASI_PREVIEW1,
        KWASMI_LIMIT_MODULE_SIZE,
        KWASMI_LOAD_COMPILE,
        KWASMI_LOAD_INTERPRET,
        KWASMI_LOAD_ONCE, //
    },
};
use core::fmt::Write;
use kernel::{
    error::code::EKEYREJECTED,
    fs::File,
    miscdevice::{
        MiscDevice,
        MiscDeviceRegistration, //
    },
    prelude::*,
    sync::Arc, //
};

const INFO: u32 = ioctl::ior::<kwasmi_info>(0x80);
const LOAD: u32 = ioctl::iowr::<kwasmi_load>(0x81);
const LIST_LIMITS: u32 = ioctl::iowr::<kwasmi_list_limits>(0x85);
const POLICY: u32 = ioctl::ior::<kwasmi_policy>(0x87);
const DENY: u32 = ioctl::iow::<kwasmi_deny>(0x88);
const LIST_DENIED: u32 = ioctl::iowr::<kwasmi_list_policy>(0x89);
const SET_MIN_VERSION: u32 = ioctl::iow::<kwasmi_min_version>(0x8A);
const LIST_MIN_VERSIONS: u32 = ioctl::iowr::<kwasmi_list_policy>(0x8B);
const FIND: u32 = ioctl::iow::<kwasmi_find>(0x8F);
const LIST_SERVICES: u32 = ioctl::iowr::<kwasmi_list_services>(0x90);

/// Open file of `/dev/kwasmi`. It has no state: each loaded module has its own fd.
pub(crate) struct Device;

#[vtable]
impl MiscDevice for Device {
    type Ptr = KBox<Self>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        Ok(KBox::new(Self, GFP_KERNEL)?)
    }

    fn ioctl(_device: &Self, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        let arg = Argument::new(arg);
        match cmd {
            INFO => info(&arg),
            LOAD => load(&arg),
            LIST_LIMITS => list_limits(&arg),
            POLICY => denied::info(&arg),
            DENY => denied::deny(&arg),
            LIST_DENIED => denied::list_denied(&arg),
            SET_MIN_VERSION => denied::set_min_version(&arg),
            LIST_MIN_VERSIONS => denied::list_min_versions(&arg),
            FIND => registry::find(&arg),
            LIST_SERVICES => registry::list(&arg),
            _ => Err(ENOTTY),
        }
    }
}

/// Implements `KWASMI_IOC_INFO`.
fn info(arg: &Argument) -> Result<isize> {
    let mut version = [0; 32];
    for (place, byte) in version
        .iter_mut()
        .zip(env!("KWASMI_VERSION").bytes().take(31))
    {
        *place = byte as c_char;
    }
    let mut features = u64::from(KWASMI_FEATURE_WASI_PREVIEW1);
    if limits::has_fault_injection() {
        features |= u64::from(KWASMI_FEATURE_FAULT_INJECTION);
    }
    if limits::has_compiler() {
        features |= u64::from(KWASMI_FEATURE_COMPILER);
    }
    let reserve = Reserve::usage()?;
    arg.write(&kwasmi_info {
        abi: KWASMI_ABI,
        unsafe_modules: u32::try_from(counters::UNSAFE.get()).unwrap_or(u32::MAX),
        features,
        modules: counters::MODULES.get(),
        instances: counters::INSTANCES.get(),
        heap_bytes: counters::HEAP_BYTES.get(),
        heap_blocks: counters::HEAP_BLOCKS.get(),
        reclaimed_bytes: counters::RECLAIMED_BYTES.get(),
        reserve_bytes: limits::reserve_bytes() as u64,
        reserve_used_bytes: reserve.used as u64,
        reserve_peak_bytes: reserve.peak as u64,
        engine_stack_bytes: stack::SIZE as u64,
        engine_stack_peak_bytes: counters::STACK_PEAK.get(),
        compiled: counters::COMPILED.get(),
        machine_code_bytes: counters::MACHINE_CODE_BYTES.get(),
        version,
    })?;
    Ok(0)
}

/// Implements `KWASMI_IOC_LIST_LIMITS`.
fn list_limits(arg: &Argument) -> Result<isize> {
    let mut request: kwasmi_list_limits = arg.read()?;
    if request.reserved != 0 {
        return Err(EINVAL);
    }
    for (index, limit) in LIMITS.iter().take(request.limits_len as usize).enumerate() {
        let info = kwasmi_limit_info {
            limit: limit.id,
            reserved: 0,
            value: limit.default(),
            ceiling: limit.ceiling(),
        };
        ioctl::element_to_user(request.limits, index, &info)?;
    }
    request.limits_len = LIMITS.len() as u32;
    arg.write(&request)?;
    Ok(0)
}

/// Implements `KWASMI_IOC_LOAD`.
fn load(arg: &Argument) -> Result<isize> {
    ioctl::require_sys_admin()?;
    let mut request: kwasmi_load = arg.read()?;
    let engine = engine_choice(&request)?;
    if request.reserved != 0 {
        return Err(EINVAL);
    }
    let mut log = LogBuffer::new(request.log, request.log_size)?;
    let module = load_module(&request, engine, &mut log);
    ioctl::with_log(module, &log, |len, limit| {
        request.log_len = len;
        (request.limit, request.limit_value) = limit;
        arg.write(&request)
    })
    .and_then(|module| anon_file::install(module))
}

/// Size in bytes up to which a module without exceptions is compiled for one run. Compiling takes
/// several times as long as translating for the interpreter (docs/architecture.md, "Machine code").
const ONCE_MAX: u64 = 1 << 20;

/// Returns the engine that `request` asks for.
///
/// # Errors
///
/// `EINVAL` if the flags are unknown or exclude each other.
fn engine_choice(request: &kwasmi_load) -> Result<EngineChoice> {
    let auto = |reason| {
        if limits::has_compiler() {
            reason
        } else {
            Some(NotCompiled::Off)
        }
    };
    match request.flags {
        0 => Ok(EngineChoice::Auto(auto(None))),
        KWASMI_LOAD_ONCE if request.wasm_len > ONCE_MAX => {
            Ok(EngineChoice::Auto(auto(Some(NotCompiled::Large))))
        }
        KWASMI_LOAD_ONCE => Ok(EngineChoice::Auto(auto(None))),
        KWASMI_LOAD_COMPILE => Ok(EngineChoice::Compiler),
        KWASMI_LOAD_INTERPRET => Ok(EngineChoice::Interpreter(NotCompiled::Requested)),
        _ => Err(EINVAL),
    }
}

fn load_module(
    request: &kwasmi_load,
    engine: EngineChoice,
    log: &mut LogBuffer,
) -> Result<Arc<Module>> {
    let mut limits = CallLimits::from_user(request.limits, request.limits_len, log)?;
    limits.check(KWASMI_LIMIT_MODULE_SIZE, request.wasm_len, log)?;
    // Copied once, so that the bytes that are verified are the bytes that run.
    let file = ioctl::bytes_from_user(request.wasm, usize::try_from(request.wasm_len)?)?;
    let (identity, module) = match Envelope::open(&file) {
        Ok(envelope) => {
            let mut identity = Identity::from_envelope(&envelope)?;
            let verified = identity
                .verify(&envelope, log)
                .and_then(|()| identity.restrict(&mut limits, log));
            let identity = Arc::new(identity, GFP_KERNEL_ACCOUNT)?;
            let module = verified.and_then(|()| {
                limits.check(KWASMI_LIMIT_MODULE_SIZE, request.wasm_len, log)?;
                let engine = match engine {
                    // The interpreter does not know exceptions.
                    EngineChoice::Auto(Some(NotCompiled::Large)) if envelope.has_tags() => {
                        EngineChoice::Auto(None)
                    }
                    engine => engine,
                };
                Module::load(&envelope, identity.clone(), &limits, engine, log)
            });
            (identity, module)
        }
        Err(malformed) => {
            let _ = write!(log, "{malformed}");
            let whole = Envelope {
                signed: &file,
                manifest: None,
                signature: None,
            };
            (
                Arc::new(Identity::from_envelope(&whole)?, GFP_KERNEL_ACCOUNT)?,
                Err(EKEYREJECTED),
            )
        }
    };
    let error = module.as_ref().err().copied();
    trace::load(
        identity.sha256(),
        request.wasm_len,
        error.map_or(0, Error::to_errno),
    );
    audit::record(Event::Load, &identity, error);
    module
}
