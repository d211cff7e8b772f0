// SPDX-License-Identifier: GPL-2.0

//! Raw ioctls and helpers around them. Nothing is checked on this side, so that the tests reach the
//! kernel's checks.

use kwasmi::uapi::{
    self,
    kwasmi_fd,
    kwasmi_info,
    kwasmi_limit,
    kwasmi_load,
    kwasmi_run,
    kwasmi_start, //
};
use std::{
    fs::File,
    io,
    os::fd::{
        AsRawFd,
        FromRawFd,
        OwnedFd,
        RawFd, //
    },
    thread,
    time::Duration,
};

/// Result of a call: its value, or the error number.
pub(crate) type Answer = Result<i32, i32>;

/// `ioctl(2)`.
///
/// # Safety
///
/// The memory that the kernel writes for `command` and `argument` must be valid for writes.
pub(crate) unsafe fn ioctl(fd: RawFd, command: u64, argument: usize) -> Answer {
    // SAFETY: The memory that the kernel writes is valid by this function's safety requirement.
    let value = unsafe { libc::ioctl(fd, command, argument) };
    if value < 0 { Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { Ok(value) }
}

/// `ioctl(2)` with a structure.
pub(crate) fn call<T>(fd: &impl AsRawFd, command: u32, argument: &mut T) -> Answer {
    let address = std::ptr::from_mut(argument).expose_provenance();
    // SAFETY: `argument` is the structure of `command`, borrowed mutably. The buffers that it names
    // are live buffers of the calling test, or unmapped addresses, for which the kernel fails with
    // EFAULT.
    unsafe { ioctl(fd.as_raw_fd(), u64::from(command), address) }
}

/// Takes ownership of a descriptor that a call has returned.
pub(crate) fn owned(answer: Answer) -> Result<OwnedFd, i32> {
    // SAFETY: The kernel has just created the descriptor for this process, and nothing else owns
    // it.
    answer.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens the device.
pub(crate) fn device() -> File {
    File::options().read(true).write(true).open("/dev/kwasmi").expect("the module is loaded")
}

/// Returns the answer of KWASMI_IOC_INFO.
pub(crate) fn info() -> kwasmi_info {
    let mut info = kwasmi_info::default();
    assert_eq!(call(&device(), uapi::IOC_INFO, &mut info), Ok(0));
    info
}

/// Panics unless kwasmi holds nothing. Retries for 2 s, since the kernel releases files shortly
/// after a process closes them.
pub(crate) fn assert_nothing_held() {
    for _ in 0..200 {
        let info = info();
        if [info.modules, info.instances, info.heap_bytes, info.heap_blocks, info.reserve_used_bytes] == [0; 5] {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let info = info();
    panic!(
        "{} modules, {} instances, {} bytes in {} blocks are left, and {} bytes of the reserve in use",
        info.modules, info.instances, info.heap_bytes, info.heap_blocks, info.reserve_used_bytes
    );
}

/// Returns the number of open descriptors of this process.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Returns the address of a buffer.
pub(crate) fn address<T>(buffer: &[T]) -> u64 {
    buffer.as_ptr().expose_provenance() as u64
}

/// Loads `wasm`. Returns the descriptor or the error number, and the text of the log.
pub(crate) fn load(wasm: &[u8]) -> (Result<OwnedFd, i32>, String) {
    load_for(wasm, 0)
}

/// Loads `wasm` with `flags`, `KWASMI_LOAD_*`. Returns the descriptor or the error number, and the
/// text of the log.
pub(crate) fn load_for(wasm: &[u8], flags: u32) -> (Result<OwnedFd, i32>, String) {
    let mut text = vec![0_u8; 4096];
    let mut request = kwasmi_load {
        wasm: address(wasm),
        wasm_len: wasm.len() as u64,
        flags,
        log: text.as_mut_ptr().expose_provenance() as u64,
        log_size: 4096,
        ..kwasmi_load::default()
    };
    let answer = owned(call(&device(), uapi::IOC_LOAD, &mut request));
    text.truncate(request.log_len as usize);
    (answer, String::from_utf8(text).expect("UTF-8"))
}

/// Loads a module from its text format. Panics if it is refused.
pub(crate) fn module(text: &str) -> OwnedFd {
    let wasm = wat::parse_str(text).expect("valid text");
    let (module, log) = load(&wasm);
    module.unwrap_or_else(|errno| panic!("error {errno}: {log}"))
}

/// Starts an instance. Returns the descriptor or the error number, and the text of the log.
pub(crate) fn start_with(module: &OwnedFd, mut request: kwasmi_start) -> (Result<OwnedFd, i32>, String) {
    let mut text = vec![0_u8; 4096];
    request.log = text.as_mut_ptr().expose_provenance() as u64;
    request.log_size = 4096;
    let answer = owned(call(module, uapi::IOC_START, &mut request));
    text.truncate(request.log_len as usize);
    (answer, String::from_utf8(text).expect("UTF-8"))
}

/// Returns a limit with its value.
pub(crate) fn limit(limit: u32, value: u64) -> kwasmi_limit {
    kwasmi_limit { limit, value, ..kwasmi_limit::default() }
}

/// Returns a start request with these limits, which must live until it is used.
pub(crate) fn limited(limits: &[kwasmi_limit]) -> kwasmi_start {
    let limits_len = u32::try_from(limits.len()).expect("few");
    kwasmi_start { limits: address(limits), limits_len, ..kwasmi_start::default() }
}

/// Loads `wasm` with `limits`. Returns the answer, and the request as the kernel left it.
pub(crate) fn load_limited(wasm: &[u8], limits: &[kwasmi_limit]) -> (Result<OwnedFd, i32>, kwasmi_load) {
    let mut request = kwasmi_load {
        wasm: address(wasm),
        wasm_len: wasm.len() as u64,
        limits: address(limits),
        limits_len: u32::try_from(limits.len()).expect("few"),
        ..kwasmi_load::default()
    };
    (owned(call(&device(), uapi::IOC_LOAD, &mut request)), request)
}

/// Starts an instance without arguments, environment or descriptors.
pub(crate) fn start(module: &OwnedFd) -> OwnedFd {
    let (instance, log) = start_with(module, kwasmi_start::default());
    instance.unwrap_or_else(|errno| panic!("error {errno}: {log}"))
}

/// Describes `fd` as the guest's descriptor `guest_fd` with all rights.
pub(crate) fn grant(fd: RawFd, guest_fd: u32) -> kwasmi_fd {
    kwasmi_fd { fd, guest_fd, rights: (1 << 30) - 1, ..kwasmi_fd::default() }
}

/// Starts an instance with these descriptors.
pub(crate) fn start_with_fds(module: &OwnedFd, fds: &[kwasmi_fd]) -> OwnedFd {
    let request =
        kwasmi_start { fds: address(fds), fds_len: u32::try_from(fds.len()).expect("few"), ..kwasmi_start::default() };
    let (instance, log) = start_with(module, request);
    instance.unwrap_or_else(|errno| panic!("error {errno}: {log}"))
}

/// Runs an instance until it ends or the call fails.
pub(crate) fn run(instance: &OwnedFd) -> Result<kwasmi_run, i32> {
    let mut request = kwasmi_run::default();
    call(instance, uapi::IOC_RUN, &mut request).map(|_| request)
}

/// Loads, starts and runs a program without descriptors. Returns how it ended.
pub(crate) fn ending(text: &str) -> kwasmi_run {
    let module = module(text);
    run(&start(&module)).expect("it runs")
}
