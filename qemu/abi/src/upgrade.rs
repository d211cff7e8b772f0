// SPDX-License-Identifier: GPL-2.0

//! Tests of `KWASMI_PUBLISH_REPLACE`: an instance takes over the name of a service.

use crate::{
    kernel::{
        grant,
        module,
        run,
        start, //
    },
    ktap::Tests,
    reactor::{
        Served,
        call,
        caller,
        function,
        start_reactor,
        try_call, //
    },
    scale,
    services::{
        describe,
        find,
        plain,
        publish_named,
        replace,
        result,
        wait,
        wait_for_end, //
    },
    signals::{
        self,
        LOOP, //
    },
    task::{
        self,
        Child, //
    },
};
use kwasmi::uapi::{
    self,
    kwasmi_fd, //
};
use std::{
    io::{
        self,
        PipeWriter,
        Read as _,
        Write as _,
        pipe, //
    },
    os::fd::{
        AsRawFd as _,
        OwnedFd, //
    },
    sync::atomic::{
        AtomicBool,
        AtomicUsize,
        Ordering, //
    },
    thread, //
};

/// Reactor that writes a byte to descriptor 1 in each call.
pub(crate) const MARK: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\01\00\00\00")
    (func (export "mark") (result i32)
        (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))"#;

/// Number of calls below which [`Marks`] tell nothing.
const CALLS_MIN: usize = 100;

/// Calls of `mark` of the service "name", counted by their callers and by the guests.
pub(crate) struct Marks {
    is_over: AtomicBool,
    returned: AtomicUsize,
    /// Each mark is a byte, of which the pipe holds 65,536.
    writer: PipeWriter,
    reader: thread::JoinHandle<io::Result<usize>>,
}

impl Marks {
    pub(crate) fn new() -> Self {
        let (mut marks, writer) = pipe().expect("a pipe");
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            marks.read_to_end(&mut bytes)
        });
        Self { is_over: AtomicBool::new(false), returned: AtomicUsize::new(0), writer, reader }
    }

    /// Returns the descriptors of the guests.
    pub(crate) fn fds(&self) -> [kwasmi_fd; 1] {
        [grant(self.writer.as_raw_fd(), 1)]
    }

    /// Calls the service until [`end`](Self::end).
    pub(crate) fn call(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            let service = find("name").expect("the name always exists");
            match try_call(&service, "mark") {
                Ok(results) => {
                    assert_eq!(results, [0]);
                    self.returned.fetch_add(1, Ordering::Relaxed);
                }
                Err(errno) => assert_eq!(errno, libc::ESTALE),
            }
        }
    }

    /// Returns the numbers of the rounds in which the name moves: `count`, and further ones until
    /// enough calls have returned.
    pub(crate) fn rounds(&self, count: u32) -> impl Iterator<Item = u32> {
        (0..).take_while(move |round| *round < count || self.returned.load(Ordering::Relaxed) <= CALLS_MIN)
    }

    /// Ends [`call`](Self::call).
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Checks that each call that has returned was made once. All guests have ended.
    pub(crate) fn check(self) {
        drop(self.writer);
        let returned = self.returned.into_inner();
        println!("# {returned} calls");
        assert!(returned > CALLS_MIN, "{returned}");
        assert_eq!(self.reader.join().expect("no panic").expect("a pipe"), returned);
    }
}

/// Reactor whose initialisation does not end.
const SLOW: &str = r#"(module (func (export "_initialize") (loop (br 0))) (func (export "add")))"#;

/// Publishes a reactor as the service "name". Returns it and its service.
fn published(served: Served) -> (Served, OwnedFd) {
    // A served instance has run, so it is published by taking over the name of another one.
    let first = start_reactor(SLOW, &[]);
    publish_named(&first, "name");
    assert_eq!(replace(&served.instance, "name"), Ok(0));
    let service = find("name").expect("there");
    (served, service)
}

/// Checks that a guest has ended as if it had exited with 0.
pub(crate) fn assert_retired(served: Served) {
    let end = served.end();
    assert_eq!((end.status, end.code), (uapi::KWASMI_EXITED, 0));
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("another instance takes over the name of a service, which ends", || {
        let (first, of_first) = published(Served::new(&[]));
        assert_eq!(call(&of_first, "add", &[5]), Ok(vec![5]));
        let second = Served::new(&[]);
        // It begins to run.
        assert_eq!(call(&second.instance, "add", &[0]), Ok(vec![0]));
        assert_eq!(replace(&second.instance, "name"), Ok(0));
        let of_second = find("name").expect("there");
        assert_eq!(describe(&of_second).state, uapi::KWASMI_SERVICE_RUNNING);
        assert_eq!(describe(&of_first).state, uapi::KWASMI_SERVICE_REMOVED);
        assert_eq!(wait(&of_first, uapi::KWASMI_SERVICE_REMOVED, 0), Ok(0));
        assert_eq!(wait_for_end(&of_first), Err(libc::ESTALE));
        for command in [uapi::IOC_KILL, uapi::IOC_REMOVE] {
            assert_eq!(plain(&of_first, command), Err(libc::ESTALE));
        }
        let instance = first.instance.clone();
        assert_retired(first);
        let end = result(&of_first).expect("ended");
        assert_eq!((end.status, end.code), (uapi::KWASMI_EXITED, 0));
        assert_eq!(call(&of_first, "add", &[5]), Err(libc::ESTALE));
        assert_eq!(call(&instance, "add", &[5]), Err(libc::ESTALE));
        drop(instance);
        // The former instance is freed.
        assert_eq!(function(&of_first, b"add").err(), Some(libc::ESTALE));
        assert_eq!(call(&of_second, "add", &[1]), Ok(vec![1]));
        second.kill();
        assert_eq!(find("name").err(), Some(libc::ENOENT));
    });
    tests.add("calls that run or wait are finished by the former instance", || {
        let (input, mut feed) = pipe().expect("a pipe");
        let (first, of_first) = published(Served::new(&[grant(input.as_raw_fd(), 0)]));
        let running = caller(&first.instance, "wait", &[]);
        let waiting: Vec<_> = (0..4).map(|_| caller(&first.instance, "add", &[1])).collect();
        let second = Served::new(&[]);
        assert_eq!(replace(&second.instance, "name"), Ok(0));
        assert_eq!(call(&of_first, "add", &[1000]), Err(libc::ESTALE));
        assert_eq!(call(&find("name").expect("there"), "add", &[7]), Ok(vec![7]));
        assert_eq!(result(&of_first).err(), Some(libc::EAGAIN));
        feed.write_all(&[10]).expect("room");
        assert_eq!(running.join().expect("no panic"), Ok(vec![10]));
        for (waiting, sum) in waiting.into_iter().zip(11..) {
            assert_eq!(waiting.join().expect("no panic"), Ok(vec![sum]));
        }
        assert_retired(first);
        second.kill();
    });
    tests.add("the former instance can be killed while it finishes its calls", || {
        let (input, _feed) = pipe().expect("a pipe");
        let (first, of_first) = published(Served::new(&[grant(input.as_raw_fd(), 0)]));
        let running = caller(&first.instance, "wait", &[]);
        let waiting = caller(&first.instance, "add", &[1]);
        let second = Served::new(&[]);
        assert_eq!(replace(&second.instance, "name"), Ok(0));
        signals::kill(first.instance.as_raw_fd());
        assert!(running.join().is_err(), "the guest ended during the call");
        // A call that waits has not run, so it can be repeated.
        assert_eq!(waiting.join().expect("no panic"), Err(libc::ESTALE));
        assert_eq!(first.end().status, uapi::KWASMI_KILLED);
        assert_eq!(result(&of_first).expect("ended").status, uapi::KWASMI_KILLED);
        assert_eq!(call(&find("name").expect("there"), "add", &[7]), Ok(vec![7]));
        second.kill();
    });
    tests.add("a name is not taken over from or by an instance that has ended, or by another process", || {
        let second = Served::new(&[]);
        assert_eq!(replace(&second.instance, "name"), Err(libc::ENOENT));
        let (first, of_first) = published(Served::new(&[]));
        assert_eq!(replace(&first.instance, "name"), Err(libc::EBUSY));
        let child = Child::start(|| u8::from(replace(&second.instance, "name") != Err(libc::EPERM)));
        assert_eq!(child.wait(), 0);
        let child = Child::start(|| {
            if task::drop_sys_admin().is_err() {
                return 2;
            }
            u8::from(replace(&second.instance, "name") != Err(libc::EPERM))
        });
        assert_eq!(child.wait(), 0);
        let third = Served::new(&[]);
        signals::kill(third.instance.as_raw_fd());
        let (instance, ended) = (third.instance.clone(), third.end());
        assert_eq!(ended.status, uapi::KWASMI_KILLED);
        assert_eq!(replace(&instance, "name"), Err(libc::ESHUTDOWN));
        assert_eq!(describe(&of_first).state, uapi::KWASMI_SERVICE_RUNNING);
        assert_eq!(call(&of_first, "add", &[3]), Ok(vec![3]));
        first.kill();
        // The service of the dropped instance has lost its name.
        assert_eq!(replace(&second.instance, "name"), Err(libc::ENOENT));
        let ends = start(&module(r#"(module (func (export "_start") unreachable))"#));
        publish_named(&ends, "name");
        run(&ends).expect("runs");
        assert_eq!(replace(&second.instance, "name"), Err(libc::ESHUTDOWN));
        second.kill();
    });
    tests.add("a service that is to end gives its name to no other instance", || {
        let (input, _feed) = pipe().expect("a pipe");
        let (first, of_first) = published(Served::new(&[grant(input.as_raw_fd(), 0)]));
        // Its serving task waits, and ends the guest soon after the kill.
        assert_eq!(plain(&of_first, uapi::IOC_KILL), Ok(0));
        let second = Served::new(&[]);
        assert_eq!(replace(&second.instance, "name"), Err(libc::ESHUTDOWN));
        assert_eq!(first.end().status, uapi::KWASMI_KILLED);
        assert_eq!(wait_for_end(&of_first), Ok(0));
        second.kill();
    });
    tests.add("tasks that wait for the end of a service learn that its name has moved", || {
        let (first, of_first) = published(Served::new(&[]));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| wait_for_end(&of_first));
            thread::sleep(std::time::Duration::from_millis(50));
            let second = Served::new(&[]);
            assert_eq!(replace(&second.instance, "name"), Ok(0));
            assert_eq!(waiter.join().expect("no panic"), Err(libc::ESTALE));
            second.kill();
        });
        assert_retired(first);
    });
    tests.add("a running program takes over the name of another one, which runs on", || {
        let module = module(LOOP);
        let (first, second) = (start(&module), start(&module));
        publish_named(&first, "name");
        let of_first = find("name").expect("there");
        thread::scope(|scope| {
            let runners = [&first, &second].map(|instance| scope.spawn(move || run(instance)));
            thread::sleep(std::time::Duration::from_millis(100));
            assert_eq!(replace(&second, "name"), Ok(0));
            assert_eq!(describe(&find("name").expect("there")).state, uapi::KWASMI_SERVICE_RUNNING);
            assert_eq!(result(&of_first).err(), Some(libc::EAGAIN));
            for instance in [&first, &second] {
                signals::kill(instance.as_raw_fd());
            }
            for runner in runners {
                assert_eq!(runner.join().expect("no panic").expect("ends").status, uapi::KWASMI_KILLED);
            }
        });
        assert_eq!(result(&of_first).expect("ended").status, uapi::KWASMI_KILLED);
        assert_eq!(result(&find("name").expect("there")).expect("ended").status, uapi::KWASMI_KILLED);
    });
    tests.add("no call is lost or made twice while the name moves through many instances", || {
        let marks = Marks::new();
        let reactor = || Served::of(start_reactor(MARK, &marks.fds()));
        let (mut served, _) = published(reactor());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| marks.call());
            }
            for _ in marks.rounds(scale::iterations(200)) {
                let next = reactor();
                assert_eq!(replace(&next.instance, "name"), Ok(0));
                assert_retired(std::mem::replace(&mut served, next));
            }
            marks.end();
        });
        served.kill();
        marks.check();
    });
}
