// SPDX-License-Identifier: GPL-2.0

//! Signals during a run: a signal that would end the process ends the guest first. The command then
//! prints the statistics and raises the signal again.

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

/// Signals to catch if their action is the default one.
const SIGNALS: [c_int; 6] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGPIPE, libc::SIGTERM, libc::SIGXCPU];

/// Value of [`INSTANCE`] and [`SIGNAL`] for none.
const NONE: i32 = -1;

/// Descriptor of the instance that a signal ends.
static INSTANCE: AtomicI32 = AtomicI32::new(NONE);

/// First signal that was caught.
static SIGNAL: AtomicI32 = AtomicI32::new(NONE);

/// Signal handler: records the signal and ends the guest. It preserves `errno` for the interrupted
/// code.
extern "C" fn handle(signal: c_int) {
    let _ = SIGNAL.compare_exchange(NONE, signal, Ordering::Relaxed, Ordering::Relaxed);
    // SAFETY: `__errno_location` has no requirements; it returns the address of this thread's
    // `errno`.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: `errno` is the address of this thread's `errno`, which lives as long as the thread,
    // and no other code of this thread runs during the handler.
    let before = unsafe { errno.read() };
    // SAFETY: `KWASMI_IOC_KILL` takes no argument and accesses no memory of this process. On a
    // descriptor that is closed (-1) or belongs to another driver, the ioctl fails.
    unsafe { libc::syscall(libc::SYS_ioctl, INSTANCE.load(Ordering::Relaxed), uapi::IOC_KILL, 0) };
    // SAFETY: `errno` is the address of this thread's `errno`, which lives as long as the thread,
    // and no other code of this thread runs during the handler.
    unsafe { errno.write(before) };
}

/// Guard that catches signals: dropping it restores the default actions.
#[derive(Debug)]
pub struct Catcher {
    caught: Vec<c_int>,
}

impl Catcher {
    /// Lets signals end the guest of `instance`, which must stay open while the returned guard
    /// exists. At most one guard may exist at a time.
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

    /// Stops catching signals, and returns the first signal that was caught, if any.
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

/// Returns true if the action of `signal` is the default one.
fn is_default(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: A null new action is allowed, and `action` has room for the old action.
    let result = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: All zeros is a valid `sigaction`, and so is the value that `sigaction(2)` writes.
    let action = unsafe { action.assume_init() };
    result == 0 && action.sa_sigaction == libc::SIG_DFL
}

/// Ignores SIGPIPE: a write to a pipe without a reader fails.
pub fn ignore_broken_pipes() {
    act(libc::SIGPIPE, libc::SIG_IGN);
}

/// Installs `handler`, which must be [`handle`], `SIG_DFL` or `SIG_IGN`, for `signal`. Returns true
/// if that succeeded.
fn act(signal: c_int, handler: libc::sighandler_t) -> bool {
    // SAFETY: All zeros is a valid `sigaction`: no flags, no blocked signals.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler;
    // SAFETY: `action` is initialized, and a null old action is allowed. The handler is `SIG_DFL`,
    // `SIG_IGN` or [`handle`], which is async-signal-safe: it makes one system call and accesses
    // only atomics and `errno`.
    unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) == 0 }
}

/// Sends `signal` to this thread. With the default action, the signal ends the process.
pub fn raise(signal: c_int) {
    // SAFETY: `raise` has no requirements.
    unsafe { libc::raise(signal) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn a_signal_is_caught_and_returned() {
        let stdin = std::io::stdin();
        // The test harness does not use SIGXCPU; other signals may be ignored.
        let catcher = Catcher::new(stdin.as_fd());
        assert!(catcher.caught.contains(&libc::SIGXCPU));
        raise(libc::SIGXCPU);
        raise(libc::SIGXCPU);
        assert_eq!(catcher.signal(), Some(libc::SIGXCPU));
        assert!(is_default(libc::SIGXCPU));
        assert_eq!(Catcher::new(stdin.as_fd()).signal(), None);
    }
}
