// SPDX-License-Identifier: GPL-2.0

//! Reactors for tests: starting, serving and calling them.

use crate::{
    kernel::{
        address,
        call as ioctl,
        module,
        run,
        start_with, //
    },
    signals,
};
use kwasmi::uapi::{
    self,
    kwasmi_call,
    kwasmi_fd,
    kwasmi_function,
    kwasmi_run,
    kwasmi_start, //
};
use std::{
    os::fd::{
        AsRawFd as _,
        OwnedFd, //
    },
    sync::{
        Arc,
        atomic::{
            AtomicI32,
            Ordering, //
        },
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

/// Reactor of most tests. `add` changes its state; `wait` reads a byte of descriptor 0 and then
/// adds it; `echo` copies the input to the output and returns the errno of `output`.
pub(crate) const REACTOR: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "kwasmi_call_1" "input" (func $input (param i32 i32 i32 i32) (result i32)))
    (import "kwasmi_call_1" "output" (func $output (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (global $sum (mut i64) (i64.const 0))
    (global $initialized (mut i32) (i32.const 0))
    (func (export "_initialize")
        (i32.store (i32.const 8) (call $output (i32.const 0) (i32.const 0)))
        (global.set $initialized (i32.const 1)))
    (func (export "initialized") (result i32 i32) (global.get $initialized) (i32.load (i32.const 8)))
    (func $add (export "add") (param i64) (result i64)
        (global.set $sum (i64.add (global.get $sum) (local.get 0)))
        (global.get $sum))
    (func (export "nothing"))
    (func (export "types") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
        (local.get 3) (local.get 2) (local.get 1) (local.get 0))
    (func (export "wait") (result i64)
        (i32.store (i32.const 16) (i32.const 32))
        (i32.store (i32.const 20) (i32.const 1))
        (drop (call $read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24)))
        (call $add (i64.load8_u (i32.const 32))))
    (func $compute (export "compute") (param $n i64) (result i64)
        (loop $more
            (local.set $n (i64.sub (local.get $n) (i64.const 1)))
            (br_if $more (i64.gt_s (local.get $n) (i64.const 0))))
        (call $add (i64.const 1)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "echo") (param $len i32) (result i32 i32)
        (drop (call $input (i32.const 65536) (local.get $len) (i32.const 0) (i32.const 40)))
        (call $output (i32.const 65536) (i32.load (i32.const 40)))
        (i32.load (i32.const 40)))
    (func (export "create") (result i32)
        (call $open (i32.const 3) (i32.const 0) (i32.const 48) (i32.const 1) (i32.const 9)
            (i64.const 64) (i64.const 64) (i32.const 0) (i32.const 60)))
    (func (export "write") (result i32 i32)
        (i32.store (i32.const 16) (i32.const 0))
        (i32.store (i32.const 20) (i32.const 5000))
        (call $write (i32.load (i32.const 60)) (i32.const 16) (i32.const 1) (i32.const 24))
        (i32.load (i32.const 24)))
    (data (i32.const 48) "f")
    (func (export "trap") unreachable)
    (func (export "exit") (call $exit (i32.const 3)))
    (func (export "vector") (param v128))
    (export "imported" (func $exit)))"#;

/// Starts a reactor with these descriptors.
pub(crate) fn start_reactor(text: &str, fds: &[kwasmi_fd]) -> OwnedFd {
    let request = kwasmi_start {
        flags: uapi::KWASMI_START_REACTOR,
        fds: address(fds),
        fds_len: u32::try_from(fds.len()).expect("few"),
        ..kwasmi_start::default()
    };
    let (instance, log) = start_with(&module(text), request);
    instance.unwrap_or_else(|errno| panic!("error {errno}: {log}"))
}

/// Reactor that a thread serves.
pub(crate) struct Served {
    pub(crate) instance: Arc<OwnedFd>,
    thread: Option<thread::JoinHandle<Result<kwasmi_run, i32>>>,
}

impl Served {
    /// Starts and serves [`REACTOR`].
    pub(crate) fn new(fds: &[kwasmi_fd]) -> Self {
        Self::of(start_reactor(REACTOR, fds))
    }

    /// Serves `instance`.
    pub(crate) fn of(instance: OwnedFd) -> Self {
        let instance = Arc::new(instance);
        let served = instance.clone();
        Self { instance, thread: Some(thread::spawn(move || run(&served))) }
    }

    /// Waits for the end of the guest.
    pub(crate) fn end(mut self) -> kwasmi_run {
        self.thread.take().expect("is served").join().expect("no panic").expect("ends")
    }

    /// Kills the guest and waits for its end.
    pub(crate) fn kill(self) {
        signals::kill(self.instance.as_raw_fd());
        assert_eq!(self.end().status, uapi::KWASMI_KILLED);
    }
}

impl Drop for Served {
    /// Ends the guest after a failure, so that later tests can use its name.
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            signals::kill(self.instance.as_raw_fd());
            let _ = thread.join();
        }
    }
}

/// Looks up a function. Returns its number, or the error number.
pub(crate) fn function(fd: &OwnedFd, name: &[u8]) -> Result<kwasmi_function, i32> {
    let name_len = u32::try_from(name.len()).expect("short");
    let mut request = kwasmi_function { name: address(name), name_len, ..kwasmi_function::default() };
    ioctl(fd, uapi::IOC_FUNCTION, &mut request).map(|_| request)
}

/// Calls a function without arguments that returns a number. Returns the result, or the error
/// number of the lookup or the call.
pub(crate) fn try_call(fd: &OwnedFd, name: &str) -> Result<[u64; 1], i32> {
    let mut results = [0];
    let mut request = kwasmi_call {
        function: function(fd, name.as_bytes())?.function,
        results: results.as_mut_ptr().expose_provenance() as u64,
        results_len: 1,
        timeout: u64::MAX,
        ..kwasmi_call::default()
    };
    ioctl(fd, uapi::IOC_CALL, &mut request)?;
    assert_eq!(request.returned, 1, "status {}, code {}", request.status, request.code);
    Ok(results)
}

/// Returns the call of a function, with addresses of `args` and `results`.
pub(crate) fn request(fd: &OwnedFd, name: &str, args: &[u64], results: &mut [u64]) -> kwasmi_call {
    kwasmi_call {
        function: function(fd, name.as_bytes()).expect("exported").function,
        args: address(args),
        args_len: u32::try_from(args.len()).expect("few"),
        results: results.as_mut_ptr().expose_provenance() as u64,
        results_len: u32::try_from(results.len()).expect("few"),
        timeout: u64::MAX,
        ..kwasmi_call::default()
    }
}

/// Calls a function. Returns its results, or the error number; panics if the guest ends.
pub(crate) fn call_for(fd: &OwnedFd, name: &str, args: &[u64], timeout: u64) -> Result<Vec<u64>, i32> {
    let mut results = [0; 32];
    let mut request = kwasmi_call { timeout, ..request(fd, name, args, &mut results) };
    ioctl(fd, uapi::IOC_CALL, &mut request)?;
    assert_eq!(request.returned, 1, "status {}, code {}", request.status, request.code);
    Ok(results[..request.results_len as usize].to_vec())
}

pub(crate) fn call(fd: &OwnedFd, name: &str, args: &[u64]) -> Result<Vec<u64>, i32> {
    call_for(fd, name, args, u64::MAX)
}

/// Waits until thread `id` of this process sleeps in a system call.
pub(crate) fn wait_for_sleep(id: &AtomicI32) {
    let is_asleep = || {
        let id = id.load(Ordering::SeqCst);
        let stat = std::fs::read_to_string(format!("/proc/self/task/{id}/stat")).unwrap_or_default();
        id != 0 && stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['S', 'D']))
    };
    // Twice, since a thread may sleep shortly for a lock.
    for _ in 0..2 {
        let begin = Instant::now();
        while !is_asleep() {
            assert!(begin.elapsed() < Duration::from_secs(20), "no sleep");
            thread::sleep(Duration::from_millis(2));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sends SIGUSR1, which must be handled, to thread `id` of this process.
pub(crate) fn interrupt(id: &AtomicI32) {
    let process = i32::try_from(std::process::id()).expect("fits");
    // SAFETY: The call has no memory requirements.
    assert_eq!(unsafe { libc::tgkill(process, id.load(Ordering::SeqCst), libc::SIGUSR1) }, 0);
}

/// Runs `work` in a thread that stores its id.
pub(crate) fn with_id<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> (Arc<AtomicI32>, thread::JoinHandle<T>) {
    let id = Arc::new(AtomicI32::new(0));
    let stored = id.clone();
    let thread = thread::spawn(move || {
        stored.store(crate::task::id(), Ordering::SeqCst);
        work()
    });
    (id, thread)
}

/// Starts a thread that calls `name`, and waits until it sleeps.
pub(crate) fn caller(
    instance: &Arc<OwnedFd>,
    name: &'static str,
    args: &'static [u64],
) -> thread::JoinHandle<Result<Vec<u64>, i32>> {
    let instance = instance.clone();
    let (id, thread) = with_id(move || call(&instance, name, args));
    wait_for_sleep(&id);
    thread
}
