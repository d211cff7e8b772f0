// SPDX-License-Identifier: GPL-2.0

//! The real device: `/dev/kwasmi` and its module and instance fds, by the ioctls of
//! `kmod/uapi/kwasmi.h`.

mod ioctls;

pub(crate) use self::ioctls::{
    Argument,
    call,
    returned, //
};

use self::ioctls::{
    Denied,
    ListMinVersions, //
};
use crate::{
    device::{
        Device,
        Engine,
        Identity,
        Info,
        Instance,
        Module,
        Refusal,
        Start, //
    },
    limits::{
        Limit,
        LimitInfo,
        Reached,
        RequestedLimits, //
    },
    machine_code::Function,
    policy::{
        MinVersion,
        Mode as VerifyMode,
        Policy,
        Verdict, //
    },
    run_result::RunResult,
    signing::{
        hash::Sha256,
        version::Version, //
    },
    uapi::{
        self,
        kwasmi_deny,
        kwasmi_dump,
        kwasmi_fd,
        kwasmi_info,
        kwasmi_invoke,
        kwasmi_limit,
        kwasmi_limit_info,
        kwasmi_list_limits,
        kwasmi_list_policy,
        kwasmi_load,
        kwasmi_min_version,
        kwasmi_module,
        kwasmi_policy,
        kwasmi_results,
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
    io::Errno, //
};
use std::{
    ffi::{
        CStr,
        c_char, //
    },
    os::fd::{
        AsFd,
        BorrowedFd,
        OwnedFd, //
    }, //
};

/// Path of the device.
pub const PATH: &str = "/dev/kwasmi";

/// Size of a log buffer, in bytes.
const LOG_BYTES: u32 = 64 * 1024;

/// A log buffer.
pub(crate) struct Log(Vec<u8>);

impl Log {
    pub(crate) fn new() -> Self {
        Self(vec![0; LOG_BYTES as usize])
    }

    /// Returns the size of the buffer, in bytes.
    #[expect(clippy::unused_self, reason = "all buffers have the same size")]
    pub(crate) const fn size(&self) -> u32 {
        LOG_BYTES
    }

    pub(crate) fn address(&mut self) -> u64 {
        self.0.as_mut_ptr().expose_provenance() as u64
    }

    /// Returns the log text. `len` is the length of the whole text in bytes, which may exceed the
    /// buffer.
    pub(crate) fn text(&self, len: u32) -> String {
        let len = len as usize;
        match self.0.get(..len) {
            Some(text) => String::from_utf8_lossy(text).into_owned(),
            None => format!("{} [...]", String::from_utf8_lossy(&self.0)),
        }
    }
}

/// Returns the address of a buffer that the kernel only reads.
fn address<T>(values: &[T]) -> u64 {
    values.as_ptr().expose_provenance() as u64
}

/// Converts limits to their structures in the ioctl interface.
fn raw(limits: &RequestedLimits) -> Vec<kwasmi_limit> {
    let raw = |(limit, value): &(Limit, std::num::NonZeroU64)| kwasmi_limit {
        limit: limit.0,
        value: value.get(),
        ..kwasmi_limit::default()
    };
    limits.iter().map(raw).collect()
}

/// Returns `name` as in an ioctl's structure: padded with zeros.
///
/// # Errors
///
/// `EINVAL` if there is no room for a NUL behind it.
pub(crate) fn chars(name: &str) -> Result<[c_char; 72], Errno> {
    let mut chars = [0; 72];
    if name.len() >= chars.len() {
        return Err(Errno::INVAL);
    }
    for (place, byte) in chars.iter_mut().zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    Ok(chars)
}

/// Returns the text in a `char` array, up to the first NUL.
pub(crate) fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|char| char.cast_unsigned()).collect();
    let text = CStr::from_bytes_until_nul(&bytes).map_or(bytes.as_slice(), CStr::to_bytes);
    String::from_utf8_lossy(text).into_owned()
}

/// Reads a whole list. `ask` fills the array it is given, and returns the number of entries in the
/// kernel.
pub(crate) fn list<T: Clone + Default>(mut ask: impl FnMut(&mut [T]) -> Result<u32, Errno>) -> Result<Vec<T>, Errno> {
    let mut room = LIST_ROOM;
    loop {
        let mut entries = vec![T::default(); room];
        let there = ask(&mut entries)? as usize;
        if there <= room {
            entries.truncate(there);
            return Ok(entries);
        }
        // The list may have grown since the call.
        room = there.saturating_add(LIST_ROOM);
    }
}

/// Returns a list argument whose buffer is `entries`.
fn room<T>(entries: &mut [T]) -> Result<kwasmi_list_policy, Errno> {
    Ok(kwasmi_list_policy {
        entries: entries.as_mut_ptr().expose_provenance() as u64,
        entries_len: u32::try_from(entries.len()).map_err(|_| Errno::TOOBIG)?,
        ..kwasmi_list_policy::default()
    })
}

/// Returns the limit that a failed call reported, if any.
fn reached(limit: u32, value: u64) -> Option<Reached> {
    (limit != 0).then_some(Reached { limit: Limit(limit), value })
}

/// Maximum number of limits to ask the kernel module for.
const LIMITS_MAX: usize = 256;

/// Initial size of the buffer for the machine code of a function, in bytes.
const MACHINE_CODE_ROOM: usize = 1 << 20;

/// Initial number of entries to allocate for a list.
const LIST_ROOM: usize = 256;

/// An open `/dev/kwasmi`.
#[derive(Debug)]
pub struct KernelDevice(OwnedFd);

impl AsFd for KernelDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl KernelDevice {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// The errors of open(2).
    pub fn open() -> Result<Self, Errno> {
        Ok(Self(fs::open(PATH, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?))
    }
}

impl Device for KernelDevice {
    type Module = KernelModule;

    fn info(&self) -> Result<Info, Refusal> {
        let mut info = kwasmi_info::default();
        // SAFETY: `info` has no address fields.
        unsafe { call(&self.0, &mut info) }?;
        Ok(Info {
            abi: info.abi,
            version: text(&info.version),
            features: info.features,
            unsafe_modules: info.unsafe_modules,
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
            compiled: info.compiled,
            machine_code_bytes: info.machine_code_bytes,
        })
    }

    fn limits(&self) -> Result<Vec<LimitInfo>, Refusal> {
        let mut infos = vec![kwasmi_limit_info::default(); LIMITS_MAX];
        let mut argument = kwasmi_list_limits {
            limits: infos.as_mut_ptr().expose_provenance() as u64,
            limits_len: u32::try_from(infos.len()).map_err(|_| Errno::TOOBIG)?,
            ..kwasmi_list_limits::default()
        };
        // SAFETY: `limits` is the address of `infos`, an owned array of `limits_len` writable
        // entries, which is not accessed during the call.
        unsafe { call(&self.0, &mut argument) }?;
        infos.truncate(argument.limits_len as usize);
        let known = |info: kwasmi_limit_info| LimitInfo {
            limit: Limit(info.limit),
            default: info.value,
            ceiling: info.ceiling,
        };
        Ok(infos.into_iter().map(known).collect())
    }

    fn load(&self, wasm: &[u8], limits: &RequestedLimits, engine: Engine) -> Result<KernelModule, Refusal> {
        let limits = raw(limits);
        let mut log = Log::new();
        let mut load = kwasmi_load {
            wasm: address(wasm),
            wasm_len: wasm.len() as u64,
            limits: address(&limits),
            limits_len: u32::try_from(limits.len()).map_err(|_| Errno::TOOBIG)?,
            log: log.address(),
            log_size: LOG_BYTES,
            flags: match engine {
                Engine::Auto => 0,
                Engine::AutoOnce => uapi::KWASMI_LOAD_ONCE,
                Engine::Compiler => uapi::KWASMI_LOAD_COMPILE,
                Engine::Interpreter => uapi::KWASMI_LOAD_INTERPRET,
            },
            ..kwasmi_load::default()
        };
        // SAFETY: `wasm` and `limits` are readable arrays of the given lengths, and `log` is an
        // owned buffer of `LOG_BYTES` writable bytes; all of them live until the call returns. The
        // kernel writes only the log.
        let result = unsafe { call(&self.0, &mut load) };
        let fd = result.map_err(|errno| {
            let reached = reached(load.limit, load.limit_value);
            Refusal { errno, text: log.text(load.log_len), reached }
        })?;
        // SAFETY: `fd` is the result of the successful `KWASMI_IOC_LOAD` above, and is converted
        // once.
        Ok(KernelModule(unsafe { returned(fd) }))
    }

    fn policy(&self) -> Result<Policy, Refusal> {
        let mut policy = kwasmi_policy::default();
        // SAFETY: `policy` has no address fields.
        unsafe { call(&self.0, &mut policy) }?;
        Ok(Policy {
            verify: VerifyMode(policy.verify),
            locked_down: policy.flags & uapi::KWASMI_POLICY_LOCKED_DOWN != 0,
            kernel_keys: policy.flags & uapi::KWASMI_POLICY_KERNEL_KEYS != 0,
            keyring: policy.keyring,
            denied: policy.denied_len,
            min_versions: policy.min_versions_len,
        })
    }

    fn deny(&self, hash: &Sha256) -> Result<(), Refusal> {
        let mut deny = kwasmi_deny { sha256: hash.0 };
        // SAFETY: `deny` has no address fields.
        unsafe { call(&self.0, &mut deny) }?;
        Ok(())
    }

    fn denied(&self) -> Result<Vec<Sha256>, Refusal> {
        let entries: Vec<kwasmi_deny> = list(|entries| {
            let mut argument = Denied(room(entries)?);
            // SAFETY: `entries` is a writable array of `entries_len` entries, which is not accessed
            // during the call.
            unsafe { call(&self.0, &mut argument) }?;
            Ok(argument.0.entries_len)
        })?;
        Ok(entries.into_iter().map(|entry| Sha256(entry.sha256)).collect())
    }

    fn set_min_version(&self, minimum: &MinVersion) -> Result<(), Refusal> {
        let mut argument = kwasmi_min_version {
            name: chars(&minimum.name)?,
            version: minimum.version.0,
            ..kwasmi_min_version::default()
        };
        // SAFETY: `argument` has no address fields.
        unsafe { call(&self.0, &mut argument) }?;
        Ok(())
    }

    fn min_versions(&self) -> Result<Vec<MinVersion>, Refusal> {
        let entries: Vec<kwasmi_min_version> = list(|entries| {
            let mut argument = ListMinVersions(room(entries)?);
            // SAFETY: `entries` is a writable array of `entries_len` entries, which is not accessed
            // during the call.
            unsafe { call(&self.0, &mut argument) }?;
            Ok(argument.0.entries_len)
        })?;
        Ok(entries
            .iter()
            .map(|entry| MinVersion { name: text(&entry.name), version: Version(entry.version) })
            .collect())
    }
}

/// A module fd.
#[derive(Debug)]
pub struct KernelModule(OwnedFd);

impl AsFd for KernelModule {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for KernelModule {
    /// Takes over a module fd. Any other descriptor fails in its ioctls.
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

/// Highest number of helpers.
const HELPERS_MAX: usize = 1024;

impl KernelModule {
    /// Returns the machine code of function `index` of those that the module defines, without its
    /// name, and the addresses of the helpers. Returns `None` if there is no such function.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_DUMP`, except `EINVAL`.
    pub fn machine_code(&self, index: u32) -> Result<Option<(Function, Vec<u64>)>, Refusal> {
        let mut code = vec![0_u8; MACHINE_CODE_ROOM];
        let mut helpers = vec![0_u64; HELPERS_MAX];
        loop {
            let mut dump = kwasmi_dump {
                function: index,
                code: code.as_mut_ptr().expose_provenance() as u64,
                code_size: u32::try_from(code.len()).map_err(|_| Errno::TOOBIG)?,
                helpers: helpers.as_mut_ptr().expose_provenance() as u64,
                helpers_len: u32::try_from(helpers.len()).map_err(|_| Errno::TOOBIG)?,
                ..kwasmi_dump::default()
            };
            // SAFETY: `code` and `helpers` are writable arrays of the given lengths, which live
            // until the call returns.
            match unsafe { call(&self.0, &mut dump) } {
                Err(Errno::INVAL) if dump.functions <= index => return Ok(None),
                result => result?,
            };
            let len = dump.code_len as usize;
            if len <= code.len() {
                code.truncate(len);
                helpers.truncate(dump.helpers_len as usize);
                let (address, instructions) = (dump.address, dump.instructions);
                return Ok(Some((Function { index, name: None, address, instructions, code }, helpers)));
            }
            code.resize(len, 0);
        }
    }
}

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
        let invoke = match &start.invoke {
            Some(invocation) => vec![kwasmi_invoke {
                name: address(invocation.name.as_bytes()),
                name_len: u32::try_from(invocation.name.len()).map_err(|_| Errno::TOOBIG)?,
                args_len: u32::try_from(invocation.args.len()).map_err(|_| Errno::TOOBIG)?,
                args: address(&invocation.args),
                ..kwasmi_invoke::default()
            }],
            None => vec![],
        };
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
            flags: if start.sigpipe { uapi::KWASMI_START_SIGPIPE } else { 0 }
                | if start.reactor { uapi::KWASMI_START_REACTOR } else { 0 },
            log: log.address(),
            log_size: LOG_BYTES,
            invoke: if invoke.is_empty() { 0 } else { address(&invoke) },
            ..kwasmi_start::default()
        };
        // SAFETY: `args`, `env`, `fds` with their names, `limits`, and the name and arguments in
        // `invoke` are readable arrays of the given lengths, `invoke` is 0 or the address of a
        // readable structure, and `log` is an owned buffer of `LOG_BYTES` writable bytes; all of
        // them live until the call returns. The kernel writes only the log.
        let result = unsafe { call(&self.0, &mut argument) };
        let fd = result.map_err(|errno| {
            let reached = reached(argument.limit, argument.limit_value);
            Refusal { errno, text: log.text(argument.log_len), reached }
        })?;
        // SAFETY: `fd` is the result of the successful `KWASMI_IOC_START` above, and is converted
        // once.
        Ok(KernelInstance(unsafe { returned(fd) }))
    }

    fn identity(&self) -> Result<Identity, Refusal> {
        let mut module = kwasmi_module::default();
        // SAFETY: `module` has no address fields.
        unsafe { call(&self.0, &mut module) }?;
        let has_manifest = module.flags & uapi::KWASMI_MODULE_MANIFEST != 0;
        Ok(Identity {
            sha256: Sha256(module.sha256),
            verdict: Verdict(module.verdict),
            signer: text(&module.signer),
            manifest: has_manifest.then(|| (text(&module.name), Version(module.version))),
            shared: module.flags & uapi::KWASMI_MODULE_SHARED != 0,
            compiled: module.flags & uapi::KWASMI_MODULE_COMPILED != 0,
            engine_reason: text(&module.engine_reason),
        })
    }
}

/// An instance fd.
#[derive(Debug)]
pub struct KernelInstance(OwnedFd);

impl AsFd for KernelInstance {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Instance for KernelInstance {
    fn run(&self) -> Result<RunResult, Refusal> {
        let mut log = Log::new();
        let mut run = kwasmi_run { log: log.address(), log_size: LOG_BYTES, ..kwasmi_run::default() };
        // SAFETY: `log` is an owned buffer of `LOG_BYTES` writable bytes, which is not accessed
        // during the call. The guest cannot access the memory of this process.
        let result = unsafe { call(&self.0, &mut run) };
        let text = log.text(run.log_len);
        match result {
            Ok(_) => Ok(RunResult::from_raw(&run, text)),
            Err(errno) => Err(Refusal { errno, text, reached: reached(run.code, run.limit_value) }),
        }
    }

    fn results(&self) -> Result<Vec<u64>, Refusal> {
        let mut results = vec![0; uapi::KWASMI_INVOKE_MAX as usize];
        let mut argument = kwasmi_results {
            results: results.as_mut_ptr().expose_provenance() as u64,
            results_len: uapi::KWASMI_INVOKE_MAX,
            ..kwasmi_results::default()
        };
        // SAFETY: `results` is the address of an owned array of `results_len` writable entries,
        // which is not accessed during the call.
        unsafe { call(&self.0, &mut argument) }?;
        results.truncate(argument.results_len as usize);
        Ok(results)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_alignments_leave_no_padding_at_the_end() {
        assert_eq!(size_of::<kwasmi_info>(), 144);
        assert_eq!(size_of::<kwasmi_limit>(), 16);
        assert_eq!(size_of::<kwasmi_limit_info>(), 24);
        assert_eq!(size_of::<kwasmi_list_limits>(), 16);
        assert_eq!(size_of::<kwasmi_load>(), 64);
        assert_eq!(size_of::<kwasmi_fd>(), 40);
        assert_eq!(size_of::<kwasmi_start>(), 104);
        assert_eq!(size_of::<kwasmi_invoke>(), 32);
        assert_eq!(size_of::<kwasmi_run>(), 72);
        assert_eq!(size_of::<kwasmi_results>(), 16);
        assert_eq!(size_of::<kwasmi_module>(), 384);
        assert_eq!(size_of::<kwasmi_dump>(), 48);
        assert_eq!(size_of::<kwasmi_policy>(), 24);
        assert_eq!(size_of::<kwasmi_deny>(), 32);
        assert_eq!(size_of::<kwasmi_min_version>(), 88);
        assert_eq!(size_of::<kwasmi_list_policy>(), 16);
    }

    #[test]
    fn lists_get_as_much_room_as_they_need() {
        let mut rooms = vec![];
        let all = list(|entries: &mut [u32]| {
            rooms.push(entries.len());
            (0..1000).zip(entries).for_each(|(number, place)| *place = number);
            Ok(1000)
        });
        assert_eq!(all, Ok((0..1000).collect()));
        assert_eq!(rooms, [256, 1256]);
        assert_eq!(list::<u32>(|_| Err(Errno::PERM)), Err(Errno::PERM));
    }

    #[test]
    fn texts_end_at_the_nul() {
        assert_eq!(text(&[0x61, 0x62, 0, 0x63]), "ab");
        assert_eq!(text(&[0x61, -1]), "a\u{fffd}");
        assert_eq!(text(&[]), "");
    }

    #[test]
    fn log_text_is_cut_to_the_buffer() {
        let mut log = Log(b"no\xff!".to_vec());
        assert_ne!(log.address(), 0);
        assert_eq!(log.text(0), "");
        assert_eq!(log.text(2), "no");
        assert_eq!(log.text(4), "no\u{fffd}!");
        assert_eq!(log.text(5), "no\u{fffd}! [...]");
        assert_eq!(log.text(u32::MAX), "no\u{fffd}! [...]");
    }

    #[test]
    fn another_file_fails_with_enotty() {
        let file = fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).expect("is there");
        let refusal = KernelDevice(file).info().expect_err("knows no such command");
        assert_eq!(refusal.errno, Errno::NOTTY);
    }
}
