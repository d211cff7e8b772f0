// SPDX-License-Identifier: GPL-2.0

//! Tests of signals, of `KWASMI_IOC_KILL`, and of two callers at the same time.

use crate::{
    kernel::{
        call,
        grant,
        ioctl,
        module,
        run,
        start,
        start_with_fds, //
    },
    ktap::Tests,
    signing::{
        deny,
        identity, //
    },
};
use kwasmi::uapi::{
    self,
    kwasmi_run, //
};
use std::{
    io::{
        Write,
        pipe, //
    },
    os::fd::{
        AsRawFd,
        OwnedFd,
        RawFd, //
    },
    sync::Arc,
    thread,
    time::Duration,
};

pub(crate) const LOOP: &str = r#"(module (func (export "_start") (loop (br 0))))"#;

/// Program that ends at once.
pub(crate) const LOOP_ONCE: &str = r#"(module (func (export "_start") (loop)))"#;

pub(crate) const SLEEP: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (drop (call $poll (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 512)))))"#;

pub(crate) fn kill(fd: RawFd) {
    // SAFETY: KWASMI_IOC_KILL takes no argument, so the kernel writes no memory.
    assert_eq!(unsafe { ioctl(fd, u64::from(uapi::IOC_KILL), 0) }, Ok(0));
}

/// Starts a guest that computes, one that sleeps and one that waits for input forever. Returns also
/// the writing end of the latter's pipe.
fn guests() -> (Vec<OwnedFd>, std::io::PipeWriter) {
    let (input, feed) = pipe().expect("a pipe");
    let waiting = start_with_fds(&module(crate::run::CAT), &[grant(input.as_raw_fd(), 0)]);
    (vec![start(&module(LOOP)), start(&module(SLEEP)), waiting], feed)
}

extern "C" fn handler(_signal: i32) {}

/// Installs a handler of SIGUSR1 that does nothing, with `flags` of sigaction(2).
pub(crate) fn handle(flags: i32) {
    // SAFETY: `sigaction` consists of integers and addresses, for which zero is valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as extern "C" fn(i32) as libc::sighandler_t;
    action.sa_flags = flags;
    // SAFETY: `action` is valid, and its handler does nothing, which is async-signal-safe.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) }, 0);
}

/// Waits for the end of a child. Returns its status in the encoding of wait(2).
pub(crate) fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `status` is writable.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("KILL before the first RUN ends computing, sleeping, waiting and short guests", || {
        let (mut guests, feed) = guests();
        guests.push(start(&module(r#"(module (func (export "_start")))"#)));
        for instance in guests {
            kill(instance.as_raw_fd());
            assert_eq!(run(&instance).expect("ends").status, uapi::KWASMI_KILLED);
        }
        drop(feed);
    });
    tests.add("KILL between two RUNs ends a guest that waits for input", || {
        handle(0);
        let (input, feed) = pipe().expect("a pipe");
        let instance = start_with_fds(&module(crate::run::CAT), &[grant(input.as_raw_fd(), 0)]);
        // SAFETY: `pthread_self` has no requirements.
        let runner = unsafe { libc::pthread_self() };
        let sender = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            // SAFETY: `runner` is a live thread: it joins this one before it ends.
            unsafe { libc::pthread_kill(runner, libc::SIGUSR1) };
        });
        assert_eq!(run(&instance).err(), Some(libc::EINTR));
        sender.join().expect("no panic");
        kill(instance.as_raw_fd());
        assert_eq!(run(&instance).expect("ends").status, uapi::KWASMI_KILLED);
        drop(feed);
    });
    tests.add("after its module is denied an interrupted guest goes on, a new one does not run", || {
        handle(0);
        // A module that no other test uses: denying it must not affect other sleeping guests.
        let module = module(&SLEEP.replace("3600000000000", "3600000000001"));
        let (instance, other) = (start(&module), start(&module));
        // SAFETY: `pthread_self` has no requirements.
        let runner = unsafe { libc::pthread_self() };
        let interrupt = || {
            thread::sleep(Duration::from_millis(100));
            // SAFETY: `runner` is a live thread: it joins this one before it ends.
            unsafe { libc::pthread_kill(runner, libc::SIGUSR1) };
        };
        thread::scope(|scope| {
            scope.spawn(interrupt);
            assert_eq!(run(&instance).err(), Some(libc::EINTR));
        });
        assert_eq!(deny(identity(&module).sha256), Ok(0));
        assert_eq!(run(&other).err(), Some(libc::EKEYREJECTED));
        thread::scope(|scope| {
            scope.spawn(interrupt);
            assert_eq!(run(&instance).err(), Some(libc::EINTR));
        });
        kill(instance.as_raw_fd());
        assert_eq!(run(&instance).expect("ends").status, uapi::KWASMI_KILLED);
    });
    tests.add("KILL ends a guest that computes, sleeps or waits for input", || {
        let (guests, feed) = guests();
        for instance in guests {
            let instance = Arc::new(instance);
            let runner = thread::spawn({
                let instance = Arc::clone(&instance);
                move || run(&instance)
            });
            thread::sleep(Duration::from_millis(100));
            kill(instance.as_raw_fd());
            assert_eq!(runner.join().expect("no panic").expect("ends").status, uapi::KWASMI_KILLED);
        }
        drop(feed);
    });
    tests.add("RUN of a running instance by another thread is EBUSY", || {
        let instance = Arc::new(start(&module(LOOP)));
        let runner = thread::spawn({
            let instance = Arc::clone(&instance);
            move || run(&instance)
        });
        thread::sleep(Duration::from_millis(100));
        assert_eq!(run(&instance).err(), Some(libc::EBUSY));
        kill(instance.as_raw_fd());
        assert_eq!(runner.join().expect("no panic").expect("ends").status, uapi::KWASMI_KILLED);
    });
    tests.add("KILL and close by another thread while the guest runs end it", || {
        let instance = start(&module(LOOP));
        let fd = instance.as_raw_fd();
        let runner = thread::spawn(move || {
            let mut request = kwasmi_run::default();
            call(&fd, uapi::IOC_RUN, &mut request).map(|_| request)
        });
        thread::sleep(Duration::from_millis(100));
        kill(fd);
        drop(instance);
        // The guest was killed, or the descriptor was closed before RUN looked it up.
        match runner.join().expect("no panic") {
            Ok(end) => assert_eq!(end.status, uapi::KWASMI_KILLED),
            Err(errno) => assert_eq!(errno, libc::EBADF),
        }
    });
    tests.add("SIGKILL, SIGINT and SIGTERM end the process that runs a guest", || {
        for signal in [libc::SIGKILL, libc::SIGINT, libc::SIGTERM] {
            let (guests, feed) = guests();
            for instance in guests {
                // SAFETY: The child only runs the guest, without locks of other threads, and leaves
                // by `_exit`.
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    let _ = run(&instance);
                    // SAFETY: `_exit` has no requirements.
                    unsafe { libc::_exit(99) };
                }
                thread::sleep(Duration::from_millis(100));
                // SAFETY: `kill` has no memory requirements, and `pid` is a child that was not
                // waited for.
                assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
                let status = wait(pid);
                assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == signal, "{status:#x}");
                // The test holds the instance too, so it outlives the child.
                assert_eq!(run(&instance).expect("has ended").status, uapi::KWASMI_KILLED);
            }
            drop(feed);
        }
    });
    tests.add("a handled signal with SA_RESTART pauses the guest, which then goes on", || {
        handle(libc::SA_RESTART);
        let text = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (func (export "_start") (local $n i32)
                (loop (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 3000000))))
                (call $exit (i32.const 7))))"#;
        let instance = start(&module(text));
        // SAFETY: `pthread_self` has no requirements.
        let runner = unsafe { libc::pthread_self() };
        let sender = thread::spawn(move || {
            for _ in 0..50 {
                thread::sleep(Duration::from_millis(5));
                // SAFETY: `runner` is a live thread: it joins this one before it ends.
                unsafe { libc::pthread_kill(runner, libc::SIGUSR1) };
            }
        });
        let end = run(&instance).expect("restarted");
        assert_eq!((end.status, end.code), (uapi::KWASMI_EXITED, 7));
        sender.join().expect("no panic");
    });
    tests.add("a handled signal without SA_RESTART is EINTR, and the next RUN goes on", || {
        handle(0);
        let (input, mut feed) = pipe().expect("a pipe");
        let null = std::fs::File::options().write(true).open("/dev/null").expect("there");
        let fds = [grant(input.as_raw_fd(), 0), grant(null.as_raw_fd(), 1)];
        let instance = start_with_fds(&module(crate::run::CAT), &fds);
        drop(input);
        // SAFETY: `pthread_self` has no requirements.
        let runner = unsafe { libc::pthread_self() };
        let sender = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            // SAFETY: `runner` is a live thread: it joins this one before it ends.
            unsafe { libc::pthread_kill(runner, libc::SIGUSR1) };
        });
        assert_eq!(run(&instance).err(), Some(libc::EINTR));
        sender.join().expect("no panic");
        feed.write_all(b"more").expect("writable");
        drop(feed);
        assert_eq!(run(&instance).expect("goes on").code, 0);
    });
    tests.add("an interrupted sleep continues instead of starting again", || {
        handle(libc::SA_RESTART);
        let text = SLEEP.replace("3600000000000", "400000000");
        let instance = start(&module(&text));
        // SAFETY: `pthread_self` has no requirements.
        let runner = unsafe { libc::pthread_self() };
        let before = std::time::Instant::now();
        let sender = thread::spawn(move || {
            for _ in 0..3 {
                thread::sleep(Duration::from_millis(100));
                // SAFETY: `runner` is a live thread: it joins this one before it ends.
                unsafe { libc::pthread_kill(runner, libc::SIGUSR1) };
            }
        });
        assert_eq!(run(&instance).expect("restarted").status, uapi::KWASMI_EXITED);
        assert!(before.elapsed() >= Duration::from_millis(400));
        sender.join().expect("no panic");
    });
}
