// SPDX-License-Identifier: GPL-2.0

//! Tests of limits per user, and of the part of each total limit that is reserved for root: a user
//! with a module's descriptor takes as much as possible, and others can go on.

use crate::{
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
    scale,
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

/// First of several unprivileged user ids.
const USER: u32 = 65_500;

/// Default ceilings of the module.
const USER_INSTANCES: usize = 1024;
const USER_RUNNING: usize = 256;
const TOTAL_INSTANCES: usize = 4096;

/// Number of instances that unprivileged users can have in total; the rest is reserved for root.
const OPEN_INSTANCES: usize = TOTAL_INSTANCES / 8 * 7;

/// Program that allocates until it is ended.
const GROW: &str = r#"(module (memory (export "memory") 1)
    (func (export "_start") (loop (drop (memory.grow (i32.const 256))) (br 0))))"#;

/// Starts an instance. On failure returns the error number, the limit and its value.
fn try_start(module: &OwnedFd) -> Result<OwnedFd, (i32, u32, u64)> {
    let mut request = kwasmi_start::default();
    owned(call(module, uapi::IOC_START, &mut request)).map_err(|errno| (errno, request.limit, request.limit_value))
}

/// Starts instances until START fails, which must be EDQUOT with this limit and value.
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
    // SAFETY: `limit` is a valid `rlimit`, and `setrlimit` only reads it.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

/// Handle of a process that runs as another user, and that reports when it holds its resources and
/// then waits.
struct Holder {
    child: Child,
    said: PipeReader,
    go: PipeWriter,
}

/// Pipe ends in the process of a [`Holder`].
struct Held {
    say: PipeWriter,
    told: PipeReader,
}

impl Held {
    /// Reports that the resources are held, then waits for [`Holder::go`].
    fn hold(&mut self) {
        self.say.write_all(&[1]).expect("somebody reads");
        self.told.read_exact(&mut [0]).expect("somebody writes");
    }
}

impl Holder {
    /// Starts a process of `user` that does `work`, and waits until it calls [`Held::hold`] for the
    /// first time.
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

    /// Waits until the process calls [`Held::hold`].
    fn wait(&mut self) {
        self.said.read_exact(&mut [0]).expect("it has what it wants");
    }

    /// Lets the process continue.
    fn go(&mut self) {
        self.go.write_all(&[1]).expect("it waits");
    }

    /// Lets the process continue, and waits for its end.
    fn end(mut self) {
        self.go();
        assert_eq!(self.child.wait(), 0);
    }
}

/// Checks that root and another user can start and run instances.
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
        // A user namespace does not count as another user.
        // SAFETY: `unshare` has no memory requirements, and this process has one thread.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWUSER) }, 0);
        assert_eq!(take_own(&program).len(), 0);
        drop(instances);
        // Closed instances can be started again.
        let instances = take_own(&program);
        assert_eq!(instances.len(), USER_INSTANCES);
        held.hold();
    });
    assert_eq!(info().instances, USER_INSTANCES as u64);
    others_go_on(USER + 1);
    // The limit is per user, not per process.
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

/// Many users together cannot use root's reserved part.
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

/// Runs as many instances of `program` at the same time as a user may, with `more` that must be
/// refused. Then calls `work`, and kills the instances.
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
            // START enters the engine, so it counts as running.
            let refused = (libc::EDQUOT, uapi::KWASMI_LIMIT_USER_RUNNING, USER_RUNNING as u64);
            assert_eq!(try_start(&once).expect_err("it is not started"), refused);
            held.hold();
        });
        // An instance that was refused can run later, and the whole limit is available again.
        assert_eq!(run(&ready).expect("it runs").status, uapi::KWASMI_EXITED);
        running(&sleep, 1, || ());
    });
    others_go_on(USER + 1);
    holder.end();
}

/// A guest can use all memory except root's reserved part, and a guest of root also that.
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

/// An instance is counted for the user that started it, even if that process changes its user.
fn other_users_later() {
    let program = module(LOOP_ONCE);
    let child = Child::start(|| {
        allow_descriptors();
        let be = |user: u32| {
            // SAFETY: `setresuid` has no memory requirements.
            assert_eq!(unsafe { libc::setresuid(u32::MAX, 0, u32::MAX) }, 0);
            // SAFETY: `setresuid` has no memory requirements.
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

/// Threads start and close instances at the limit: the limit is never exceeded, and no count is
/// lost.
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
                        for _ in 0..scale::iterations(2000) {
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
    tests.add("a user that holds all instances that it may have does not stop others", instances);
    tests.add("many users that hold all instances that they may have do not stop root", kept_for_root);
    tests.add("a user that runs as many instances as it may does not stop others", runs);
    tests.add("an instance is counted for the user that started it", other_users_later);
    tests.add("a guest is limited to the memory that its user may have", memory);
    tests.add("eight threads that start and close instances at the limit lose no count", races);
}
