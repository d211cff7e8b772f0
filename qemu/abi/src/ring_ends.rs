// SPDX-License-Identifier: GPL-2.0

//! Tests of call rings whose calls do not return, or return to nobody: ends of guests, signals,
//! timeouts, upgrades and kills.

use crate::{
    fuzz::Random,
    kernel::{
        Answer,
        assert_nothing_held,
        call as ioctl,
        grant, //
    },
    ktap::Tests,
    pool::{
        LONG,
        member,
        pool,
        try_member,
        until, //
    },
    reactor::{
        REACTOR,
        Served,
        call,
        call_for,
        interrupt,
        start_reactor,
        wait_for_sleep,
        with_id, //
    },
    scale,
    services::{
        find,
        publish_named,
        replace, //
    },
    shared_ring::{
        Ring,
        create,
        number, //
    },
    signals,
    task::Child,
};
use kwasmi::uapi::{
    self,
    kwasmi_ring_entry,
    kwasmi_ring_run, //
};
use std::{
    io::{
        Write as _,
        pipe, //
    },
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering, //
        },
    },
    thread,
    time::Duration,
};

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("a guest that ends during a call of a ring ends the ioctl, and later calls do not run", || {
        let served = Served::new(&[]);
        let (add, trap) = (number(&served.instance, "add"), number(&served.instance, "trap"));
        let ring = Ring::new(&served.instance, 8, 0);
        ring.push_call(add, &[3]);
        ring.push_call(trap, &[]);
        ring.push_call(add, &[4]);
        let mut text = [0_u8; 128];
        let mut request = kwasmi_ring_run {
            timeout: LONG,
            log: text.as_mut_ptr().expose_provenance() as u64,
            log_size: 128,
            ..kwasmi_ring_run::default()
        };
        assert_eq!(ioctl(&ring.fd, uapi::IOC_RING_RUN, &mut request), Ok(0));
        assert_eq!(
            (request.ended, request.status, request.code),
            (1, uapi::KWASMI_TRAPPED, uapi::KWASMI_TRAP_UNREACHABLE)
        );
        let text = String::from_utf8_lossy(&text[..request.log_len as usize]);
        assert!(text.contains("unreachable"), "{text}");
        assert_eq!((ring.head(), ring.result(0), ring.result(1)), (2, Ok(3), Err(libc::ECONNRESET)));
        assert_eq!(ring.run_once(LONG).err(), Some(libc::ESHUTDOWN));
        assert_eq!(ring.head(), 2);
        assert_eq!(served.end().status, uapi::KWASMI_TRAPPED);
    });
    tests.add("a ring of a pool continues on another instance after a trap", || {
        let pool = pool();
        let members = [member(&pool), member(&pool), member(&pool)];
        let (nothing, trap) = (number(&pool, "nothing"), number(&pool, "trap"));
        let ring = Ring::new(&pool, 8, 0);
        for function in [nothing, trap, nothing, trap, nothing] {
            ring.push_call(function, &[]);
        }
        let mut ended = 0;
        while ring.head() != 5 {
            ended += ring.run_once(LONG).expect("instances are left").ended;
        }
        assert_eq!(ended, 2);
        let errors: Vec<_> = (0..5).map(|call| ring.result(call).err().unwrap_or(0)).collect();
        assert_eq!(errors, [0, libc::ECONNRESET, 0, libc::ECONNRESET, 0]);
        for served in &members {
            signals::kill(served.instance.as_raw_fd());
        }
        for served in members {
            let _ = served.end();
        }
    });
    tests.add("a signal neither ends nor repeats a call of a ring", || {
        signals::handle(0);
        let (input, mut feed) = pipe().expect("a pipe");
        let served = Served::new(&[grant(input.as_raw_fd(), 0)]);
        let (add, wait) = (number(&served.instance, "add"), number(&served.instance, "wait"));
        let ring = Arc::new(Ring::new(&served.instance, 8, 0));
        ring.push_call(add, &[1]);
        ring.push_call(wait, &[]);
        ring.push_call(add, &[1]);
        let running = ring.clone();
        let (id, runner) = with_id(move || running.run());
        wait_for_sleep(&id);
        for _ in 0..3 {
            interrupt(&id);
            thread::sleep(Duration::from_millis(20));
        }
        feed.write_all(&[7]).expect("room");
        assert_eq!(runner.join().expect("no panic"), Ok(()));
        assert_eq!([0, 1, 2].map(|call| ring.result(call)), [Ok(1), Ok(8), Ok(9)]);
        // Signals during computation.
        let compute = number(&served.instance, "compute");
        let running = ring.clone();
        let (id, runner) = with_id(move || {
            for _ in 0..5 {
                for _ in 0..8 {
                    running.push_call(compute, &[50_000]);
                }
                loop {
                    match running.run() {
                        Err(libc::EINTR) => {}
                        ran => break ran?,
                    }
                }
            }
            Ok::<_, i32>(())
        });
        while !runner.is_finished() {
            if id.load(Ordering::SeqCst) != 0 {
                interrupt(&id);
            }
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(runner.join().expect("no panic"), Ok(()));
        assert_eq!(call(&served.instance, "add", &[0]), Ok(vec![49]));
        served.kill();
    });
    tests.add("a call that is not waited for keeps the ring busy until it returns", || {
        let (input, mut feed) = pipe().expect("a pipe");
        let served = Served::new(&[grant(input.as_raw_fd(), 0)]);
        let (add, wait) = (number(&served.instance, "add"), number(&served.instance, "wait"));
        let ring = Arc::new(Ring::new(&served.instance, 8, 0));
        ring.push_call(wait, &[]);
        ring.push_call(add, &[1]);
        assert_eq!(ring.run_once(30_000_000).err(), Some(libc::EINPROGRESS));
        assert_eq!((ring.head(), ring.result(0)), (1, Err(libc::EINPROGRESS)));
        assert_eq!(ring.run_once(30_000_000).err(), Some(libc::EBUSY));
        // Another ring waits for its turn.
        let other = Ring::new(&served.instance, 1, 0);
        other.push_call(add, &[10]);
        assert_eq!(other.run_once(30_000_000).err(), Some(libc::ETIMEDOUT));
        assert_eq!(other.head(), 0);
        feed.write_all(&[100]).expect("room");
        assert_eq!(other.run(), Ok(()));
        assert_eq!(other.result(0), Ok(110));
        until(|| ring.run_once(LONG).err() != Some(libc::EBUSY));
        assert_eq!((ring.head(), ring.result(1)), (2, Ok(111)));
        // While a thread runs the calls, no other one can.
        ring.push_call(wait, &[]);
        let running = ring.clone();
        let (id, runner) = with_id(move || running.run());
        wait_for_sleep(&id);
        assert_eq!(ring.run_once(LONG).err(), Some(libc::EBUSY));
        feed.write_all(&[1]).expect("room");
        assert_eq!(runner.join().expect("no panic"), Ok(()));
        served.kill();
    });
    tests.add("a guest that ends in a call that nobody waits for leaves the ring usable", || {
        let (input, _feed) = pipe().expect("a pipe");
        let pool = pool();
        let busy = Served::of(try_member(&pool, &[grant(input.as_raw_fd(), 0)]).expect("starts"));
        let (add, wait) = (number(&pool, "add"), number(&pool, "wait"));
        let ring = Ring::new(&pool, 8, 0);
        ring.push_call(wait, &[]);
        ring.push_call(add, &[5]);
        assert_eq!(ring.run_once(30_000_000).err(), Some(libc::EINPROGRESS));
        assert_eq!(ring.run_once(30_000_000).err(), Some(libc::EBUSY));
        busy.kill();
        let other = member(&pool);
        assert_eq!((ring.run(), ring.result(1)), (Ok(()), Ok(5)));
        other.kill();
    });
    tests.add("a ring of calls that cannot run ends at its timeout", || {
        let served = Served::new(&[]);
        let ring = Ring::new(&served.instance, 64, 0);
        let child = Child::start(|| {
            // SAFETY: The call has no requirements.
            assert_eq!(unsafe { libc::nice(5) }, 5);
            let is_over = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::SeqCst) {
                        ring.tail().store(ring.head().wrapping_add(64), Ordering::Release);
                    }
                });
                for index in 0..64 {
                    let refused = kwasmi_ring_entry { args_len: 11, ..kwasmi_ring_entry::default() };
                    ring.fill(index, &refused);
                }
                until(|| ring.run_once(50_000_000).err() == Some(libc::ETIMEDOUT));
                is_over.store(true, Ordering::SeqCst);
            });
            0
        });
        assert_eq!(child.wait(), 0);
        served.kill();
    });
    tests.add("a ring of an upgraded service refuses its calls", || {
        let former = start_reactor(REACTOR, &[]);
        publish_named(&former, "ring");
        let former = Served::of(former);
        let service = find("ring").expect("is there");
        let add = number(&service, "add");
        let ring = Ring::new(&service, 4, 0);
        ring.push_call(add, &[1]);
        assert_eq!(ring.run(), Ok(()));
        let next = Served::new(&[]);
        assert_eq!(replace(&next.instance, "ring"), Ok(0));
        ring.push_call(add, &[1]);
        assert_eq!(ring.run().err(), Some(libc::ESTALE));
        assert_eq!(create(&service, 1, 0).err(), Some(libc::ESTALE));
        assert_eq!(ring.head(), 1);
        assert_eq!(former.end().status, uapi::KWASMI_EXITED);
        let ring = Ring::new(&find("ring").expect("is there"), 4, 0);
        ring.push_call(add, &[1]);
        assert_eq!((ring.run(), ring.result(0)), (Ok(()), Ok(1)));
        next.kill();
        assert_eq!(create(&service, 1, 0).err(), Some(libc::ESTALE));
        ring.push_call(add, &[1]);
        assert_eq!(ring.run().err(), Some(libc::ESHUTDOWN));
    });
    tests.add("a process that is killed while it runs a ring leaves the reactor usable and nothing behind", || {
        let served = Served::new(&[]);
        let compute = number(&served.instance, "compute");
        let mut random = Random(5);
        for _ in 0..scale::iterations(60) {
            let child = Child::start(|| {
                let ring = Ring::new(&served.instance, 64, 4096);
                loop {
                    while ring.tail().load(Ordering::Relaxed).wrapping_sub(ring.head()) < 64 {
                        ring.push_call(compute, &[2000]);
                    }
                    if ring.run_once(LONG).is_err() {
                        return 1;
                    }
                }
            });
            thread::sleep(Duration::from_micros(random.below(20_000) as u64));
            // The drop kills the child.
            drop(child);
            assert!(call_for(&served.instance, "add", &[0], LONG).is_ok());
        }
        served.kill();
        assert_nothing_held();
    });
    tests.add("a closed instance ends the calls of its rings, and rings keep nothing of it", || {
        let (input, _feed) = pipe().expect("a pipe");
        let instance = start_reactor(REACTOR, &[grant(input.as_raw_fd(), 0)]);
        publish_named(&instance, "ring");
        let service = find("ring").expect("is there");
        let served = Served::of(instance);
        let wait = number(&service, "wait");
        let ring = Arc::new(Ring::new(&service, 4, 0));
        ring.push_call(wait, &[]);
        let running = ring.clone();
        let (id, runner) = with_id(move || -> Result<_, i32> { running.run_once(LONG) });
        wait_for_sleep(&id);
        served.kill();
        let ran: Result<kwasmi_ring_run, i32> = runner.join().expect("no panic");
        assert!(ran.is_ok_and(|run| (run.ended, run.status) == (1, uapi::KWASMI_KILLED)));
        assert_eq!((ring.head(), ring.result(0)), (1, Err(libc::ECONNRESET)));
        assert_nothing_held();
        let answer: Answer = ring.run_once(LONG).map(|_| 0);
        assert_eq!(answer, Err(libc::ESHUTDOWN));
        // A ring that was created on the instance itself.
        let served = Served::new(&[]);
        let ring = Ring::new(&served.instance, 4, 0);
        ring.push_call(number(&served.instance, "nothing"), &[]);
        served.kill();
        assert_nothing_held();
        assert_eq!(ring.run_once(LONG).err(), Some(libc::ESHUTDOWN));
    });
}
