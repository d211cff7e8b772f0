// SPDX-License-Identifier: GPL-2.0

//! The `kwasmi` command: the entry point. What it does is in the library.
//!
//! It is C's entry point, not Rust's. Rust's own opens `/dev/null` in the place of standard streams that are closed, before
//! anything can see that they were, and ignores SIGPIPE; but a guest is to find its streams as the caller left them, and to
//! end quietly when nobody reads what it writes, as other programs do.

#![no_main]

use kwasmi::{
    command,
    exit::Exit, //
};
use rustix::process;
use std::{
    env,
    ffi::{
        c_char,
        c_int, //
    }, //
};

/// Called by the C library. The arguments come from [`env::args_os`], which it has given them to as well.
// SAFETY: There is no other `main`: this crate has `no_main`.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    default_sigpipe();
    let exit = command::main(env::args_os());
    if exit == Exit::BrokenPipe {
        // Where the signal is blocked, the status has to do.
        let _ = process::kill_process(process::getpid(), process::Signal::PIPE);
    }
    c_int::from(exit.status())
}

/// Lets a write to a pipe that nobody reads end the process, also if the caller ignores the signal.
fn default_sigpipe() {
    // SAFETY: No handler is installed, so there is none that could be unsafe to run.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
