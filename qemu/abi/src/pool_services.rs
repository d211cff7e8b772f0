// SPDX-License-Identifier: GPL-2.0

//! Tests of pools that are services: their names, ends and replacements.

use crate::{
    counters,
    kernel::{
        assert_nothing_held,
        call as ioctl,
        grant,
        module,
        run,
        start, //
    },
    ktap::Tests,
    pool::{
        Busy,
        LONG,
        Returned,
        call_or_end,
        member,
        pool,
        pool_of,
        queued,
        risky_caller,
        try_member,
        until, //
    },
    reactor::{
        REACTOR,
        Served,
        call,
        call_for,
        caller,
        function,
        start_reactor, //
    },
    scale,
    services::{
        chars,
        describe,
        find,
        plain,
        publish,
        publish_named,
        replace,
        result,
        wait,
        wait_for_end, //
    },
    signals,
    task::{
        self,
        Child, //
    },
    upgrade::{
        MARK,
        Marks,
        assert_retired, //
    },
};
use kwasmi::uapi::{
    self,
    kwasmi_publish, //
};
use std::{
    io::{
        Read as _,
        Write as _,
        pipe, //
    },
    os::fd::{
        AsRawFd as _,
        OwnedFd, //
    },
    sync::Arc,
    thread,
    time::Duration,
};

/// Returns a pool that is the service "name", and the service.
fn published() -> (Arc<OwnedFd>, Arc<OwnedFd>) {
    let pool = pool();
    publish_named(&pool, "name");
    (pool, Arc::new(find("name").expect("there")))
}

/// Checks that a call that waited for an instance, or had one, has failed because its service was
/// freed.
fn assert_freed(answer: Returned) {
    let expected = [Ok(Err(uapi::KWASMI_KILLED)), Err(libc::ESHUTDOWN), Err(libc::ECONNRESET)];
    assert!(expected.contains(&answer), "{answer:?}");
}

fn lives(tests: &mut Tests) {
    tests.add("a pool has a name, and its instances come and go while callers wait", || {
        let pool = pool();
        publish_named(&pool, "name");
        let service = Arc::new(find("name").expect("there"));
        let state = |state: u32, instances: u32| {
            let info = describe(&service);
            assert_eq!((info.state, info.instances, info.status, info.code), (state, instances, 0, 0));
        };
        state(uapi::KWASMI_SERVICE_READY, 0);
        let info = describe(&service);
        // SAFETY: The call has no requirements.
        assert_eq!((info.name, info.pid, info.uid), (chars("name"), unsafe { libc::getpid() }, 0));
        assert_ne!((info.since, info.sha256), (0, [0; 32]));
        let first = caller(&service, "add", &[1]);
        let second = caller(&pool, "add", &[1]);
        let instance = try_member(&pool, &[]).expect("starts");
        state(uapi::KWASMI_SERVICE_READY, 1);
        assert_eq!(publish(&instance, "other", -1), Err(libc::EBUSY));
        let served = Served::of(instance);
        assert_eq!(first.join().expect("no panic"), Ok(vec![1]));
        assert_eq!(second.join().expect("no panic"), Ok(vec![2]));
        state(uapi::KWASMI_SERVICE_RUNNING, 1);
        assert_eq!(publish(&served.instance, "other", -1), Err(libc::EBUSY));
        assert_eq!(replace(&served.instance, "name"), Err(libc::EBUSY));
        // The service does not end with its last instance.
        let trap = function(&service, b"trap").expect("exported").function;
        assert_eq!(call_or_end(&service, trap, &[], LONG), Ok(Err(uapi::KWASMI_TRAPPED)));
        assert_eq!(served.end().status, uapi::KWASMI_TRAPPED);
        until(|| describe(&service).instances == 0);
        state(uapi::KWASMI_SERVICE_RUNNING, 0);
        assert_eq!(wait(&service, uapi::KWASMI_SERVICE_ENDED, 1), Err(libc::ETIMEDOUT));
        assert_eq!(result(&service).err(), Some(libc::EAGAIN));
        assert_eq!(plain(&service, uapi::IOC_REMOVE), Err(libc::EBUSY));
        assert_eq!(call_for(&service, "add", &[1], 1_000_000), Err(libc::ETIMEDOUT));
        let waiting = caller(&service, "add", &[7]);
        assert_eq!((queued(&service), queued(&pool)), (1, 1));
        let served = member(&pool);
        assert_eq!(waiting.join().expect("no panic"), Ok(vec![7]));
        state(uapi::KWASMI_SERVICE_RUNNING, 1);
        let count = |number| counters::value(&*service, number);
        assert_eq!((count(uapi::KWASMI_COUNTER_STARTS), count(uapi::KWASMI_COUNTER_CALLS)), (2, 4));
        drop(pool);
        assert_eq!(served.end().status, uapi::KWASMI_KILLED);
        // The counters stay.
        assert_eq!((count(uapi::KWASMI_COUNTER_STARTS), count(uapi::KWASMI_COUNTER_CALLS)), (2, 4));
    });
    tests.add("PUBLISH of a pool refuses invalid requests, and a second name", || {
        let pool = pool();
        for (name, flags, errno) in [("", 0, libc::EINVAL), ("A", 0, libc::EINVAL), ("a", 2, libc::EINVAL)] {
            let mut request = kwasmi_publish { name: chars(name), log: -1, flags };
            assert_eq!(ioctl(&*pool, uapi::IOC_PUBLISH, &mut request), Err(errno), "{name:?}");
        }
        assert_eq!(publish(&pool, "name", 1000), Err(libc::EBADF));
        assert_eq!(publish(&pool, "name", pool.as_raw_fd()), Err(libc::EINVAL));
        assert_eq!(replace(&pool, "name"), Err(libc::ENOENT));
        let child = Child::start(|| {
            if task::drop_sys_admin().is_err() {
                return 2;
            }
            u8::from(publish(&pool, "name", -1) != Err(libc::EPERM) || replace(&pool, "name") != Err(libc::EPERM))
        });
        assert_eq!(child.wait(), 0);
        assert_eq!(find("name").err(), Some(libc::ENOENT));
        assert_eq!(publish(&pool, "name", -1), Ok(0));
        assert_eq!(publish(&pool, "name", -1), Err(libc::EBUSY));
        assert_eq!(publish(&pool, "other", -1), Err(libc::EBUSY));
        assert_eq!(replace(&pool, "name"), Err(libc::EBUSY));
        let other = pool_of(&module(REACTOR));
        assert_eq!(publish(&other, "name", -1), Err(libc::EEXIST));
        let child = Child::start(|| u8::from(replace(&other, "name") != Err(libc::EPERM)));
        assert_eq!(child.wait(), 0);
        // A pool that runs may get a name.
        let served = member(&other);
        assert_eq!(call(&other, "add", &[1]), Ok(vec![1]));
        publish_named(&other, "other");
        assert_eq!(describe(&find("other").expect("there")).state, uapi::KWASMI_SERVICE_RUNNING);
        served.kill();
    });
    tests.add("FINISH ends a pool with the result of the instance that ended last", || {
        let (pool, service) = published();
        let (one, other) = (member(&pool), Busy::new(&pool));
        other.kill();
        assert_eq!(call(&service, "add", &[1]), Ok(vec![1]));
        let exit = function(&service, b"exit").expect("exported").function;
        assert_eq!(call_or_end(&service, exit, &[], LONG), Ok(Err(uapi::KWASMI_EXITED)));
        // The descriptor of the instance is open.
        let held = one.instance.clone();
        assert_eq!(one.end().code, 3);
        let waiting = caller(&service, "add", &[1]);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| wait_for_end(&service));
            thread::sleep(Duration::from_millis(30));
            assert_eq!(plain(&pool, uapi::IOC_FINISH), Ok(0));
            assert_eq!(waiter.join().expect("no panic"), Ok(0));
        });
        assert_eq!(waiting.join().expect("no panic"), Err(libc::ESHUTDOWN));
        let ended = describe(&service);
        assert_eq!((ended.state, ended.status, ended.code), (uapi::KWASMI_SERVICE_ENDED, uapi::KWASMI_EXITED, 3));
        let _ = plain(&pool, uapi::IOC_FINISH);
        let end = result(&service).expect("ended");
        assert_eq!((end.status, end.code), (uapi::KWASMI_EXITED, 3));
        for fd in [&pool, &service] {
            assert_eq!(call_or_end(fd, 0, &[], LONG), Err(libc::ESHUTDOWN));
        }
        assert_eq!(try_member(&pool, &[]).err(), Some(libc::ESHUTDOWN));
        drop(held);
        // A service that has ended gives its name away.
        assert_eq!(replace(&start_reactor(REACTOR, &[]), "name"), Err(libc::ESHUTDOWN));
        assert_eq!(plain(&service, uapi::IOC_REMOVE), Ok(0));
        assert_eq!(find("name").err(), Some(libc::ENOENT));
        // Instances that have not ended are killed, and their results come too late.
        for has_ended in [false, true] {
            let (pool, service) = published();
            if has_ended {
                let exits = member(&pool);
                assert_eq!(call_or_end(&service, exit, &[], LONG), Ok(Err(uapi::KWASMI_EXITED)));
                assert_eq!(exits.end().code, 3);
            }
            let served = [member(&pool), member(&pool)];
            assert_eq!(call(&service, "add", &[1]), Ok(vec![1]));
            assert_eq!(plain(&pool, uapi::IOC_FINISH), Ok(0));
            for served in served {
                assert_eq!(served.end().status, uapi::KWASMI_KILLED);
            }
            let end = result(&service).expect("ended");
            let expected = if has_ended { (uapi::KWASMI_EXITED, 3) } else { (uapi::KWASMI_KILLED, 0) };
            assert_eq!((end.status, end.code), expected);
            drop(pool);
        }
        // The result of a pool without instances.
        let (pool, service) = published();
        assert_eq!(plain(&pool, uapi::IOC_FINISH), Ok(0));
        assert_eq!(result(&service).expect("ended").status, uapi::KWASMI_KILLED);
        let (next, of_next) = published();
        assert_eq!(describe(&service).state, uapi::KWASMI_SERVICE_REMOVED);
        assert_eq!(describe(&of_next).state, uapi::KWASMI_SERVICE_READY);
        drop((pool, next));
    });
    tests.add("KILL ends all instances of a pool, and none can be started any more", || {
        for by_service in [true, false] {
            let (pool, service) = published();
            let (input, _feed) = pipe().expect("a pipe");
            let waits = Served::of(try_member(&pool, &[grant(input.as_raw_fd(), 0)]).expect("starts"));
            let busy = risky_caller(&waits.instance, "wait", &[]);
            let served = [waits, member(&pool), member(&pool)];
            let computing = {
                let service = service.clone();
                let compute = function(&pool, b"compute").expect("exported").function;
                thread::spawn(move || call_or_end(&service, compute, &[1 << 62], LONG))
            };
            until(|| counters::value(&*pool, uapi::KWASMI_COUNTER_CALLS) == 2);
            if by_service {
                assert_eq!(plain(&service, uapi::IOC_KILL), Ok(0));
            } else {
                signals::kill(pool.as_raw_fd());
            }
            for served in served {
                assert_eq!(served.end().status, uapi::KWASMI_KILLED);
            }
            assert_eq!(busy.join().expect("no panic"), Ok(Err(uapi::KWASMI_KILLED)));
            assert_eq!(computing.join().expect("no panic"), Ok(Err(uapi::KWASMI_KILLED)));
            assert_eq!(try_member(&pool, &[]).err(), Some(libc::ESHUTDOWN));
            assert_eq!(call_or_end(&service, 0, &[], LONG), Err(libc::ESHUTDOWN));
            assert_eq!(replace(&start_reactor(REACTOR, &[]), "name"), Err(libc::ESHUTDOWN));
            assert_eq!(plain(&pool, uapi::IOC_FINISH), Ok(0));
            assert_eq!(result(&service).expect("ended").status, uapi::KWASMI_KILLED);
        }
        // A pool that was killed, or has ended, gets no name.
        for command in [uapi::IOC_KILL, uapi::IOC_FINISH] {
            let pool = self::pool();
            assert_eq!(plain(&pool, command), Ok(0));
            assert_eq!(publish(&pool, "name", -1), Err(libc::ESHUTDOWN));
        }
        // Callers who wait for an instance get none.
        let (pool, service) = published();
        let waiting = caller(&service, "add", &[1]);
        assert_eq!(plain(&service, uapi::IOC_KILL), Ok(0));
        assert_eq!(waiting.join().expect("no panic"), Err(libc::ESHUTDOWN));
        drop(pool);
    });
    tests.add("root without CAP_SYS_ADMIN does not kill the service of a pool", || {
        let (_pool, service) = published();
        let child = Child::start(|| {
            if task::drop_sys_admin().is_err() {
                return 2;
            }
            let commands = [uapi::IOC_KILL, uapi::IOC_LOG, uapi::IOC_REMOVE];
            u8::from(!commands.into_iter().all(|command| plain(&service, command) == Err(libc::EPERM)))
        });
        assert_eq!(child.wait(), 0);
    });
    tests.add("closing the pool descriptor ends instances, calls and the name", || {
        let (pool, service) = published();
        let (input, _feed) = pipe().expect("a pipe");
        let served = Served::of(try_member(&pool, &[grant(input.as_raw_fd(), 0)]).expect("starts"));
        let busy = risky_caller(&service, "wait", &[]);
        let waiting: Vec<_> = (0..3).map(|_| caller(&service, "add", &[1])).collect();
        drop(pool);
        assert_freed(busy.join().expect("no panic"));
        for waiting in waiting {
            assert_eq!(waiting.join().expect("no panic"), Err(libc::ESHUTDOWN));
        }
        assert_eq!(served.end().status, uapi::KWASMI_KILLED);
        assert_eq!(find("name").err(), Some(libc::ENOENT));
        assert_eq!(describe(&service).state, uapi::KWASMI_SERVICE_REMOVED);
        assert_eq!(result(&service).expect("ended").status, uapi::KWASMI_KILLED);
        assert_eq!(function(&service, b"add").err(), Some(libc::ESHUTDOWN));
        assert_eq!(plain(&service, uapi::IOC_KILL), Ok(0));
        // An instance may outlive the descriptor of its pool, and is killed.
        let pool = self::pool();
        let instance = try_member(&pool, &[]).expect("starts");
        drop(pool);
        assert_eq!(run(&instance).expect("ends").status, uapi::KWASMI_KILLED);
    });
    tests.add("the end of the process that has a pool ends the calls of others", || {
        for is_busy in [true, false] {
            let (input, _feed) = pipe().expect("a pipe");
            let (mut told, mut tell) = pipe().expect("a pipe");
            // The child alone has the pool.
            let child = Child::start(|| {
                let (pool, _service) = published();
                let fds = [grant(input.as_raw_fd(), 0)];
                let serve = || Served::of(try_member(&pool, &fds).expect("starts"));
                let served: Vec<_> = (0..if is_busy { 2 } else { 0 }).map(|_| serve()).collect();
                let _ = tell.write_all(&[1]);
                loop {
                    thread::sleep(Duration::from_secs(served.len() as u64 + 1));
                }
            });
            told.read_exact(&mut [0]).expect("begins");
            let service = Arc::new(find("name").expect("there"));
            let names = if is_busy { &["wait", "wait", "add", "add", "add"][..] } else { &["add", "add"] };
            let callers: Vec<_> = names
                .iter()
                .map(|name| risky_caller(&service, name, if *name == "add" { &[1] } else { &[] }))
                .collect();
            assert_eq!(queued(&service), if is_busy { 3 } else { 2 });
            // The drop kills the child.
            drop(child);
            for caller in callers {
                assert_freed(caller.join().expect("no panic"));
            }
            assert_eq!(find("name").err(), Some(libc::ENOENT));
            assert_eq!(function(&service, b"add").err(), Some(libc::ESHUTDOWN));
            let gone = describe(&service);
            assert_eq!((gone.state, gone.instances, gone.pid), (uapi::KWASMI_SERVICE_REMOVED, 0, 0));
            drop(service);
            assert_nothing_held();
        }
    });
}

/// Checks that the former pool of a name refuses calls, instances and commands.
fn assert_replaced(pool: &OwnedFd, service: &OwnedFd) {
    for fd in [pool, service] {
        assert_eq!(call_or_end(fd, 0, &[], LONG), Err(libc::ESTALE));
    }
    assert_eq!(try_member(pool, &[]).err(), Some(libc::ESTALE));
    assert_eq!(describe(service).state, uapi::KWASMI_SERVICE_REMOVED);
    assert_eq!(wait_for_end(service), Err(libc::ESTALE));
    for command in [uapi::IOC_KILL, uapi::IOC_REMOVE] {
        assert_eq!(plain(service, command), Err(libc::ESTALE));
    }
}

fn replacements(tests: &mut Tests) {
    tests.add("a pool takes over the name of a pool, which finishes its calls", || {
        let (first, of_first) = published();
        let mut busy = Busy::new(&first);
        let mut also_busy = Busy::new(&first);
        let (input, mut feed) = pipe().expect("a pipe");
        let third = Served::of(try_member(&first, &[grant(input.as_raw_fd(), 0)]).expect("starts"));
        let of_service = risky_caller(&of_first, "wait", &[]);
        let waiting: Vec<_> = (0..4).map(|_| caller(&of_first, "add", &[1])).collect();
        let second = pool();
        let new = member(&second);
        assert_eq!(replace(&second, "name"), Ok(0));
        assert_replaced(&first, &of_first);
        let of_second = find("name").expect("there");
        assert_eq!(call(&of_second, "add", &[7]), Ok(vec![7]));
        assert_eq!(result(&of_first).err(), Some(libc::EAGAIN));
        assert_eq!((busy.release(10), also_busy.release(20)), (10, 20));
        feed.write_all(&[30]).expect("room");
        assert_eq!(of_service.join().expect("no panic"), Ok(Ok(30)));
        let mut answers: Vec<_> =
            waiting.into_iter().map(|caller| caller.join().expect("no panic").expect("answers")[0]).collect();
        // Each instance has counted its own calls.
        answers.sort_unstable();
        assert!(answers.windows(2).all(|pair| pair[0] != pair[1]), "{answers:?}");
        for served in [busy.served, third, also_busy.served] {
            assert_retired(served);
        }
        assert_replaced(&first, &of_first);
        assert_eq!(plain(&first, uapi::IOC_FINISH), Ok(0));
        let end = result(&of_first).expect("ended");
        assert_eq!((end.status, end.code), (uapi::KWASMI_EXITED, 0));
        assert_replaced(&first, &of_first);
        drop(first);
        assert_eq!(function(&of_first, b"add").err(), Some(libc::ESTALE));
        assert_eq!(call(&of_second, "add", &[1]), Ok(vec![8]));
        new.kill();
    });
    tests.add("a pool takes over the name of an instance, and an instance that of a pool", || {
        let instance = start_reactor(REACTOR, &[]);
        publish_named(&instance, "name");
        let first = Served::of(instance);
        let of_first = find("name").expect("there");
        assert_eq!(call(&of_first, "add", &[1]), Ok(vec![1]));
        let pool = pool();
        let member = member(&pool);
        assert_eq!(replace(&pool, "name"), Ok(0));
        let of_pool = find("name").expect("there");
        assert_eq!(call(&of_first, "add", &[1]), Err(libc::ESTALE));
        assert_eq!(call(&of_pool, "add", &[2]), Ok(vec![2]));
        assert_retired(first);
        let last = Served::new(&[]);
        assert_eq!(replace(&last.instance, "name"), Ok(0));
        assert_retired(member);
        assert_replaced(&pool, &of_pool);
        assert_eq!(call(&find("name").expect("there"), "add", &[3]), Ok(vec![3]));
        last.kill();
    });
    tests.add("callers who wait for a pool that has lost its name and its instances have not run", || {
        for has_instance in [false, true] {
            let (first, of_first) = published();
            let busy = has_instance.then(|| Busy::new(&first));
            let waiting: Vec<_> = (0..3).map(|_| caller(&of_first, "add", &[1])).collect();
            let second = pool();
            let new = member(&second);
            assert_eq!(replace(&second, "name"), Ok(0));
            if let Some(busy) = busy {
                assert_eq!(queued(&of_first), 3);
                // Its last instance ends before it serves them.
                busy.kill();
            }
            for waiting in waiting {
                assert_eq!(waiting.join().expect("no panic"), Err(libc::ESTALE));
            }
            assert_replaced(&first, &of_first);
            assert_eq!(call(&find("name").expect("there"), "add", &[1]), Ok(vec![1]));
            new.kill();
        }
        // The former pool can be killed and closed meanwhile.
        for is_killed in [true, false] {
            let (first, of_first) = published();
            let (input, _feed) = pipe().expect("a pipe");
            let served = Served::of(try_member(&first, &[grant(input.as_raw_fd(), 0)]).expect("starts"));
            let busy = risky_caller(&served.instance, "wait", &[]);
            let waiting: Vec<_> = (0..3).map(|_| caller(&of_first, "add", &[1])).collect();
            let second = pool();
            assert_eq!(replace(&second, "name"), Ok(0));
            if is_killed {
                signals::kill(first.as_raw_fd());
            } else {
                drop(first);
            }
            for waiting in waiting {
                assert_eq!(waiting.join().expect("no panic"), Err(libc::ESTALE));
            }
            assert_eq!(busy.join().expect("no panic"), Ok(Err(uapi::KWASMI_KILLED)));
            assert_eq!(served.end().status, uapi::KWASMI_KILLED);
        }
    });
    tests.add("no call is lost or made twice while the name moves through pools and instances", || {
        let marks = Marks::new();
        let fds = marks.fds();
        let mark = module(MARK);
        let first = start_reactor(MARK, &fds);
        publish_named(&first, "name");
        let mut former: (Option<Arc<OwnedFd>>, Vec<Served>) = (None, vec![Served::of(first)]);
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| marks.call());
            }
            for round in marks.rounds(scale::iterations(100)) {
                let next = if round % 4 == 3 {
                    let served = Served::of(start_reactor(MARK, &fds));
                    assert_eq!(replace(&served.instance, "name"), Ok(0));
                    (None, vec![served])
                } else {
                    let pool = pool_of(&mark);
                    let serve = || Served::of(try_member(&pool, &fds).expect("starts"));
                    // Callers also wait for a pool whose first instance comes after its name.
                    let mut served = if round % 2 == 0 { vec![serve()] } else { Vec::new() };
                    assert_eq!(replace(&pool, "name"), Ok(0));
                    served.push(serve());
                    (Some(pool), served)
                };
                let (pool, served) = std::mem::replace(&mut former, next);
                served.into_iter().for_each(assert_retired);
                if let Some(pool) = pool {
                    assert_eq!(plain(&pool, uapi::IOC_FINISH), Ok(0));
                }
            }
            marks.end();
        });
        // Callers have returned, so that no call runs.
        let (pool, served) = former;
        served.into_iter().for_each(Served::kill);
        drop(pool);
        marks.check();
    });
}

pub(crate) fn tests(tests: &mut Tests) {
    lives(tests);
    replacements(tests);
    tests.add("programs of a pool run under its name until FINISH", || {
        let exits = module(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (func (export "_start") (call $exit (i32.const 7))))"#,
        );
        let pool = pool_of(&exits);
        publish_named(&pool, "name");
        let service = find("name").expect("there");
        for _ in 0..3 {
            let program = start(&pool);
            assert_eq!(run(&program).expect("runs").code, 7);
            assert_eq!(describe(&service).state, uapi::KWASMI_SERVICE_RUNNING);
        }
        assert_eq!(call_or_end(&service, 0, &[], LONG), Err(libc::EOPNOTSUPP));
        assert_eq!(plain(&pool, uapi::IOC_FINISH), Ok(0));
        assert_eq!(result(&service).expect("ended").code, 7);
        assert_eq!(counters::labelled(&service, uapi::KWASMI_COUNTER_ENDS), [("exited".to_owned(), 3)]);
    });
}
