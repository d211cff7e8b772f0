// SPDX-License-Identifier: GPL-2.0

//! Counts per user, and what is kept for root: a user who has a module's descriptor takes all that there is, and others go on.

use crate::{
    effort,
    kernel::{
        assert_nothing_held,
        call,
        info,
        limit,
        limited,
        module,
        owned,
        run,
        start,
        start_with, //
    },
    ktap::Tests,
    limits::known,
    privilege::become_user,
    signals::{
        self,
        LOOP_ONCE,
        SLEEP, //
    },
    task::Child,
};
use kwasmi::uapi::{
    self,
    kwasmi_run,
    kwasmi_start, //
};
use std::{
    io::{
        PipeReader,
        PipeWriter,
        Read as _,
        Write as _,
        pipe, //
    },
    os::fd::{
        AsRawFd as _,
        OwnedFd, //
    },
    sync::mpsc,
    thread,
};

/// The first of a few users who are nobody.
const USER: u32 = 65_500;

/// Ceilings, as the module has them unless told.
const USER_INSTANCES: usize = 1024;
const USER_RUNNING: usize = 256;
const TOTAL_INSTANCES: usize = 4096;

/// What is not kept for root.
const OPEN_INSTANCES: usize = TOTAL_INSTANCES / 8 * 7;

/// Takes memory until it is stopped.
const GROW: &str = r#"(module (memory (export "memory") 1)
    (func (export "_start") (loop (drop (memory.grow (i32.const 256))) (br 0))))"#;

/// Starts an instance; else the error number, and the limit and its value.
fn try_start(module: &OwnedFd) -> Result<OwnedFd, (i32, u32, u64)> {
    let mut request = kwasmi_start::default();
    owned(call(module, uapi::IOC_START, &mut request)).map_err(|errno| (errno, request.limit, request.limit_value))
}

/// Starts as many instances as the user may have, and sees why there is no other.
fn take_all(module: &OwnedFd, limit: u32, value: usize) -> Vec<OwnedFd> {
    let mut instances = Vec::new();
    loop {
        match try_start(module) {
            Ok(instance) => instances.push(instance),
            Err(refused) => {
                assert_eq!(refused, (libc::EDQUOT, limit, value as u64), "after {}", instances.len());
                return instances;
            }
        }
    }
}

fn take_own(module: &OwnedFd) -> Vec<OwnedFd> {
    take_all(module, uapi::KWASMI_LIMIT_USER_INSTANCES, USER_INSTANCES)
}

fn allow_descriptors() {
    let limit = libc::rlimit { rlim_cur: 8192, rlim_max: 8192 };
    // SAFETY: It is a limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

/// A process of a user, which says when it has what it wants and keeps that until it is told to go on.
struct Holder {
    child: Child,
    said: PipeReader,
    go: PipeWriter,
}

/// The other side of it.
struct Held {
    say: PipeWriter,
    told: PipeReader,
}

impl Held {
    /// All is there: waits until this is to go on.
    fn hold(&mut self) {
        self.say.write_all(&[1]).expect("somebody reads");
        self.told.read_exact(&mut [0]).expect("somebody writes");
    }
}

impl Holder {
    /// Has `user` do `work`, in which it holds once at least; this returns when it does.
    fn start(user: u32, work: impl FnOnce(&mut Held)) -> Self {
        let (said, say) = pipe().expect("a pipe");
        let (told, go) = pipe().expect("a pipe");
        let mut held = Held { say, told };
        let child = Child::start(move || {
            allow_descriptors();
            assert!(become_user(user));
            work(&mut held);
            0
        });
        let mut holder = Self { child, said, go };
        holder.wait();
        holder
    }

    /// Waits until it holds.
    fn wait(&mut self) {
        self.said.read_exact(&mut [0]).expect("it has what it wants");
    }

    /// Tells it to go on.
    fn go(&mut self) {
        self.go.write_all(&[1]).expect("it waits");
    }

    /// Tells it to go on, and waits for its end.
    fn end(mut self) {
        self.go();
        assert_eq!(self.child.wait(), 0);
    }
}

/// Root, and another user, have what they want.
fn others_go_on(user: u32) {
    let program = module(LOOP_ONCE);
    assert_eq!(run(&start(&program)).expect("root runs").status, uapi::KWASMI_EXITED);
    let other = Child::start(|| {
        assert!(become_user(user));
        let instance = try_start(&program).expect("another user starts");
        u8::from(run(&instance).map(|end| end.status) != Ok(uapi::KWASMI_EXITED))
    });
    assert_eq!(other.wait(), 0);
}

fn instances() {
    let program = module(LOOP_ONCE);
    let mut holder = Holder::start(USER, |held| {
        let instances = take_own(&program);
        assert_eq!(instances.len(), USER_INSTANCES);
        held.hold();
        // A user namespace is no other user.
        // SAFETY: It has no requirements; this process has one thread.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWUSER) }, 0);
        assert_eq!(take_own(&program).len(), 0);
        drop(instances);
        // What was taken comes back.
        let instances = take_own(&program);
        assert_eq!(instances.len(), USER_INSTANCES);
        held.hold();
    });
    assert_eq!(info().instances, USER_INSTANCES as u64);
    others_go_on(USER + 1);
    // Nor does a new process help.
    let second = Child::start(|| {
        assert!(become_user(USER));
        u8::from(!take_own(&program).is_empty())
    });
    assert_eq!(second.wait(), 0);
    holder.go();
    holder.wait();
    others_go_on(USER + 1);
    holder.end();
    drop(program);
    assert_nothing_held();
}

/// Many users together leave root its part.
fn kept_for_root() {
    let program = module(LOOP_ONCE);
    let full = OPEN_INSTANCES / USER_INSTANCES;
    let mut holders: Vec<_> = (0..full)
        .map(|index| {
            Holder::start(USER + u32::try_from(index).expect("few"), |held| {
                let instances = take_own(&program);
                assert_eq!(instances.len(), USER_INSTANCES);
                held.hold();
            })
        })
        .collect();
    holders.push(Holder::start(USER + 100, |held| {
        let rest = take_all(&program, uapi::KWASMI_LIMIT_TOTAL_INSTANCES, OPEN_INSTANCES);
        assert_eq!(rest.len(), OPEN_INSTANCES % USER_INSTANCES);
        held.hold();
    }));
    assert_eq!(info().instances, OPEN_INSTANCES as u64);
    let rest = Child::start(|| {
        allow_descriptors();
        let rest = take_all(&program, uapi::KWASMI_LIMIT_TOTAL_INSTANCES, TOTAL_INSTANCES);
        u8::from(rest.len() != TOTAL_INSTANCES - OPEN_INSTANCES)
    });
    assert_eq!(rest.wait(), 0);
    let program = module(LOOP_ONCE);
    assert_eq!(run(&start(&program)).expect("root runs").status, uapi::KWASMI_EXITED);
    holders.into_iter().for_each(Holder::end);
}

/// Has as many threads run instances of `program` as may, and `more` that may not; then does `work`.
fn running(program: &OwnedFd, more: usize, work: impl FnOnce()) {
    let instances: Vec<_> = (0..USER_RUNNING + more).map(|_| try_start(program).expect("it starts")).collect();
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for instance in &instances {
            let sender = sender.clone();
            let runner = thread::Builder::new().stack_size(64 * 1024).spawn_scoped(scope, move || {
                let mut request = kwasmi_run::default();
                let answer = call(instance, uapi::IOC_RUN, &mut request);
                sender.send((answer, request)).expect("it waits");
            });
            runner.expect("a thread");
        }
        for _ in 0..more {
            let (answer, request) = receiver.recv().expect("one that may not");
            assert_eq!(answer, Err(libc::EDQUOT));
            assert_eq!((request.code, request.limit_value), (uapi::KWASMI_LIMIT_USER_RUNNING, USER_RUNNING as u64));
        }
        work();
        instances.iter().for_each(|instance| signals::kill(instance.as_raw_fd()));
        for _ in 0..USER_RUNNING {
            let (answer, request) = receiver.recv().expect("one that ran");
            assert_eq!((answer, request.status), (Ok(0), uapi::KWASMI_KILLED));
        }
    });
}

fn runs() {
    let sleep = module(SLEEP);
    let once = module(LOOP_ONCE);
    let holder = Holder::start(USER, |held| {
        let ready = try_start(&once).expect("it starts");
        running(&sleep, 3, || {
            // A start enters the engine, too.
            let refused = (libc::EDQUOT, uapi::KWASMI_LIMIT_USER_RUNNING, USER_RUNNING as u64);
            assert_eq!(try_start(&once).expect_err("it is not started"), refused);
            held.hold();
        });
        // What was refused can be run later, and all can be had again.
        assert_eq!(run(&ready).expect("it runs").status, uapi::KWASMI_EXITED);
        running(&sleep, 1, || ());
    });
    others_go_on(USER + 1);
    holder.end();
}

/// A guest takes all memory that its user may have, and root has some more.
fn memory() {
    let total = known(uapi::KWASMI_LIMIT_TOTAL_HEAP).ceiling;
    let program = module(GROW);
    let takes = move |program: &OwnedFd, most: u64| {
        let limits = [limit(uapi::KWASMI_LIMIT_MEMORY, 1 << 30), limit(uapi::KWASMI_LIMIT_HEAP, 1 << 32)];
        let instance = start_with(program, limited(&limits)).0.expect("it starts");
        let end = run(&instance).expect("it runs");
        assert_eq!(
            (end.status, end.code, end.limit_value),
            (uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_TOTAL_HEAP, most)
        );
    };
    let child = Child::start(|| {
        assert!(become_user(USER));
        takes(&program, total - total / 8);
        0
    });
    assert_eq!(child.wait(), 0);
    takes(&program, total);
}

/// An instance is counted for who started it, whoever that process becomes.
fn other_users_later() {
    let program = module(LOOP_ONCE);
    let child = Child::start(|| {
        allow_descriptors();
        let be = |user: u32| {
            // SAFETY: It has no requirements.
            assert_eq!(unsafe { libc::setresuid(u32::MAX, 0, u32::MAX) }, 0);
            // SAFETY: As above.
            assert_eq!(unsafe { libc::setresuid(user, user, 0) }, 0);
        };
        be(USER);
        let first: Vec<_> = (0..3).map(|_| try_start(&program).expect("it starts")).collect();
        be(USER + 1);
        let all = take_own(&program);
        assert_eq!(all.len(), USER_INSTANCES);
        be(USER);
        assert_eq!(take_own(&program).len(), USER_INSTANCES - first.len());
        drop(first);
        let others = take_own(&program);
        assert_eq!(others.len(), USER_INSTANCES);
        be(USER + 1);
        assert_eq!(take_own(&program).len(), 0);
        0
    });
    assert_eq!(child.wait(), 0);
}

/// Threads start and end instances where the next one is too many: none is ever too many, and none is lost.
fn races() {
    let program = module(LOOP_ONCE);
    let child = Child::start(|| {
        allow_descriptors();
        assert!(become_user(USER));
        let mut instances = take_own(&program);
        instances.truncate(USER_INSTANCES - 4);
        let (mut started, mut refused) = (0, 0);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let (mut started, mut refused) = (0, 0);
                        for _ in 0..effort::times(2000) {
                            match try_start(&program) {
                                Ok(_) => started += 1,
                                Err(reason) => {
                                    let limit = uapi::KWASMI_LIMIT_USER_INSTANCES;
                                    assert_eq!(reason, (libc::EDQUOT, limit, USER_INSTANCES as u64));
                                    refused += 1;
                                }
                            }
                        }
                        (started, refused)
                    })
                })
                .collect();
            for thread in threads {
                let (more_started, more_refused) = thread.join().expect("no panic");
                started += more_started;
                refused += more_refused;
            }
        });
        println!("# {started} starts, {refused} refused");
        assert!(started > 0);
        u8::from(take_own(&program).len() != 4)
    });
    assert_eq!(child.wait(), 0);
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("a user takes all instances that it may have, and others go on", instances);
    tests.add("many users take all instances that they may have, and root goes on", kept_for_root);
    tests.add("a user runs as many instances as it may, and others go on", runs);
    tests.add("an instance is counted for who started it", other_users_later);
    tests.add("a guest takes all memory that its user may have", memory);
    tests.add("instances started and ended by eight threads at the limit", races);
}
