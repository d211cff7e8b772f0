// SPDX-License-Identifier: GPL-2.0

//! Calls that do next to nothing: what it costs to make one.

use crate::{
    argument,
    time_result, //
};
use std::{
    hint::black_box,
    io,
    time::{
        Duration,
        Instant, //
    },
};

/// What the host is asked here: WASI preview 1.
#[cfg(target_os = "wasi")]
mod host {
    #![allow(unsafe_code, reason = "the border to the host, which checks every argument")]

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        safe fn fd_fdstat_set_flags(fd: u32, flags: u32) -> i32;
        safe fn fd_prestat_get(fd: u32, prestat: usize) -> i32;
        fn clock_res_get(id: u32, resolution: *mut u64) -> i32;
    }

    /// A call that gets to what is behind the engine and does nothing there: standard input gets the flags that it has.
    pub(super) fn null() -> i32 {
        fd_fdstat_set_flags(0, 0)
    }

    /// A call that goes to the host, on its stack, which knows the answer: the resolution of the monotonic clock.
    pub(super) fn null_switch() -> u64 {
        const MONOTONIC: u32 = 1;
        let mut resolution = 0;
        // SAFETY: The place is there.
        unsafe { clock_res_get(MONOTONIC, &raw mut resolution) };
        resolution
    }

    /// A call that the engine answers by itself: that descriptor is not open.
    pub(super) fn null_engine() -> i32 {
        fd_prestat_get(u32::MAX, 0)
    }
}

/// What the kernel is asked here: the system call that does least.
#[cfg(not(target_os = "wasi"))]
mod host {
    pub(super) fn null() -> u32 {
        std::os::unix::process::parent_id()
    }

    pub(super) use null as null_engine;
    pub(super) use null as null_switch;
}

/// An empty call; natively getppid(2).
pub(crate) fn null(count: u64, _args: &[String]) -> io::Result<Duration> {
    time_result(count, host::null)
}

/// A call that does not leave the engine; natively getppid(2).
pub(crate) fn null_engine(count: u64, _args: &[String]) -> io::Result<Duration> {
    time_result(count, host::null_engine)
}

/// A call that leaves the engine and does next to nothing there; natively getppid(2).
pub(crate) fn null_switch(count: u64, _args: &[String]) -> io::Result<Duration> {
    time_result(count, host::null_switch)
}

/// The monotonic clock; natively by way of the vDSO.
pub(crate) fn clock(count: u64, _args: &[String]) -> io::Result<Duration> {
    time_result(count, Instant::now)
}

/// The monotonic clock; natively by a system call.
#[cfg(target_os = "wasi")]
pub(crate) use clock as clock_syscall;

/// The monotonic clock; natively by a system call.
#[cfg(not(target_os = "wasi"))]
#[allow(unsafe_code, reason = "a system call that the library does not make")]
pub(crate) fn clock_syscall(count: u64, _args: &[String]) -> io::Result<Duration> {
    crate::time(count, || {
        let mut now = std::mem::MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: The address is that of a `timespec`, which the call fills in.
        let status = unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, now.as_mut_ptr()) };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    })
}

/// An empty call, and `args[0]` rounds of a loop of a few instructions.
pub(crate) fn spin(count: u64, args: &[String]) -> io::Result<Duration> {
    let rounds: u32 = argument(args, 0)?;
    let mut state = 1_u32;
    time_result(count, || {
        for _ in 0..rounds {
            state = xorshift(state);
        }
        black_box(host::null());
        state
    })
}

/// One round of xorshift, six instructions of Wasm's.
fn xorshift(mut state: u32) -> u32 {
    state ^= state << 13;
    state ^= state >> 17;
    state ^ (state << 5)
}
