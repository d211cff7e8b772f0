// SPDX-License-Identifier: GPL-2.0

//! Signals, `KWASMI_IOC_KILL`, and two callers at once.

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

/// Ends at once.
pub(crate) const LOOP_ONCE: &str = r#"(module (func (export "_start") (loop)))"#;

pub(crate) const SLEEP: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (drop (call $poll (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 512)))))"#;

pub(crate) fn kill(fd: RawFd) {
    // SAFETY: The command takes no argument.
    assert_eq!(unsafe { ioctl(fd, u64::from(uapi::IOC_KILL), 0) }, Ok(0));
}

/// A guest that computes, one that sleeps and one that waits for input for ever; and the writing end of the latter.
fn guests() -> (Vec<OwnedFd>, std::io::PipeWriter) {
    let (input, feed) = pipe().expect("a pipe");
    let waiting = start_with_fds(&module(crate::run::CAT), &[grant(input.as_raw_fd(), 0)]);
    (vec![start(&module(LOOP)), start(&module(SLEEP)), waiting], feed)
}

extern "C" fn handler(_signal: i32) {}

fn handle(flags: i32) {
    // SAFETY: All of it zero is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as extern "C" fn(i32) as libc::sighandler_t;
    action.sa_flags = flags;
    // SAFETY: The handler does nothing, which is safe at any time.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) }, 0);
}

/// Waits for a child; its status.
pub(crate) fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: There is room for a status.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("KILL before RUN, whatever the guest would do", || {
        let (mut guests, feed) = guests();
        guests.push(start(&module(r#"(module (func (export "_start")))"#)));
        for instance in guests {
            kill(instance.as_raw_fd());
            assert_eq!(run(&instance).expect("ends").status, uapi::KWASMI_KILLED);
        }
        drop(feed);
    });
    tests.add("KILL between two RUNs of a guest that waits", || {
        handle(0);
        let (input, feed) = pipe().expect("a pipe");
        let instance = start_with_fds(&module(crate::run::CAT), &[grant(input.as_raw_fd(), 0)]);
        // SAFETY: It has no requirements.
        let runner = unsafe { libc::pthread_self() };
        let sender = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            // SAFETY: The thread waits for this one before it ends.
            unsafe { libc::pthread_kill(runner, libc::SIGUSR1) };
        });
        assert_eq!(run(&instance).err(), Some(libc::EINTR));
        sender.join().expect("no panic");
        kill(instance.as_raw_fd());
        assert_eq!(run(&instance).expect("ends").status, uapi::KWASMI_KILLED);
        drop(feed);
    });
    tests.add("a guest that was interrupted goes on after its module is denied, and another does not run", || {
        handle(0);
        // One of its own: others sleep, too.
        let module = module(&SLEEP.replace("3600000000000", "3600000000001"));
        let (instance, other) = (start(&module), start(&module));
        // SAFETY: It has no requirements.
        let runner = unsafe { libc::pthread_self() };
        let interrupt = || {
            thread::sleep(Duration::from_millis(100));
            // SAFETY: The thread waits for this one before it ends.
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
    tests.add("KILL of a guest that computes, sleeps, or waits for input", || {
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
    tests.add("RUN by two threads at once is EBUSY for one", || {
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
    tests.add("the descriptor closed by another thread while the guest runs", || {
        let instance = start(&module(LOOP));
        let fd = instance.as_raw_fd();
        let runner = thread::spawn(move || {
            let mut request = kwasmi_run::default();
            call(&fd, uapi::IOC_RUN, &mut request).map(|_| request)
        });
        thread::sleep(Duration::from_millis(100));
        kill(fd);
        drop(instance);
        // Ended, or closed before it could be run.
        match runner.join().expect("no panic") {
            Ok(end) => assert_eq!(end.status, uapi::KWASMI_KILLED),
            Err(errno) => assert_eq!(errno, libc::EBADF),
        }
    });
    tests.add("SIGKILL and SIGINT of the process that runs it, wherever it is", || {
        for signal in [libc::SIGKILL, libc::SIGINT, libc::SIGTERM] {
            let (guests, feed) = guests();
            for instance in guests {
                // SAFETY: The child does nothing but run the guest and end.
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    let _ = run(&instance);
                    // SAFETY: It ends the child.
                    unsafe { libc::_exit(99) };
                }
                thread::sleep(Duration::from_millis(100));
                // SAFETY: It is our child.
                assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
                let status = wait(pid);
                assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == signal, "{status:#x}");
                // The instance is shared with the child that is gone.
                assert_eq!(run(&instance).expect("has ended").status, uapi::KWASMI_KILLED);
            }
            drop(feed);
        }
    });
    tests.add("a handled signal pauses the guest, which goes on where it was", || {
        handle(libc::SA_RESTART);
        let text = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (func (export "_start") (local $n i32)
                (loop (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 3000000))))
                (call $exit (i32.const 7))))"#;
        let instance = start(&module(text));
        // SAFETY: It has no requirements.
        let runner = unsafe { libc::pthread_self() };
        let sender = thread::spawn(move || {
            for _ in 0..50 {
                thread::sleep(Duration::from_millis(5));
                // SAFETY: The thread waits for this one before it ends.
                unsafe { libc::pthread_kill(runner, libc::SIGUSR1) };
            }
        });
        let end = run(&instance).expect("restarted");
        assert_eq!((end.status, end.code), (uapi::KWASMI_EXITED, 7));
        sender.join().expect("no panic");
    });
    tests.add("a handled signal without SA_RESTART is EINTR, and RUN goes on", || {
        handle(0);
        let (input, mut feed) = pipe().expect("a pipe");
        let null = std::fs::File::options().write(true).open("/dev/null").expect("there");
        let fds = [grant(input.as_raw_fd(), 0), grant(null.as_raw_fd(), 1)];
        let instance = start_with_fds(&module(crate::run::CAT), &fds);
        drop(input);
        // SAFETY: It has no requirements.
        let runner = unsafe { libc::pthread_self() };
        let sender = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            // SAFETY: The thread waits for this one before it ends.
            unsafe { libc::pthread_kill(runner, libc::SIGUSR1) };
        });
        assert_eq!(run(&instance).err(), Some(libc::EINTR));
        sender.join().expect("no panic");
        feed.write_all(b"more").expect("writable");
        drop(feed);
        assert_eq!(run(&instance).expect("goes on").code, 0);
    });
    tests.add("a sleep does not start anew when it is interrupted", || {
        handle(libc::SA_RESTART);
        let text = SLEEP.replace("3600000000000", "400000000");
        let instance = start(&module(&text));
        // SAFETY: It has no requirements.
        let runner = unsafe { libc::pthread_self() };
        let before = std::time::Instant::now();
        let sender = thread::spawn(move || {
            for _ in 0..3 {
                thread::sleep(Duration::from_millis(100));
                // SAFETY: The thread waits for this one before it ends.
                unsafe { libc::pthread_kill(runner, libc::SIGUSR1) };
            }
        });
        assert_eq!(run(&instance).expect("restarted").status, uapi::KWASMI_EXITED);
        assert!(before.elapsed() >= Duration::from_millis(400));
        sender.join().expect("no panic");
    });
}
