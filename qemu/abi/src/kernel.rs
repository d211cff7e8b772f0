// SPDX-License-Identifier: GPL-2.0

//! Raw calls: nothing is checked on this side, so that the kernel's checks are seen.

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

/// What a call came to: its value, or the error number.
pub(crate) type Answer = Result<i32, i32>;

/// `ioctl(2)`.
///
/// # Safety
///
/// As for the command: what the kernel is told to write may be written.
pub(crate) unsafe fn ioctl(fd: RawFd, command: u64, argument: usize) -> Answer {
    // SAFETY: The caller guarantees it.
    let value = unsafe { libc::ioctl(fd, command, argument) };
    if value < 0 { Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { Ok(value) }
}

/// `ioctl(2)` with a structure.
pub(crate) fn call<T>(fd: &impl AsRawFd, command: u32, argument: &mut T) -> Answer {
    let address = std::ptr::from_mut(argument).expose_provenance();
    // SAFETY: The structure is the command's; buffers that it names live in the caller's test, or are not there at all.
    unsafe { ioctl(fd.as_raw_fd(), u64::from(command), address) }
}

/// A descriptor that a call has made.
pub(crate) fn owned(answer: Answer) -> Result<OwnedFd, i32> {
    // SAFETY: The kernel has just made it for us.
    answer.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The device, open.
pub(crate) fn device() -> File {
    File::options().read(true).write(true).open("/dev/kwasmi").expect("the module is loaded")
}

/// What kwasmi holds.
pub(crate) fn info() -> kwasmi_info {
    let mut info = kwasmi_info::default();
    assert_eq!(call(&device(), uapi::IOC_INFO, &mut info), Ok(0));
    info
}

/// Fails unless kwasmi holds nothing. Files are given up a moment after a process is done with them.
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

/// How many descriptors this process has open.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// The address of a buffer.
pub(crate) fn address<T>(buffer: &[T]) -> u64 {
    buffer.as_ptr().expose_provenance() as u64
}

/// Loads `wasm`; the descriptor, or the error number, and the log's text.
pub(crate) fn load(wasm: &[u8]) -> (Result<OwnedFd, i32>, String) {
    let mut text = vec![0_u8; 4096];
    let mut request = kwasmi_load {
        wasm: address(wasm),
        wasm_len: wasm.len() as u64,
        log: text.as_mut_ptr().expose_provenance() as u64,
        log_size: 4096,
        ..kwasmi_load::default()
    };
    let answer = owned(call(&device(), uapi::IOC_LOAD, &mut request));
    text.truncate(request.log_len as usize);
    (answer, String::from_utf8(text).expect("UTF-8"))
}

/// Loads a module that is fine, from text.
pub(crate) fn module(text: &str) -> OwnedFd {
    let wasm = wat::parse_str(text).expect("valid text");
    let (module, log) = load(&wasm);
    module.unwrap_or_else(|errno| panic!("error {errno}: {log}"))
}

/// Starts an instance; the descriptor, or the error number, and the log's text.
pub(crate) fn start_with(module: &OwnedFd, mut request: kwasmi_start) -> (Result<OwnedFd, i32>, String) {
    let mut text = vec![0_u8; 4096];
    request.log = text.as_mut_ptr().expose_provenance() as u64;
    request.log_size = 4096;
    let answer = owned(call(module, uapi::IOC_START, &mut request));
    text.truncate(request.log_len as usize);
    (answer, String::from_utf8(text).expect("UTF-8"))
}

/// A limit and its value.
pub(crate) fn limit(limit: u32, value: u64) -> kwasmi_limit {
    kwasmi_limit { limit, value, ..kwasmi_limit::default() }
}

/// A start with these limits, which must live until then.
pub(crate) fn limited(limits: &[kwasmi_limit]) -> kwasmi_start {
    let limits_len = u32::try_from(limits.len()).expect("few");
    kwasmi_start { limits: address(limits), limits_len, ..kwasmi_start::default() }
}

/// Loads `wasm` within `limits`; the answer, and the structure as the kernel left it.
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

/// Starts an instance with nothing.
pub(crate) fn start(module: &OwnedFd) -> OwnedFd {
    let (instance, log) = start_with(module, kwasmi_start::default());
    instance.unwrap_or_else(|errno| panic!("error {errno}: {log}"))
}

/// A guest's descriptor with all rights.
pub(crate) fn grant(fd: RawFd, guest_fd: u32) -> kwasmi_fd {
    kwasmi_fd { fd, guest_fd, rights: (1 << 30) - 1, ..kwasmi_fd::default() }
}

/// Starts an instance with descriptors.
pub(crate) fn start_with_fds(module: &OwnedFd, fds: &[kwasmi_fd]) -> OwnedFd {
    let request =
        kwasmi_start { fds: address(fds), fds_len: u32::try_from(fds.len()).expect("few"), ..kwasmi_start::default() };
    let (instance, log) = start_with(module, request);
    instance.unwrap_or_else(|errno| panic!("error {errno}: {log}"))
}

/// Runs an instance.
pub(crate) fn run(instance: &OwnedFd) -> Result<kwasmi_run, i32> {
    let mut request = kwasmi_run::default();
    call(instance, uapi::IOC_RUN, &mut request).map(|_| request)
}

/// Runs a program from text that is handed nothing; how it ended.
pub(crate) fn ending(text: &str) -> kwasmi_run {
    let module = module(text);
    run(&start(&module)).expect("it runs")
}
