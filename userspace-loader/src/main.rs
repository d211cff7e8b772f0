// SPDX-License-Identifier: GPL-2.0

//! Entry point of the `kwasmi` command; the library does the work.
//!
//! The entry point is that of C. Rust's own opens `/dev/null` in the place of closed standard
//! streams before the program can see that they are closed, and ignores SIGPIPE. A guest must find
//! its streams as the caller left them, and the command must end by SIGPIPE as other filters do.

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

/// Called by the C library, which also stores the arguments for [`env::args_os`].
// SAFETY: The symbol `main` is defined once: `no_main` keeps rustc from defining it.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    default_sigpipe();
    let exit = command::main(env::args_os());
    if exit == Exit::BrokenPipe {
        // If the signal is blocked, the exit status is all that the caller sees.
        let _ = process::kill_process(process::getpid(), process::Signal::PIPE);
    }
    c_int::from(exit.status())
}

/// Sets the default action of SIGPIPE, also if the caller ignores the signal.
fn default_sigpipe() {
    // SAFETY: `SIG_DFL` installs no handler that could be unsafe to run.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
