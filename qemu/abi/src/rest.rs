// SPDX-License-Identifier: GPL-2.0

//! Tests of idle reactors, which rest: after 1 to 2 s without calls they have no stacks until the
//! next call.

use crate::{
    counters,
    fuzz::Random,
    kernel::{
        assert_nothing_held,
        call as ioctl,
        grant,
        info,
        limit,
        limited,
        load_for,
        module,
        run,
        start,
        start_with, //
    },
    ktap::Tests,
    limits::known,
    pool::{
        LONG,
        call_or_end,
        member,
        pool,
        until, //
    },
    reactor::{
        REACTOR,
        Served,
        call,
        call_for,
        function,
        interrupt,
        start_reactor,
        with_id, //
    },
    scale,
    services::{
        find,
        publish_named,
        replace, //
    },
    signals,
    task::Child,
};
use kwasmi::uapi::{
    self,
    kwasmi_module,
    kwasmi_start, //
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
    time::{
        Duration,
        Instant, //
    },
};

/// Size of the stack of a compiled guest, without what the engine adds for itself.
const GUEST_STACK: u64 = 1 << 20;

/// Upper bound of the time until a reactor without calls rests.
const REST: Duration = Duration::from_millis(2_500);

/// Returns true if modules are compiled. `heap_bytes` includes the stacks of compiled guests only.
pub(crate) fn are_compiled() -> bool {
    is_compiled(&module(REACTOR))
}

fn is_compiled(module: &OwnedFd) -> bool {
    let mut info = kwasmi_module::default();
    assert_eq!(ioctl(module, uapi::IOC_MODULE, &mut info), Ok(0));
    info.flags & uapi::KWASMI_MODULE_COMPILED != 0
}

/// Waits until another reactor rests: until `heap_bytes` is below `before` by at least one stack.
/// Waits for [`REST`] if guests are interpreted.
fn wait_for_rest(before: u64) {
    if are_compiled() {
        until(|| info().heap_bytes + GUEST_STACK <= before);
    } else {
        thread::sleep(REST);
    }
}

/// Calls `add` of a reactor, then waits until it rests. Returns the sum.
fn call_and_rest(fd: &OwnedFd) -> u64 {
    let sum = call_for(fd, "add", &[1], LONG).expect("answers")[0];
    wait_for_rest(info().heap_bytes);
    sum
}

/// Returns the anonymous resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("there");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("there");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") << 10
}

/// Takes memory of engines until a stack of a compiled guest cannot be allocated.
fn take_memory() -> Vec<OwnedFd> {
    let load = |text: &str| load_for(&wat::parse_str(text).expect("valid text"), uapi::KWASMI_LOAD_INTERPRET);
    let small = load(r#"(module (memory 1) (func (export "_start")))"#).0.expect("loads");
    let total = known(uapi::KWASMI_LIMIT_TOTAL_HEAP).ceiling;
    let free = || total - info().heap_bytes;
    let limits = [limit(uapi::KWASMI_LIMIT_MEMORY, 1 << 30), limit(uapi::KWASMI_LIMIT_HEAP, 1 << 32)];
    let mut taken = Vec::new();
    while free() > 9 << 20 {
        let pages = ((free() - (8 << 20)) >> 16).min(8192);
        let large = load(&format!(r#"(module (memory {pages}) (func (export "_start")))"#)).0.expect("loads");
        taken.push(start_with(&large, limited(&limits)).0.expect("starts"));
    }
    while free() >= GUEST_STACK {
        taken.push(start(&small));
    }
    taken
}

fn states(tests: &mut Tests) {
    tests.add("an idle reactor gives its stack back, and has its state in the next call", || {
        let served = Served::new(&[]);
        let mut sum = 0;
        for _ in 0..2 {
            sum += 1;
            assert_eq!(call(&served.instance, "add", &[1]), Ok(vec![sum]));
            let (before, resident_before) = (info().heap_bytes, resident());
            wait_for_rest(before);
            if are_compiled() {
                let (after, resident_after) = (info().heap_bytes, resident());
                println!("# heap: {before}, {after}; resident: {resident_before}, {resident_after}");
                // The kernel's figure is not exact.
                assert!(resident_after + GUEST_STACK / 2 < resident_before);
                sum += 1;
                assert_eq!(call(&served.instance, "add", &[1]), Ok(vec![sum]));
                assert_eq!(info().heap_bytes, before);
                wait_for_rest(before);
                assert_eq!(info().heap_bytes, after);
            }
            assert_eq!(call(&served.instance, "initialized", &[]), Ok(vec![1, 53]));
        }
        // Memory may grow in the first call after a rest.
        wait_for_rest(info().heap_bytes);
        assert_eq!(call(&served.instance, "grow", &[2]), Ok(vec![1]));
        assert_eq!(counters::value(&*served.instance, uapi::KWASMI_COUNTER_MEMORY), 3 << 16);
        served.kill();
    });
    tests.add("a reactor that has had no call rests, and all of a pool do", || {
        let pool = pool();
        let before = info().heap_bytes;
        let members: Vec<_> = (0..3).map(|_| member(&pool)).collect();
        if are_compiled() {
            until(|| info().heap_bytes < before + GUEST_STACK);
        } else {
            thread::sleep(REST);
        }
        for served in &members {
            assert_eq!(call(&served.instance, "initialized", &[]), Ok(vec![1, 53]));
        }
        assert_eq!(call(&pool, "add", &[1]), Ok(vec![1]));
        members.into_iter().for_each(Served::kill);
    });
    tests.add("a call that takes longer than the time of a rest is not disturbed", || {
        let (input, mut feed) = pipe().expect("a pipe");
        let served = Served::new(&[grant(input.as_raw_fd(), 0)]);
        // One is run by its caller, and the other one by the thread that serves the reactor.
        for (timeout, answer) in [(LONG, Ok(vec![5])), (10_000_000, Err(libc::EINPROGRESS))] {
            let instance = served.instance.clone();
            let (_, waiting) = with_id(move || call_for(&instance, "wait", &[], timeout));
            thread::sleep(REST);
            feed.write_all(&[5]).expect("room");
            assert_eq!(waiting.join().expect("no panic"), answer);
        }
        assert_eq!(call_and_rest(&served.instance), 11);
        assert_eq!(call(&served.instance, "add", &[1]), Ok(vec![12]));
        served.kill();
    });
    tests.add("a resting reactor runs calls of another thread's attributes, and of a thread that leaves", || {
        let (input, mut feed) = pipe().expect("a pipe");
        let served = Served::new(&[grant(input.as_raw_fd(), 0)]);
        assert_eq!(call_and_rest(&served.instance), 1);
        let child = Child::start(|| {
            // SAFETY: The call has no requirements.
            assert_eq!(unsafe { libc::nice(19) }, 19);
            u8::from(call_for(&served.instance, "add", &[1], LONG) != Ok(vec![2]))
        });
        assert_eq!(child.wait(), 0);
        assert_eq!(call_and_rest(&served.instance), 3);
        assert_eq!(call_for(&served.instance, "wait", &[], 30_000_000), Err(libc::EINPROGRESS));
        feed.write_all(&[5]).expect("room");
        assert_eq!(call_and_rest(&served.instance), 9);
        // A refused call leaves the reactor as it is.
        let add = function(&served.instance, b"add").expect("exported").function;
        for (number, args) in [(add, &[][..]), (add, &[1, 2]), (10_000, &[1])] {
            assert_eq!(call_or_end(&served.instance, number, args, LONG), Err(libc::EINVAL));
        }
        assert_eq!(call_and_rest(&served.instance), 10);
        served.kill();
    });
    tests.add("sixteen reactors are called about when they begin to rest", || {
        let pool = pool();
        let members: Vec<_> = (0..16).map(|_| member(&pool)).collect();
        thread::scope(|scope| {
            for (member, seed) in members.iter().zip(1..) {
                scope.spawn(move || {
                    let mut random = Random(seed);
                    for sum in 1..=u64::from(scale::iterations(6).max(3)) {
                        assert_eq!(call_for(&member.instance, "add", &[1], LONG), Ok(vec![sum]));
                        // A reactor rests 1 s or 2 s after a call.
                        let base = 900 + 1000 * random.below(2) as u64;
                        thread::sleep(Duration::from_micros(1000 * base + random.below(200_000) as u64));
                    }
                });
            }
        });
        members.into_iter().for_each(Served::kill);
    });
}

fn ends(tests: &mut Tests) {
    tests.add("a resting reactor can be killed, replaced and freed", || {
        let served = Served::new(&[]);
        assert_eq!(call_and_rest(&served.instance), 1);
        let instance = served.instance.clone();
        served.kill();
        assert_eq!(call(&instance, "add", &[1]), Err(libc::ESHUTDOWN));
        drop(instance);
        assert_nothing_held();

        let instance = start_reactor(REACTOR, &[]);
        publish_named(&instance, "name");
        let former = Served::of(instance);
        let service = find("name").expect("there");
        assert_eq!(call_and_rest(&service), 1);
        let new = Served::new(&[]);
        assert_eq!(replace(&new.instance, "name"), Ok(0));
        let end = former.end();
        assert_eq!((end.status, end.code), (uapi::KWASMI_EXITED, 0));
        assert!(end.stack_peak > 0 && end.heap_peak > 0);
        assert_eq!(function(&service, b"add").err(), Some(libc::ESTALE));
        new.kill();
        drop(service);
        assert_nothing_held();

        let (mut told, mut tell) = pipe().expect("a pipe");
        let child = Child::start(|| {
            let served = Served::new(&[]);
            assert_eq!(call_and_rest(&served.instance), 1);
            let _ = tell.write_all(&[1]);
            u8::try_from(served.end().status).unwrap_or(255)
        });
        told.read_exact(&mut [0]).expect("rests");
        // The drop kills the child.
        drop(child);
        assert_nothing_held();
    });
    tests.add("a resting reactor traps, and exits, in its next call", || {
        for (name, status) in [("trap", uapi::KWASMI_TRAPPED), ("exit", uapi::KWASMI_EXITED)] {
            let served = Served::new(&[]);
            assert_eq!(call_and_rest(&served.instance), 1);
            let number = function(&served.instance, name.as_bytes()).expect("exported").function;
            assert_eq!(call_or_end(&served.instance, number, &[], LONG), Ok(Err(status)));
            assert_eq!(served.end().status, status);
        }
    });
    tests.add("the time limit of a reactor ends it while it rests", || {
        let time = Duration::from_secs(5);
        let nanoseconds = u64::try_from(time.as_nanos()).expect("small");
        let limits = [limit(uapi::KWASMI_LIMIT_TIME, nanoseconds)];
        let request = kwasmi_start { flags: uapi::KWASMI_START_REACTOR, ..limited(&limits) };
        let begin = Instant::now();
        let served = Served::of(start_with(&module(REACTOR), request).0.expect("starts"));
        assert_eq!(call_and_rest(&served.instance), 1);
        let end = served.end();
        assert_eq!((end.status, end.code), (uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_TIME));
        let elapsed = begin.elapsed();
        assert!(elapsed >= time && elapsed < scale::timeout(2 * time), "{elapsed:?}");
    });
    tests.add("a reactor whose RUN is interrupted while it rests can be called, served again and freed", || {
        signals::handle(0);
        for is_served_again in [true, false] {
            let instance = Arc::new(start_reactor(REACTOR, &[]));
            let served = instance.clone();
            let (id, server) = with_id(move || run(&served));
            assert_eq!(call_and_rest(&instance), 1);
            interrupt(&id);
            assert_eq!(server.join().expect("no panic").err(), Some(libc::EINTR));
            if is_served_again {
                assert_eq!(call(&instance, "add", &[1]), Ok(vec![2]));
                let served = instance.clone();
                let server = thread::spawn(move || run(&served));
                assert_eq!(call_and_rest(&instance), 3);
                assert_eq!(call(&instance, "add", &[1]), Ok(vec![4]));
                signals::kill(instance.as_raw_fd());
                assert_eq!(server.join().expect("no panic").expect("ends").status, uapi::KWASMI_KILLED);
            }
            drop(instance);
            assert_nothing_held();
        }
    });
    tests.add("a call of a resting reactor that finds no memory for a stack has not run", || {
        if !are_compiled() {
            return;
        }
        let pool = pool();
        let one = member(&pool);
        let before = info().heap_bytes;
        assert_eq!(call_for(&pool, "add", &[1], LONG), Ok(vec![1]));
        until(|| info().heap_bytes + GUEST_STACK <= before);
        let taken = take_memory();
        for _ in 0..3 {
            assert_eq!(call(&one.instance, "add", &[1]), Err(libc::ENOMEM));
            assert_eq!(call(&pool, "add", &[1]), Err(libc::ENOMEM));
        }
        let child = Child::start(|| {
            // The serving thread runs the calls of this process.
            // SAFETY: The call has no requirements.
            assert_eq!(unsafe { libc::nice(19) }, 19);
            u8::from(call(&one.instance, "add", &[1]) != Err(libc::ENOMEM))
        });
        assert_eq!(child.wait(), 0);
        thread::sleep(REST);
        assert_eq!(call(&one.instance, "add", &[1]), Err(libc::ENOMEM));
        drop(taken);
        until(|| info().heap_bytes < before);
        assert_eq!(call_for(&one.instance, "add", &[1], LONG), Ok(vec![2]));
        assert_eq!(call_and_rest(&pool), 3);
        let taken = take_memory();
        // A reactor that rests ends without memory.
        one.kill();
        drop(taken);
    });
    tests.add("eight threads call a resting reactor at once", || {
        let served = Served::new(&[]);
        for round in 0..3 {
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| call_for(&served.instance, "add", &[1], LONG).expect("answers"));
                }
            });
            assert_eq!(call(&served.instance, "add", &[0]), Ok(vec![8 * (round + 1)]));
            wait_for_rest(info().heap_bytes);
        }
        assert_eq!(call(&served.instance, "add", &[0]), Ok(vec![24]));
        served.kill();
    });
}

pub(crate) fn tests(tests: &mut Tests) {
    states(tests);
    ends(tests);
}
