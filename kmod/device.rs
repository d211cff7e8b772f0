// SPDX-License-Identifier: GPL-2.0

//! `/dev/kwasmi`.

use crate::{
    anon_file, counters,
    engine::Reserve,
    ioctl::{
        self,
        Argument, //
    },
    limits,
    log::LogBuffer,
    module::Module,
    stack,
    uapi::{
        kwasmi_info,
        kwasmi_load,
        KWASMI_ABI,
        KWASMI_FEATURE_FAULT_INJECTION,
        KWASMI_FEATURE_WASI_PREVIEW1, //
    },
};
use core::fmt::Write;
use kernel::{
    bindings::{
        capable,
        CAP_SYS_ADMIN, //
    },
    fs::File,
    miscdevice::{
        MiscDevice,
        MiscDeviceRegistration, //
    },
    prelude::*, //
};

const INFO: u32 = ioctl::ior::<kwasmi_info>(0x80);
const LOAD: u32 = ioctl::iowr::<kwasmi_load>(0x81);

/// An open `/dev/kwasmi`. It has no state: what is loaded has descriptors of its own.
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
            _ => Err(ENOTTY),
        }
    }
}

/// `KWASMI_IOC_INFO`.
fn info(arg: &Argument) -> Result<isize> {
    let mut version = [0; 32];
    for (place, byte) in version.iter_mut().zip(env!("KWASMI_VERSION").bytes().take(31)) {
        *place = byte as c_char;
    }
    let mut features = u64::from(KWASMI_FEATURE_WASI_PREVIEW1);
    if limits::has_fault_injection() {
        features |= u64::from(KWASMI_FEATURE_FAULT_INJECTION);
    }
    arg.write(&kwasmi_info {
        abi: KWASMI_ABI,
        reserved: 0,
        features,
        modules: counters::MODULES.get(),
        instances: counters::INSTANCES.get(),
        heap_bytes: counters::HEAP_BYTES.get(),
        heap_blocks: counters::HEAP_BLOCKS.get(),
        reclaimed_bytes: counters::RECLAIMED_BYTES.get(),
        reserve_bytes: limits::reserve_bytes() as u64,
        reserve_peak_bytes: Reserve::peak()? as u64,
        engine_stack_bytes: stack::SIZE as u64,
        engine_stack_peak_bytes: counters::STACK_PEAK.get(),
        module_bytes_max: limits::module_bytes(),
        memory_bytes_max: limits::memory_ceiling(),
        version,
    })?;
    Ok(0)
}

/// `KWASMI_IOC_LOAD`.
fn load(arg: &Argument) -> Result<isize> {
    // What runs in the kernel is root's business.
    // SAFETY: It has no requirements.
    if !unsafe { capable(CAP_SYS_ADMIN as c_int) } {
        return Err(EPERM);
    }
    let mut request: kwasmi_load = arg.read()?;
    if request.flags != 0 || request.reserved != 0 {
        return Err(EINVAL);
    }
    let mut log = LogBuffer::new(request.log, request.log_size)?;
    let module = load_module(&request, &mut log);
    ioctl::with_log(module, &log, |len| {
        request.log_len = len;
        arg.write(&request)
    })
    .and_then(|module| anon_file::install(module))
}

fn load_module(request: &kwasmi_load, log: &mut LogBuffer) -> Result<kernel::sync::Arc<Module>> {
    let max = limits::module_bytes();
    if request.wasm_len > max {
        let _ = write!(log, "{} bytes, and {max} are the most that a module may have", request.wasm_len);
        return Err(E2BIG);
    }
    let stack = limits::stack(log, request.stack_max)?;
    let wasm = ioctl::bytes_from_user(request.wasm, usize::try_from(request.wasm_len)?)?;
    Module::load(&wasm, stack, log)
}
