// SPDX-License-Identifier: GPL-2.0

//! Signals that end a process, while a guest runs: they end the guest first, so that its statistics can be printed, and then
//! the process.

use crate::uapi;
use std::{
    ffi::c_int,
    mem::MaybeUninit,
    os::fd::{
        AsRawFd as _,
        BorrowedFd, //
    },
    ptr,
    sync::atomic::{
        AtomicI32,
        Ordering, //
    }, //
};

/// The signals that are caught, if nobody else does something about them.
const SIGNALS: [c_int; 6] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGPIPE, libc::SIGTERM, libc::SIGXCPU];

/// No descriptor and no signal.
const NONE: i32 = -1;

/// The instance that a signal ends.
static INSTANCE: AtomicI32 = AtomicI32::new(NONE);

/// The first signal that was caught.
static SIGNAL: AtomicI32 = AtomicI32::new(NONE);

/// Ends the guest, and notes the signal. The error number is as before, for what was interrupted.
extern "C" fn handle(signal: c_int) {
    let _ = SIGNAL.compare_exchange(NONE, signal, Ordering::Relaxed, Ordering::Relaxed);
    // SAFETY: It has no requirement: it returns the address of this thread's error number.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: The address is valid, and nothing else of this thread runs meanwhile.
    let before = unsafe { errno.read() };
    // SAFETY: The command has no argument, and fails on a descriptor that is none or another's.
    unsafe { libc::syscall(libc::SYS_ioctl, INSTANCE.load(Ordering::Relaxed), uapi::IOC_KILL, 0) };
    // SAFETY: The address is valid, and nothing else of this thread runs meanwhile.
    unsafe { errno.write(before) };
}

/// Signals are caught for as long as this is there.
#[derive(Debug)]
pub struct Catcher {
    caught: Vec<c_int>,
}

impl Catcher {
    /// Lets signals end the guest of `instance`, which lives longer than the result. At most one is to be there at a time.
    #[must_use]
    pub fn new(instance: BorrowedFd<'_>) -> Self {
        SIGNAL.store(NONE, Ordering::Relaxed);
        INSTANCE.store(instance.as_raw_fd(), Ordering::Relaxed);
        let mut caught = Vec::new();
        for signal in SIGNALS {
            let handler: extern "C" fn(c_int) = handle;
            if is_default(signal) && act(signal, handler as libc::sighandler_t) {
                caught.push(signal);
            }
        }
        Self { caught }
    }

    /// The signal that was caught, if one was. None is caught any more.
    #[must_use]
    pub fn signal(self) -> Option<c_int> {
        drop(self);
        Some(SIGNAL.load(Ordering::Relaxed)).filter(|signal| *signal != NONE)
    }
}

impl Drop for Catcher {
    fn drop(&mut self) {
        for signal in &self.caught {
            act(*signal, libc::SIG_DFL);
        }
        INSTANCE.store(NONE, Ordering::Relaxed);
    }
}

/// Whether `signal` does what it does to a process that says nothing about it.
fn is_default(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: Without a new action only the old one is written, and there is room for it.
    let result = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: All zeros is a value of it, and what the call writes is one.
    let action = unsafe { action.assume_init() };
    result == 0 && action.sa_sigaction == libc::SIG_DFL
}

/// Has `handler`, which is [`handle`] or `SIG_DFL`, be called for `signal`. Returns whether it will be.
fn act(signal: c_int, handler: libc::sighandler_t) -> bool {
    // SAFETY: All zeros is a value of it: no flags, no signals blocked.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler;
    // SAFETY: The action is a whole one, and `handle` makes only a system call and touches only atomics and the error
    // number, which a signal may do at any time.
    unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) == 0 }
}

/// Sends `signal` to this thread, which it ends if nobody catches it.
pub fn raise(signal: c_int) {
    // SAFETY: It has no requirement: a signal is sent.
    unsafe { libc::raise(signal) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn a_signal_is_caught_and_told() {
        let stdin = std::io::stdin();
        // A test harness is told nothing of this one otherwise; others may be ignored.
        let catcher = Catcher::new(stdin.as_fd());
        assert!(catcher.caught.contains(&libc::SIGXCPU));
        raise(libc::SIGXCPU);
        raise(libc::SIGXCPU);
        assert_eq!(catcher.signal(), Some(libc::SIGXCPU));
        assert!(is_default(libc::SIGXCPU));
        assert_eq!(Catcher::new(stdin.as_fd()).signal(), None);
    }
}
