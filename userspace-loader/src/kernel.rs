// SPDX-License-Identifier: GPL-2.0

//! The real device: `/dev/kwasmi` and the descriptors that it hands out.

use crate::{
    device::{
        Device,
        Info,
        Instance,
        Module,
        Refusal,
        Start, //
    },
    end::{
        End,
        Ended, //
    },
    limits::{
        Asked,
        Known,
        Limit,
        Reached, //
    },
    uapi::{
        self,
        kwasmi_fd,
        kwasmi_info,
        kwasmi_limit,
        kwasmi_limit_info,
        kwasmi_limits,
        kwasmi_load,
        kwasmi_run,
        kwasmi_start, //
    }, //
};
use rustix::{
    fs::{
        self,
        Mode,
        OFlags, //
    },
    io::Errno,
    ioctl::{
        Ioctl,
        IoctlOutput,
        Opcode, //
    }, //
};
use std::{
    ffi::{
        CStr,
        c_void, //
    },
    os::fd::{
        AsFd,
        FromRawFd,
        OwnedFd, //
    }, //
};

/// Where the device is.
pub const PATH: &str = "/dev/kwasmi";

/// Room for the kernel's log text.
const LOG_BYTES: u32 = 64 * 1024;

/// The argument of one command.
///
/// # Safety
///
/// The kernel reads and writes no more of `Self` than its size when it is called with `OPCODE`, whatever it writes there
/// is a valid `Self`, and besides that it touches only what the addresses in `Self` point at.
unsafe trait Argument {
    /// The command's number.
    const OPCODE: Opcode;
}

// SAFETY: The header defines the command with this structure, which is made of integers only.
unsafe impl Argument for kwasmi_info {
    const OPCODE: Opcode = uapi::IOC_INFO;
}

// SAFETY: As above.
unsafe impl Argument for kwasmi_load {
    const OPCODE: Opcode = uapi::IOC_LOAD;
}

// SAFETY: As above.
unsafe impl Argument for kwasmi_limits {
    const OPCODE: Opcode = uapi::IOC_LIMITS;
}

// SAFETY: As above.
unsafe impl Argument for kwasmi_start {
    const OPCODE: Opcode = uapi::IOC_START;
}

// SAFETY: As above.
unsafe impl Argument for kwasmi_run {
    const OPCODE: Opcode = uapi::IOC_RUN;
}

/// A command with its argument, which stays readable when the call fails.
struct Call<'a, T>(&'a mut T);

// SAFETY: `Argument` promises that the pointer is what the command expects; the output is the call's own result.
unsafe impl<T: Argument> Ioctl for Call<'_, T> {
    type Output = IoctlOutput;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        T::OPCODE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut *self.0).cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> Result<IoctlOutput, Errno> {
        Ok(out)
    }
}

/// Makes a call.
///
/// # Safety
///
/// Each address in `argument` is that of a buffer that lives and is not otherwise used during the call, of the length that
/// `argument` says, and that may be written to if the header says that the kernel does so.
unsafe fn call<T: Argument>(fd: impl AsFd, argument: &mut T) -> Result<IoctlOutput, Errno> {
    // SAFETY: By `Argument` for the structure, by the caller for what it points at.
    unsafe { rustix::ioctl::ioctl(fd, Call(argument)) }
}

/// Takes over the descriptor that a call returned.
///
/// # Safety
///
/// `fd` is the result of a `KWASMI_IOC_LOAD` or `KWASMI_IOC_START` that succeeded, and is taken over once.
unsafe fn returned(fd: IoctlOutput) -> OwnedFd {
    // SAFETY: By the caller: these calls return a new descriptor.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A log buffer.
struct Log(Vec<u8>);

impl Log {
    fn new() -> Self {
        Self(vec![0; LOG_BYTES as usize])
    }

    fn address(&mut self) -> u64 {
        self.0.as_mut_ptr().expose_provenance() as u64
    }

    /// The text, of which the kernel says that it has `len` bytes.
    fn text(&self, len: u32) -> String {
        let len = len as usize;
        match self.0.get(..len) {
            Some(text) => String::from_utf8_lossy(text).into_owned(),
            None => format!("{} [...]", String::from_utf8_lossy(&self.0)),
        }
    }
}

/// The address of what the kernel only reads.
fn address<T>(values: &[T]) -> u64 {
    values.as_ptr().expose_provenance() as u64
}

/// As the kernel takes them.
fn raw(limits: &Asked) -> Vec<kwasmi_limit> {
    let raw = |(limit, value): &(Limit, std::num::NonZeroU64)| kwasmi_limit {
        limit: limit.0,
        value: value.get(),
        ..kwasmi_limit::default()
    };
    limits.iter().map(raw).collect()
}

/// The limit that a call told, if it did.
fn reached(limit: u32, value: u64) -> Option<Reached> {
    (limit != 0).then_some(Reached { limit: Limit(limit), value })
}

/// The most limits that a kernel module is asked about.
const LIMITS_MAX: usize = 256;

/// An open `/dev/kwasmi`.
#[derive(Debug)]
pub struct Kernel(OwnedFd);

impl Kernel {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// Those of open(2).
    pub fn open() -> Result<Self, Errno> {
        Ok(Self(fs::open(PATH, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?))
    }
}

impl Device for Kernel {
    type Module = KernelModule;

    fn info(&self) -> Result<Info, Refusal> {
        let mut info = kwasmi_info::default();
        // SAFETY: There are no addresses in it.
        unsafe { call(&self.0, &mut info) }?;
        let version = info.version.map(i8::cast_unsigned);
        let version = CStr::from_bytes_until_nul(&version).map_or_else(|_| version.as_slice(), CStr::to_bytes);
        Ok(Info {
            abi: info.abi,
            version: String::from_utf8_lossy(version).into_owned(),
            features: info.features,
            modules: info.modules,
            instances: info.instances,
            heap_bytes: info.heap_bytes,
            heap_blocks: info.heap_blocks,
            reclaimed_bytes: info.reclaimed_bytes,
            reserve_bytes: info.reserve_bytes,
            reserve_used_bytes: info.reserve_used_bytes,
            reserve_peak_bytes: info.reserve_peak_bytes,
            engine_stack_bytes: info.engine_stack_bytes,
            engine_stack_peak_bytes: info.engine_stack_peak_bytes,
        })
    }

    fn limits(&self) -> Result<Vec<Known>, Refusal> {
        let mut infos = vec![kwasmi_limit_info::default(); LIMITS_MAX];
        let mut argument = kwasmi_limits {
            limits: infos.as_mut_ptr().expose_provenance() as u64,
            limits_len: u32::try_from(infos.len()).map_err(|_| Errno::TOOBIG)?,
            ..kwasmi_limits::default()
        };
        // SAFETY: `infos` is owned, and as long as it says.
        unsafe { call(&self.0, &mut argument) }?;
        infos.truncate(argument.limits_len as usize);
        let known =
            |info: kwasmi_limit_info| Known { limit: Limit(info.limit), default: info.value, ceiling: info.ceiling };
        Ok(infos.into_iter().map(known).collect())
    }

    fn load(&self, wasm: &[u8], limits: &Asked) -> Result<KernelModule, Refusal> {
        let limits = raw(limits);
        let mut log = Log::new();
        let mut load = kwasmi_load {
            wasm: address(wasm),
            wasm_len: wasm.len() as u64,
            limits: address(&limits),
            limits_len: u32::try_from(limits.len()).map_err(|_| Errno::TOOBIG)?,
            log: log.address(),
            log_size: LOG_BYTES,
            ..kwasmi_load::default()
        };
        // SAFETY: `wasm` is borrowed, `limits` and `log` are owned; each is as long as it says, and only `log` is written.
        let result = unsafe { call(&self.0, &mut load) };
        let fd = result.map_err(|errno| {
            let reached = reached(load.limit, load.limit_value);
            Refusal { errno, text: log.text(load.log_len), reached }
        })?;
        // SAFETY: The result of the call above.
        Ok(KernelModule(unsafe { returned(fd) }))
    }
}

/// A module fd.
#[derive(Debug)]
pub struct KernelModule(OwnedFd);

impl Module for KernelModule {
    type Instance = KernelInstance;

    fn start(&self, start: &Start) -> Result<KernelInstance, Refusal> {
        let fds: Vec<kwasmi_fd> = start
            .fds
            .iter()
            .map(|fd| {
                Ok(kwasmi_fd {
                    fd: fd.fd,
                    guest_fd: fd.guest_fd,
                    rights: fd.rights,
                    rights_inheriting: fd.rights_inheriting,
                    name: address(&fd.name),
                    name_len: u32::try_from(fd.name.len()).map_err(|_| Errno::TOOBIG)?,
                    ..kwasmi_fd::default()
                })
            })
            .collect::<Result<_, Errno>>()?;
        let limits = raw(&start.limits);
        let mut log = Log::new();
        let mut argument = kwasmi_start {
            args: address(&start.args),
            args_len: start.args.len() as u64,
            env: address(&start.env),
            env_len: start.env.len() as u64,
            fds: address(&fds),
            fds_len: u32::try_from(fds.len()).map_err(|_| Errno::TOOBIG)?,
            limits: address(&limits),
            limits_len: u32::try_from(limits.len()).map_err(|_| Errno::TOOBIG)?,
            log: log.address(),
            log_size: LOG_BYTES,
            ..kwasmi_start::default()
        };
        // SAFETY: `start` is borrowed, `fds`, `limits` and `log` are owned; each is as long as it says, and only `log` is written.
        let result = unsafe { call(&self.0, &mut argument) };
        let fd = result.map_err(|errno| {
            let reached = reached(argument.limit, argument.limit_value);
            Refusal { errno, text: log.text(argument.log_len), reached }
        })?;
        // SAFETY: The result of the call above.
        Ok(KernelInstance(unsafe { returned(fd) }))
    }
}

/// An instance fd.
#[derive(Debug)]
pub struct KernelInstance(OwnedFd);

impl Instance for KernelInstance {
    fn run(&self) -> Result<Ended, Refusal> {
        let mut log = Log::new();
        let mut run = kwasmi_run { log: log.address(), log_size: LOG_BYTES, ..kwasmi_run::default() };
        // SAFETY: `log` is owned, and as long as it says. The guest gets at none of this process's memory.
        let result = unsafe { call(&self.0, &mut run) };
        let text = log.text(run.log_len);
        match result {
            Ok(_) => Ok(Ended {
                end: End::from_raw(run.status, run.code, run.limit_value),
                text,
                fuel_used: run.fuel_used,
                memory_peak: run.memory_peak,
                heap_peak: run.heap_peak,
                stack_peak: run.stack_peak,
            }),
            Err(errno) => Err(Refusal { errno, text, reached: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::ioctl::opcode;

    #[test]
    fn the_numbers_are_those_of_the_header() {
        assert_eq!(kwasmi_info::OPCODE, opcode::read::<kwasmi_info>(0xb9, 0x80));
        assert_eq!(kwasmi_load::OPCODE, opcode::read_write::<kwasmi_load>(0xb9, 0x81));
        assert_eq!(kwasmi_start::OPCODE, opcode::read_write::<kwasmi_start>(0xb9, 0x82));
        assert_eq!(kwasmi_run::OPCODE, opcode::read_write::<kwasmi_run>(0xb9, 0x83));
        assert_eq!(kwasmi_limits::OPCODE, opcode::read_write::<kwasmi_limits>(0xb9, 0x85));
    }

    #[test]
    fn sizes_and_alignments_leave_no_padding_at_the_end() {
        assert_eq!(size_of::<kwasmi_info>(), 128);
        assert_eq!(size_of::<kwasmi_limit>(), 16);
        assert_eq!(size_of::<kwasmi_limit_info>(), 24);
        assert_eq!(size_of::<kwasmi_limits>(), 16);
        assert_eq!(size_of::<kwasmi_load>(), 64);
        assert_eq!(size_of::<kwasmi_fd>(), 40);
        assert_eq!(size_of::<kwasmi_start>(), 104);
        assert_eq!(size_of::<kwasmi_run>(), 72);
    }

    #[test]
    fn log_text_is_cut_to_what_there_is() {
        let mut log = Log(b"no\xff!".to_vec());
        assert_ne!(log.address(), 0);
        assert_eq!(log.text(0), "");
        assert_eq!(log.text(2), "no");
        assert_eq!(log.text(4), "no\u{fffd}!");
        assert_eq!(log.text(5), "no\u{fffd}! [...]");
        assert_eq!(log.text(u32::MAX), "no\u{fffd}! [...]");
    }

    #[test]
    fn another_file_is_no_device() {
        let file = fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).expect("is there");
        let refusal = Kernel(file).info().expect_err("knows no such command");
        assert_eq!(refusal.errno, Errno::NOTTY);
    }
}
