// SPDX-License-Identifier: GPL-2.0

//! Calls that do almost nothing, to measure the cost of a call.

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

/// Calls of WASI preview 1.
#[cfg(target_os = "wasi")]
mod host {
    #![allow(unsafe_code, reason = "the border to the host, which checks every argument")]

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        safe fn fd_fdstat_set_flags(fd: u32, flags: u32) -> i32;
        safe fn fd_prestat_get(fd: u32, prestat: usize) -> i32;
        fn clock_res_get(id: u32, resolution: *mut u64) -> i32;
    }

    /// Calls the host for a file operation that does nothing: sets the flags of standard input to
    /// their values.
    pub(super) fn null() -> i32 {
        fd_fdstat_set_flags(0, 0)
    }

    /// Calls the host, on its own stack, for a constant: the resolution of the monotonic clock.
    pub(super) fn null_switch() -> u64 {
        const MONOTONIC: u32 = 1;
        let mut resolution = 0;
        // SAFETY: `resolution` points to a writable value.
        unsafe { clock_res_get(MONOTONIC, &raw mut resolution) };
        resolution
    }

    /// Calls a function that the engine answers alone, since the descriptor is not open.
    pub(super) fn null_engine() -> i32 {
        fd_prestat_get(u32::MAX, 0)
    }
}

/// The cheapest system call.
#[cfg(not(target_os = "wasi"))]
mod host {
    pub(super) fn null() -> u32 {
        std::os::unix::process::parent_id()
    }

    pub(super) use null as null_engine;
    pub(super) use null as null_switch;
}

/// Call of a file operation that does nothing; natively getppid(2).
pub(crate) fn null(count: u64, _args: &[String]) -> io::Result<Duration> {
    time_result(count, host::null)
}

/// Call that does not leave the engine; natively getppid(2).
pub(crate) fn null_engine(count: u64, _args: &[String]) -> io::Result<Duration> {
    time_result(count, host::null_engine)
}

/// Call that leaves the engine and returns a constant; natively getppid(2).
pub(crate) fn null_switch(count: u64, _args: &[String]) -> io::Result<Duration> {
    time_result(count, host::null_switch)
}

/// Reads the monotonic clock; natively by the vDSO.
pub(crate) fn clock(count: u64, _args: &[String]) -> io::Result<Duration> {
    time_result(count, Instant::now)
}

/// Reads the monotonic clock; natively by a system call.
#[cfg(target_os = "wasi")]
pub(crate) use clock as clock_syscall;

/// Reads the monotonic clock; natively by a system call.
#[cfg(not(target_os = "wasi"))]
#[allow(unsafe_code, reason = "a system call without a function in the standard library")]
pub(crate) fn clock_syscall(count: u64, _args: &[String]) -> io::Result<Duration> {
    crate::time(count, || {
        let mut now = std::mem::MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: The address is that of a writable `timespec`.
        let status = unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, now.as_mut_ptr()) };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    })
}

/// Call of a file operation that does nothing, and `args[0]` rounds of a loop of a few
/// instructions.
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

/// One round of xorshift, six Wasm instructions.
fn xorshift(mut state: u32) -> u32 {
    state ^= state << 13;
    state ^= state >> 17;
    state ^ (state << 5)
}
