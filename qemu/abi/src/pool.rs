// SPDX-License-Identifier: GPL-2.0

//! Tests of pools: calls, instances and counters. Those of pools as services are in
//! [`pool_services`](crate::pool_services).

use crate::{
    counters,
    fuzz::Random,
    kernel::{
        address,
        call as ioctl,
        grant,
        ioctl as raw_ioctl,
        module,
        owned,
        run,
        start,
        start_with, //
    },
    ktap::Tests,
    reactor::{
        REACTOR,
        Served,
        call,
        call_for,
        caller,
        function,
        interrupt,
        request,
        wait_for_sleep,
        with_id, //
    },
    scale,
    services::plain,
    signals::{
        self,
        LOOP_ONCE, //
    },
    task::Child,
};
use kwasmi::uapi::{
    self,
    kwasmi_call,
    kwasmi_fd,
    kwasmi_invoke,
    kwasmi_start, //
};
use std::{
    ffi::c_int,
    io::{
        PipeWriter,
        Read as _,
        Write as _,
        pipe, //
    },
    os::fd::{
        AsRawFd as _,
        OwnedFd, //
    },
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            AtomicU64,
            Ordering, //
        },
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

/// Timeout of calls that must return, so that a test fails instead of hanging.
pub(crate) const LONG: u64 = 60_000_000_000;

/// Returns a pool for instances of `module`.
pub(crate) fn pool_of(module: &OwnedFd) -> Arc<OwnedFd> {
    Arc::new(owned(plain(module, uapi::IOC_POOL)).expect("a pool"))
}

/// Returns a pool for instances of [`REACTOR`].
pub(crate) fn pool() -> Arc<OwnedFd> {
    pool_of(&module(REACTOR))
}

/// Starts a reactor with these descriptors in a pool. Returns its descriptor, or the error number.
pub(crate) fn try_member(pool: &OwnedFd, fds: &[kwasmi_fd]) -> Result<OwnedFd, i32> {
    let request = kwasmi_start {
        flags: uapi::KWASMI_START_REACTOR,
        fds: address(fds),
        fds_len: u32::try_from(fds.len()).expect("few"),
        ..kwasmi_start::default()
    };
    start_with(pool, request).0
}

/// Starts and serves a reactor of a pool.
pub(crate) fn member(pool: &OwnedFd) -> Served {
    Served::of(try_member(pool, &[]).expect("starts"))
}

/// Reactor of a pool, and the writing end of its descriptor 0.
pub(crate) struct Busy {
    pub(crate) served: Served,
    feed: PipeWriter,
    waiting: Option<thread::JoinHandle<Result<Vec<u64>, i32>>>,
}

impl Busy {
    /// Starts a reactor of a pool that is busy until [`release`](Self::release).
    pub(crate) fn new(pool: &OwnedFd) -> Self {
        let (input, feed) = pipe().expect("a pipe");
        let served = Served::of(try_member(pool, &[grant(input.as_raw_fd(), 0)]).expect("starts"));
        let mut this = Self { served, feed, waiting: None };
        this.occupy();
        this
    }

    /// Makes the reactor busy.
    pub(crate) fn occupy(&mut self) {
        self.waiting = Some(caller(&self.served.instance, "wait", &[]));
    }

    /// Ends the call that keeps the reactor busy. The call adds `number` to the sum, which is
    /// returned.
    pub(crate) fn release(&mut self, number: u8) -> u64 {
        self.feed.write_all(&[number]).expect("room");
        self.waiting.take().expect("is busy").join().expect("no panic").expect("answers")[0]
    }

    /// Kills the reactor, whose call fails.
    pub(crate) fn kill(mut self) {
        self.served.kill();
        assert!(self.waiting.take().expect("is busy").join().is_err(), "the guest ended during the call");
    }
}

/// Returns what a call has returned: `Ok` with the result, or with the status of a guest that has
/// ended; or the error number.
pub(crate) type Returned = Result<Result<u64, u32>, i32>;

/// Calls a function, which may end the guest.
pub(crate) fn call_or_end(fd: &OwnedFd, function: u32, args: &[u64], timeout: u64) -> Returned {
    let mut results = [0];
    let mut request = kwasmi_call {
        function,
        args: address(args),
        args_len: u32::try_from(args.len()).expect("few"),
        results: results.as_mut_ptr().expose_provenance() as u64,
        results_len: 1,
        timeout,
        ..kwasmi_call::default()
    };
    ioctl(fd, uapi::IOC_CALL, &mut request)?;
    Ok(if request.returned == 1 { Ok(results[0]) } else { Err(request.status) })
}

/// Starts a thread that calls a function, which may end the guest, and waits until it sleeps.
pub(crate) fn risky_caller(
    fd: &Arc<OwnedFd>,
    name: &'static str,
    args: &'static [u64],
) -> thread::JoinHandle<Returned> {
    let fd = fd.clone();
    let number = function(&fd, name.as_bytes()).expect("exported").function;
    let (id, thread) = with_id(move || call_or_end(&fd, number, args, LONG));
    wait_for_sleep(&id);
    thread
}

/// Repeats `is_done` until it is true, for at most 20 s.
pub(crate) fn until(mut is_done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_done() {
        assert!(begin.elapsed() < scale::timeout(Duration::from_secs(20)), "not done in time");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the number of callers that wait.
pub(crate) fn queued(fd: &OwnedFd) -> u64 {
    counters::value(fd, uapi::KWASMI_COUNTER_CALLS_QUEUED)
}

/// Sets the number of descriptors that this process may have. Returns the former one.
fn set_descriptors(max: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    let before = std::mem::replace(&mut limit.rlim_cur, max);
    // SAFETY: `limit` is readable.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    before
}

/// Starts an instance with a request in memory that cannot be written. Returns the error number.
fn start_of_read_only(pool: &OwnedFd, request: kwasmi_start) -> Result<c_int, i32> {
    const SIZE: usize = 4096;
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: The kernel chooses the address, so no existing mapping is replaced.
    let map = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, protection, flags, -1, 0) };
    assert_ne!(map, libc::MAP_FAILED);
    // SAFETY: The mapping is writable, aligned and large enough.
    unsafe { map.cast::<kwasmi_start>().write(request) };
    // SAFETY: No reference to the mapping exists.
    assert_eq!(unsafe { libc::mprotect(map, SIZE, libc::PROT_READ) }, 0);
    // SAFETY: The kernel fails to write to the mapping, and reads it while it exists.
    let answer = unsafe { raw_ioctl(pool.as_raw_fd(), u64::from(uapi::IOC_START), map.expose_provenance()) };
    // SAFETY: No reference to the mapping exists.
    assert_eq!(unsafe { libc::munmap(map, SIZE) }, 0);
    answer
}

fn order(tests: &mut Tests) {
    tests.add("calls of a pool run on its instances, each of which has its own state", || {
        let pool = pool();
        let before = function(&pool, b"types").expect("exported");
        assert_eq!(function(&pool, b"none").err(), Some(libc::ENOENT));
        let (mut one, mut other) = (Busy::new(&pool), Busy::new(&pool));
        let of_instance = function(&one.served.instance, b"types").expect("exported");
        let after = function(&pool, b"types").expect("exported");
        for types in [after, of_instance] {
            assert_eq!((types.function, types.params, types.results), (before.function, before.params, before.results));
        }
        assert_eq!(other.release(100), 100);
        // One of them is busy, so that the other one runs these calls.
        assert_eq!(call(&pool, "add", &[1]), Ok(vec![101]));
        assert_eq!(call(&pool, "initialized", &[]), Ok(vec![1, 53]));
        assert_eq!(one.release(50), 50);
        other.occupy();
        assert_eq!(call(&pool, "add", &[2]), Ok(vec![52]));
        assert_eq!(other.release(1), 102);
        // A call on the pool makes an instance busy, and further calls run on the other one.
        let waiting = caller(&pool, "wait", &[]);
        let sums: Vec<_> = (0..3).map(|_| call_for(&pool, "add", &[0], LONG).expect("answers")[0]).collect();
        assert!(sums == [52; 3] || sums == [102; 3], "{sums:?}");
        let busy = if sums == [52; 3] { &mut other } else { &mut one };
        busy.feed.write_all(&[3]).expect("room");
        assert_eq!(waiting.join().expect("no panic").expect("answers")[0], 52 + 102 - sums[0] + 3);
        assert_eq!(run(&pool).err(), Some(libc::ENOTTY));
        for served in [one.served, other.served] {
            served.kill();
        }
    });
    tests.add("calls wait for the instance that is idle first, in the order in which they came", || {
        let pool = pool();
        let (mut one, mut other) = (Busy::new(&pool), Busy::new(&pool));
        let waiting: Vec<_> = (0..6).map(|_| caller(&pool, "add", &[1])).collect();
        assert_eq!(queued(&pool), 6);
        assert_eq!(call_for(&pool, "add", &[1000], 30_000_000), Err(libc::ETIMEDOUT));
        // A call on the instance is before those on the pool.
        let first = caller(&other.served.instance, "add", &[1000]);
        assert_eq!((queued(&pool), queued(&other.served.instance)), (7, 1));
        assert_eq!(other.release(100), 100);
        assert_eq!(first.join().expect("no panic"), Ok(vec![1100]));
        for (caller, place) in waiting.into_iter().zip(1101..) {
            assert_eq!(caller.join().expect("no panic"), Ok(vec![place]));
        }
        assert_eq!(queued(&pool), 0);
        assert_eq!(one.release(7), 7);
        for served in [one.served, other.served] {
            served.kill();
        }
    });
    tests.add("calls wait while a pool has no instance, and their timeouts leave the others waiting", || {
        signals::handle(0);
        let pool = pool();
        for timeout in [0, 1, 30_000_000] {
            let begin = Instant::now();
            assert_eq!(call_for(&pool, "add", &[1000], timeout), Err(libc::ETIMEDOUT));
            assert!(begin.elapsed() >= Duration::from_nanos(timeout));
        }
        let first = caller(&pool, "add", &[1]);
        let with_timeout = pool.clone();
        let (id, second) = with_id(move || call_for(&with_timeout, "add", &[1000], 500_000_000));
        wait_for_sleep(&id);
        let third = caller(&pool, "add", &[1]);
        let interrupted = pool.clone();
        let (id, fourth) = with_id(move || call_for(&interrupted, "add", &[1000], LONG));
        wait_for_sleep(&id);
        let child = Child::start(|| {
            let _ = call(&pool, "add", &[1000]);
            1
        });
        let fifth = caller(&pool, "add", &[1]);
        until(|| queued(&pool) >= 5);
        interrupt(&id);
        assert_eq!(fourth.join().expect("no panic"), Err(libc::EINTR));
        // The drop kills the child.
        drop(child);
        assert_eq!(second.join().expect("no panic"), Err(libc::ETIMEDOUT));
        assert_eq!(queued(&pool), 3);
        // An instance that nobody serves runs no calls.
        let instance = try_member(&pool, &[]).expect("starts");
        thread::sleep(Duration::from_millis(50));
        assert_eq!(queued(&pool), 3);
        let served = Served::of(instance);
        for (caller, sum) in [first, third, fifth].into_iter().zip(1..) {
            assert_eq!(caller.join().expect("no panic"), Ok(vec![sum]));
        }
        assert_eq!(call(&pool, "add", &[1]), Ok(vec![4]));
        served.kill();
    });
    tests.add("a caller that is killed loses no turn of a pool", || {
        let pool = pool();
        let mut busy = Busy::new(&pool);
        let mut random = Random(7);
        let mut sum = 0;
        for _ in 0..scale::iterations(60) {
            let (mut told, mut tell) = pipe().expect("a pipe");
            let child = Child::start(|| {
                let _ = tell.write_all(&[1]);
                let _ = call(&pool, "add", &[1000]);
                0
            });
            told.read_exact(&mut [0]).expect("begins");
            thread::sleep(Duration::from_micros(random.below(3000) as u64));
            // SAFETY: The process is a child of this one.
            assert_eq!(unsafe { libc::kill(child.pid(), libc::SIGKILL) }, 0);
            thread::sleep(Duration::from_micros(random.below(300) as u64));
            let after = busy.release(1);
            assert_eq!(after, sum + 1);
            sum = call_for(&pool, "add", &[0], LONG).expect("answers")[0];
            assert!(sum == after || sum == after + 1000, "{sum} after {after}");
            busy.occupy();
            drop(child);
        }
        assert_eq!(queued(&pool), 0);
        busy.kill();
    });
}

fn many(tests: &mut Tests) {
    tests.add("each call of hundreds of callers runs once, on one of three instances", || {
        let pool = pool();
        let served: Vec<_> = (0..3).map(|_| member(&pool)).collect();
        let add = function(&pool, b"add").expect("exported").function;
        let (made, late) = (&AtomicU64::new(0), &AtomicU64::new(0));
        let times = scale::iterations(20);
        thread::scope(|scope| {
            for index in 0..200_u64 {
                let pool = &pool;
                let work = move || {
                    for time in 0..times {
                        // Some callers leave early.
                        let timeout = if index % 8 == 0 { 200_000 * u64::from(time % 10) } else { LONG };
                        match call_or_end(pool, add, &[1], timeout) {
                            Ok(Ok(_)) => made.fetch_add(1, Ordering::Relaxed),
                            Err(libc::EINPROGRESS) if timeout < LONG => made.fetch_add(1, Ordering::Relaxed),
                            Err(libc::ETIMEDOUT) if timeout < LONG => late.fetch_add(1, Ordering::Relaxed),
                            other => panic!("{other:?}"),
                        };
                    }
                };
                thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, work).expect("a thread");
            }
        });
        println!("# {} calls made, {} too late", made.load(Ordering::Relaxed), late.load(Ordering::Relaxed));
        // Calls on an instance come after its last one of the pool.
        let sums = served.iter().map(|served| call(&served.instance, "add", &[0]).expect("answers")[0]);
        assert_eq!(sums.sum::<u64>(), made.load(Ordering::Relaxed));
        let calls = counters::value(&*pool, uapi::KWASMI_COUNTER_CALLS);
        assert!(calls >= made.load(Ordering::Relaxed) + 3, "{calls}");
        assert_eq!(queued(&pool), 0);
        served.into_iter().for_each(Served::kill);
    });
    tests.add("callers whose timeouts end when their pool ends are answered", || {
        let module = module(REACTOR);
        for round in 0..scale::iterations(100) {
            let pool = pool_of(&module);
            let add = function(&pool, b"add").expect("exported").function;
            let timeout = 3_000_000;
            thread::scope(|scope| {
                for _ in 0..50 {
                    let work = || match call_or_end(&pool, add, &[1], timeout) {
                        Err(libc::ETIMEDOUT | libc::ESHUTDOWN) => {}
                        other => panic!("{other:?}"),
                    };
                    thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, work).expect("a thread");
                }
                // About when the timeouts end.
                thread::sleep(Duration::from_micros(1000 + 50 * u64::from(round % 50)));
                assert_eq!(plain(&pool, uapi::IOC_FINISH), Ok(0));
            });
            assert_eq!(queued(&pool), 0);
        }
    });
    tests.add("an instance that traps fails one call, and another one can replace it", || {
        let pool = pool();
        let (mut one, mut other) = (Busy::new(&pool), Busy::new(&pool));
        let trap = risky_caller(&pool, "trap", &[]);
        let waiting: Vec<_> = (0..4).map(|_| caller(&pool, "add", &[1])).collect();
        assert_eq!(one.release(1), 1);
        assert_eq!(trap.join().expect("no panic"), Ok(Err(uapi::KWASMI_TRAPPED)));
        let ended = one.served.instance.clone();
        assert_eq!(one.served.end().status, uapi::KWASMI_TRAPPED);
        assert_eq!(call(&ended, "add", &[1]), Err(libc::ESHUTDOWN));
        // The instance that has ended serves none of the others.
        assert_eq!(queued(&pool), 4);
        assert_eq!(other.release(100), 100);
        for (caller, sum) in waiting.into_iter().zip(101..) {
            assert_eq!(caller.join().expect("no panic"), Ok(vec![sum]));
        }
        other.occupy();
        let waiting = caller(&pool, "add", &[5]);
        drop(ended);
        // A new instance serves who waits.
        let third = member(&pool);
        assert_eq!(waiting.join().expect("no panic"), Ok(vec![5]));
        let exit = function(&pool, b"exit").expect("exported").function;
        assert_eq!(call_or_end(&pool, exit, &[], LONG), Ok(Err(uapi::KWASMI_EXITED)));
        assert_eq!(third.end().code, 3);
        other.kill();
        let last = member(&pool);
        assert_eq!(call(&pool, "add", &[1]), Ok(vec![1]));
        last.kill();
    });
    tests.add("instances of a pool are started, killed and closed at random while others call it", || {
        let pool = &pool();
        let (is_over, answers) = (&AtomicBool::new(false), &AtomicU64::new(0));
        let [add, trap] = ["add", "trap"].map(|name| function(pool, name.as_bytes()).expect("exported").function);
        thread::scope(|scope| {
            let callers: Vec<_> = (1..5)
                .map(|seed| {
                    scope.spawn(move || {
                        let mut random = Random(seed);
                        while !is_over.load(Ordering::Relaxed) {
                            let is_trap = random.below(30) == 0;
                            let (function, args) = if is_trap { (trap, &[][..]) } else { (add, &[1][..]) };
                            let timeout = if random.below(4) == 0 { 1_000_000 } else { LONG };
                            match call_or_end(pool, function, args, timeout) {
                                Ok(Ok(_)) if !is_trap => answers.fetch_add(1, Ordering::Relaxed),
                                Ok(Err(uapi::KWASMI_TRAPPED)) if is_trap => 0,
                                Ok(Err(uapi::KWASMI_KILLED)) | Err(libc::ECONNRESET) => 0,
                                Err(libc::ETIMEDOUT | libc::EINPROGRESS) if timeout < LONG => 0,
                                other => panic!("{other:?}"),
                            };
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // Each caller may hold an instance that is closed.
                    assert!(counters::value(&**pool, uapi::KWASMI_COUNTER_INSTANCES) <= 3 + 4);
                    thread::sleep(Duration::from_micros(200));
                }
            });
            let starters: Vec<_> = (11..14)
                .map(|seed| {
                    scope.spawn(move || {
                        let mut random = Random(seed);
                        for _ in 0..scale::iterations(100) {
                            let served = member(pool);
                            thread::sleep(Duration::from_micros(random.below(5000) as u64));
                            if random.below(2) == 0 {
                                signals::kill(served.instance.as_raw_fd());
                            }
                            // The drop kills and closes it.
                            drop(served);
                        }
                    })
                })
                .collect();
            for starter in starters {
                starter.join().expect("no panic");
            }
            is_over.store(true, Ordering::Relaxed);
            // Further instances serve the callers that still wait.
            while callers.iter().any(|caller| !caller.is_finished()) {
                let served = member(pool);
                thread::sleep(Duration::from_millis(50));
                drop(served);
            }
        });
        println!("# {} answers", answers.load(Ordering::Relaxed));
        let served = member(pool);
        assert_eq!(call_for(pool, "add", &[7], LONG), Ok(vec![7]));
        served.kill();
        let starts = counters::value(&**pool, uapi::KWASMI_COUNTER_STARTS);
        let ends = counters::labelled(&**pool, uapi::KWASMI_COUNTER_ENDS);
        // An instance that is closed before it has begun to run does not end.
        assert!(ends.iter().map(|(_, count)| count).sum::<u64>() <= starts, "{starts} {ends:?}");
        until(|| counters::value(&**pool, uapi::KWASMI_COUNTER_INSTANCES) == 0);
    });
}

fn instances(tests: &mut Tests) {
    tests.add("a pool may have programs, which run and cannot be called", || {
        let module = module(LOOP_ONCE);
        let pool = pool_of(&module);
        let program = start(&pool);
        assert_eq!(ioctl(&*pool, uapi::IOC_CALL, &mut kwasmi_call::default()), Err(libc::EOPNOTSUPP));
        assert_eq!(function(&pool, b"_start").err(), Some(libc::EOPNOTSUPP));
        assert_eq!(run(&program).expect("runs").status, uapi::KWASMI_EXITED);
        assert_eq!(plain(&pool, uapi::IOC_FINISH), Ok(0));
        assert_eq!(counters::labelled(&*pool, uapi::KWASMI_COUNTER_ENDS), [("exited".to_owned(), 1)]);
        // Callers that wait for a reactor are refused when the pool gets another instance.
        let pool = self::pool();
        let waiting = caller(&pool, "add", &[1]);
        let name = b"nothing";
        let name_len = u32::try_from(name.len()).expect("short");
        let invoke = kwasmi_invoke { name: address(name), name_len, ..kwasmi_invoke::default() };
        let request =
            kwasmi_start { invoke: std::ptr::from_ref(&invoke).expose_provenance() as u64, ..kwasmi_start::default() };
        let instance = start_with(&pool, request).0.expect("starts");
        assert_eq!(waiting.join().expect("no panic"), Err(libc::EOPNOTSUPP));
        assert_eq!(run(&instance).expect("runs").status, uapi::KWASMI_EXITED);
    });
    tests.add("START in a pool refuses what START of its module refuses, and leaves nothing", || {
        let module = module(REACTOR);
        let pool = pool_of(&module);
        let reactor = kwasmi_start { flags: uapi::KWASMI_START_REACTOR, ..kwasmi_start::default() };
        let limits = [crate::kernel::limit(uapi::KWASMI_LIMIT_MEMORY, 1)];
        let small = kwasmi_start { flags: uapi::KWASMI_START_REACTOR, ..crate::kernel::limited(&limits) };
        for (wrong, errno) in [
            (kwasmi_start::default(), libc::ENOEXEC),
            (kwasmi_start { flags: 1 << 20, ..reactor }, libc::EINVAL),
            (kwasmi_start { fds: 1, fds_len: 1, ..reactor }, libc::EFAULT),
            (kwasmi_start { args: address(b"a"), args_len: 1, ..reactor }, libc::EINVAL),
            (small, libc::EDQUOT),
        ] {
            assert_eq!(start_with(&pool, wrong).0.err(), Some(errno), "{wrong:?}");
        }
        assert_eq!(start_of_read_only(&pool, reactor), Err(libc::EFAULT));
        let before = set_descriptors(0);
        let refused = try_member(&pool, &[]).map(drop);
        let no_pool = plain(&module, uapi::IOC_POOL);
        set_descriptors(before);
        assert_eq!((refused, no_pool), (Err(libc::EMFILE), Err(libc::EMFILE)));
        assert_eq!(counters::value(&*pool, uapi::KWASMI_COUNTER_INSTANCES), 0);
        assert_eq!(plain(&pool, uapi::IOC_FINISH), Ok(0));
        assert_eq!(try_member(&pool, &[]).err(), Some(libc::ESHUTDOWN));
        let pool = pool_of(&module);
        let served = member(&pool);
        assert_eq!(call(&pool, "add", &[1]), Ok(vec![1]));
        served.kill();
    });
    tests.add("the counters of a pool are the sums over its instances, also of those that were freed", || {
        let pool = pool();
        let value = |number| counters::value(&*pool, number);
        for number in [uapi::KWASMI_COUNTER_INSTANCES, uapi::KWASMI_COUNTER_STARTS] {
            assert_eq!(value(number), 0);
        }
        assert!(counters::labelled(&*pool, uapi::KWASMI_COUNTER_ENDS).is_empty());
        let (one, other, third) = (member(&pool), member(&pool), member(&pool));
        for (served, times) in [(&one, 5), (&other, 3)] {
            for _ in 0..times {
                call(&served.instance, "add", &[1]).expect("answers");
            }
        }
        assert_eq!(call(&other.instance, "grow", &[2]), Ok(vec![1]));
        let trap = function(&pool, b"trap").expect("exported").function;
        assert_eq!(call_or_end(&third.instance, trap, &[], LONG), Ok(Err(uapi::KWASMI_TRAPPED)));
        let check = |instances: u64, ends: &[(&str, u64)]| {
            assert_eq!(value(uapi::KWASMI_COUNTER_CALLS), 10);
            assert_eq!(value(uapi::KWASMI_COUNTER_CALLS_QUEUED), 0);
            let durations = counters::labelled(&*pool, uapi::KWASMI_COUNTER_CALL_DURATION);
            assert_eq!(durations.iter().map(|(_, count)| count).sum::<u64>(), 9);
            assert!(value(uapi::KWASMI_COUNTER_CALL_TIME) > 0);
            assert!(value(uapi::KWASMI_COUNTER_RUNS) >= 3 + 10);
            // `_initialize` of three instances calls it.
            let host_calls = counters::labelled(&*pool, uapi::KWASMI_COUNTER_FUNCTION_CALLS);
            assert_eq!(host_calls, [("kwasmi_call_1.output".to_owned(), 3)]);
            assert_eq!(value(uapi::KWASMI_COUNTER_HOST_CALLS), 3);
            assert_eq!(value(uapi::KWASMI_COUNTER_MEMORY_PEAK), 3 << 16);
            assert_eq!(value(uapi::KWASMI_COUNTER_INSTANCES), instances);
            assert_eq!(value(uapi::KWASMI_COUNTER_STARTS), 3);
            let ends: Vec<_> = ends.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
            assert_eq!(counters::labelled(&*pool, uapi::KWASMI_COUNTER_ENDS), ends);
            assert_eq!(counters::labelled(&*pool, uapi::KWASMI_COUNTER_TRAPS), [("unreachable".to_owned(), 1)]);
            let numbers = counters::numbers(&*pool);
            assert!(numbers.is_sorted() && numbers.windows(2).all(|pair| pair[0] != pair[1]), "{numbers:?}");
        };
        assert_eq!(third.end().status, uapi::KWASMI_TRAPPED);
        until(|| value(uapi::KWASMI_COUNTER_INSTANCES) == 2);
        check(2, &[("trapped", 1)]);
        assert_eq!(value(uapi::KWASMI_COUNTER_MEMORY), 4 << 16);
        assert!(value(uapi::KWASMI_COUNTER_HEAP) >= 4 << 16);
        other.kill();
        one.kill();
        until(|| value(uapi::KWASMI_COUNTER_INSTANCES) == 0);
        check(0, &[("trapped", 1), ("killed", 2)]);
        assert_eq!((value(uapi::KWASMI_COUNTER_MEMORY), value(uapi::KWASMI_COUNTER_HEAP)), (0, 0));
        let lines = counters::fdinfo(&pool);
        for line in ["calls:\t10", "starts:\t3", "ends[killed]:\t2", "traps[unreachable]:\t1"] {
            assert!(lines.iter().any(|other| other == line), "{line} is not in {lines:?}");
        }
    });
    tests.add("a call of a pool refuses invalid requests without running the function", || {
        let pool = pool();
        let served = member(&pool);
        let args = [1_u64; 33];
        let valid = request(&pool, "add", &args[..1], &mut []);
        for (wrong, errno) in [
            (kwasmi_call { args_len: 0, ..valid }, libc::EINVAL),
            (kwasmi_call { args_len: 33, ..valid }, libc::E2BIG),
            (kwasmi_call { args: 1, ..valid }, libc::EFAULT),
            (kwasmi_call { function: 10_000, ..valid }, libc::EINVAL),
            (kwasmi_call { flags: 1, ..valid }, libc::EINVAL),
            (kwasmi_call { input: 1, input_len: 1, ..valid }, libc::EFAULT),
        ] {
            let mut request = wrong;
            assert_eq!(ioctl(&*pool, uapi::IOC_CALL, &mut request), Err(errno), "{wrong:?}");
        }
        assert_eq!(call_for(&pool, "add", &[0], LONG), Ok(vec![0]));
        served.kill();
    });
}

pub(crate) fn tests(tests: &mut Tests) {
    order(tests);
    many(tests);
    instances(tests);
    crate::pool_services::tests(tests);
}
