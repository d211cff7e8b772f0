// SPDX-License-Identifier: GPL-2.0

//! Tests of `KWASMI_IOC_FUNCTION` and `KWASMI_IOC_CALL`.

use crate::{
    counters,
    kernel::{
        Answer,
        address,
        assert_nothing_held,
        call as ioctl,
        grant,
        module,
        run,
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
        request,
        start_reactor,
        wait_for_sleep,
        with_id, //
    },
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
    kwasmi_function,
    kwasmi_invoke,
    kwasmi_start, //
};
use std::{
    io::{
        Read as _,
        Write as _,
        pipe, //
    },
    os::fd::{
        AsRawFd,
        OwnedFd, //
    },
    sync::{
        Arc,
        atomic::{
            AtomicI32,
            Ordering, //
        },
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

fn raw(fd: &OwnedFd, mut request: kwasmi_call) -> Answer {
    ioctl(fd, uapi::IOC_CALL, &mut request)
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("FUNCTION returns the types of an exported function, and refuses others", || {
        let instance = start_reactor(REACTOR, &[]);
        let types = function(&instance, b"types").expect("exported");
        let expected = [uapi::KWASMI_TYPE_I32, uapi::KWASMI_TYPE_I64, uapi::KWASMI_TYPE_F32, uapi::KWASMI_TYPE_F64];
        assert_eq!((types.params_len, types.results_len), (4, 4));
        assert_eq!(types.params[..4].iter().map(|ty| u32::from(*ty)).collect::<Vec<_>>(), expected);
        assert_eq!(types.results[..4].iter().rev().map(|ty| u32::from(*ty)).collect::<Vec<_>>(), expected);
        for (name, errno) in [
            (&b"none"[..], libc::ENOENT),
            (b"memory", libc::ENOENT),
            (b"_initialize", libc::ENOENT),
            (b"vector", libc::EOPNOTSUPP),
            (b"imported", libc::EOPNOTSUPP),
            (b"", libc::EINVAL),
            (b"\xff", libc::EINVAL),
            (&[b'a'; 4096], libc::ENOENT),
            (&[b'a'; 4097], libc::E2BIG),
        ] {
            assert_eq!(function(&instance, name).err(), Some(errno), "{name:?}");
        }
        let mut wild = kwasmi_function { name: 1, name_len: 4, ..kwasmi_function::default() };
        assert_eq!(ioctl(&instance, uapi::IOC_FUNCTION, &mut wild), Err(libc::EFAULT));
        let mut text = [0_u8; 64];
        let log = text.as_mut_ptr().expose_provenance() as u64;
        let mut none =
            kwasmi_function { name: address(b"none"), name_len: 4, log, log_size: 64, ..kwasmi_function::default() };
        assert_eq!(ioctl(&instance, uapi::IOC_FUNCTION, &mut none), Err(libc::ENOENT));
        assert_eq!(text[..none.log_len as usize], *b"no function none is exported");
    });
    tests.add("a reactor is not a program, and a program is not a reactor", || {
        let reactor = kwasmi_start { flags: uapi::KWASMI_START_REACTOR, ..kwasmi_start::default() };
        let (refused, log) = start_with(&module(LOOP_ONCE), reactor);
        assert_eq!(refused.err(), Some(libc::ENOEXEC));
        assert_eq!(log, "function _start is exported: a program, not a reactor");
        let invoke = kwasmi_invoke::default();
        let both = kwasmi_start { invoke: std::ptr::from_ref(&invoke).expose_provenance() as u64, ..reactor };
        assert_eq!(start_with(&module(REACTOR), both).0.err(), Some(libc::EINVAL));
        let program = crate::kernel::start(&module(LOOP_ONCE));
        assert_eq!(function(&program, b"_start").err(), Some(libc::EOPNOTSUPP));
        assert_eq!(raw(&program, kwasmi_call::default()), Err(libc::EOPNOTSUPP));
    });
    tests.add("CALL passes arguments and results, and the reactor keeps its state", || {
        let served = Served::new(&[]);
        let instance = &served.instance;
        assert_eq!(call(instance, "initialized", &[]), Ok(vec![1, 53]));
        assert_eq!(call(instance, "add", &[40]), Ok(vec![40]));
        assert_eq!(call(instance, "add", &[u64::MAX]), Ok(vec![39]));
        assert_eq!(call(instance, "nothing", &[]), Ok(vec![]));
        let args = [u64::MAX, 1 << 40, 0xdead_0000_3fc0_0000, f64::NAN.to_bits()];
        assert_eq!(call(instance, "types", &args), Ok(vec![args[3], 0x3fc0_0000, 1 << 40, 0xffff_ffff]));
        let mut results = [7; 2];
        let mut request = request(instance, "types", &args, &mut results);
        assert_eq!(ioctl(&**instance, uapi::IOC_CALL, &mut request), Ok(0));
        // The first results, and the number of all.
        assert_eq!((request.results_len, results), (4, [args[3], 0x3fc0_0000]));
        assert_eq!(run(instance).err(), Some(libc::EBUSY));
        served.kill();
    });
    tests.add("CALL refuses invalid requests without running the function", || {
        let served = Served::new(&[]);
        let instance = &*served.instance;
        let add = function(instance, b"add").expect("exported").function;
        let args = [1_u64; 33];
        let valid = kwasmi_call {
            function: add,
            args: address(&args),
            args_len: 1,
            timeout: u64::MAX,
            ..kwasmi_call::default()
        };
        for (wrong, errno) in [
            (kwasmi_call { args_len: 0, ..valid }, libc::EINVAL),
            (kwasmi_call { args_len: 2, ..valid }, libc::EINVAL),
            (kwasmi_call { args_len: 33, ..valid }, libc::E2BIG),
            (kwasmi_call { args_len: u32::MAX, ..valid }, libc::E2BIG),
            (kwasmi_call { args: 1, ..valid }, libc::EFAULT),
            (kwasmi_call { function: 10_000, ..valid }, libc::EINVAL),
            (kwasmi_call { function: u32::MAX, ..valid }, libc::EINVAL),
            (kwasmi_call { flags: 1, ..valid }, libc::EINVAL),
            (kwasmi_call { input_len: (1 << 20) + 1, ..valid }, libc::E2BIG),
            (kwasmi_call { output_size: (1 << 20) + 1, ..valid }, libc::E2BIG),
            (kwasmi_call { output_size: u32::MAX, ..valid }, libc::E2BIG),
            (kwasmi_call { input: 1, input_len: 1, ..valid }, libc::EFAULT),
        ] {
            assert_eq!(raw(instance, wrong), Err(errno), "{wrong:?}");
        }
        for number in (0..64).chain([add + (1 << 16)]) {
            // Numbers of exports that cannot be called.
            let _ = raw(instance, kwasmi_call { function: number, args_len: 31, ..valid });
        }
        assert_eq!(call(instance, "add", &[0]), Ok(vec![0]));
        // The function runs, and its result is lost.
        assert_eq!(raw(instance, kwasmi_call { results: 1, results_len: 1, ..valid }), Err(libc::EIO));
        assert_eq!(call(instance, "add", &[0]), Ok(vec![1]));
        served.kill();
    });
    tests.add("a function reads the input and writes the output of its call", || {
        let served = Served::new(&[]);
        let instance = &*served.instance;
        assert_eq!(call(instance, "grow", &[16]), Ok(vec![1]));
        let input: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 20).collect();
        let mut output = vec![0_u8; 1 << 20];
        for (len, size, errno) in
            [(0, 0, 0), (5, 5, 0), (5, 4, 42), (1 << 20, 1 << 20, 0), (1 << 20, (1 << 20) - 1, 42)]
        {
            output.fill(0);
            let mut results = [0; 2];
            let args = [len];
            let mut request = kwasmi_call {
                input: address(&input),
                input_len: u32::try_from(len).expect("small"),
                output: output.as_mut_ptr().expose_provenance() as u64,
                output_size: size,
                ..request(instance, "echo", &args, &mut results)
            };
            assert_eq!(ioctl(instance, uapi::IOC_CALL, &mut request), Ok(0));
            assert_eq!(results, [errno, len], "{len} {size}");
            let written = if errno == 0 { usize::try_from(len).expect("small") } else { 0 };
            assert_eq!(request.output_len as usize, written);
            assert_eq!(output[..written], input[..written]);
            assert!(output[written..].iter().all(|byte| *byte == 0));
        }
        served.kill();
    });
    tests.add("calls of eight threads and two processes are neither lost nor made twice", || {
        let served = Served::new(&[]);
        let times = u64::from(crate::scale::iterations(2_000));
        let work = |fd: &OwnedFd| {
            let mut last = 0;
            for _ in 0..times {
                let sum = call(fd, "add", &[1]).expect("answers")[0];
                assert!(sum > last, "{sum} after {last}");
                last = sum;
            }
        };
        let child = Child::start(|| {
            work(&served.instance);
            0
        });
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| work(&served.instance));
            }
        });
        assert_eq!(child.wait(), 0);
        assert_eq!(call(&served.instance, "add", &[0]), Ok(vec![9 * times]));
        served.kill();
    });
    tests.add("callers take turns in the order in which they came", || {
        let (input, mut feed) = pipe().expect("a pipe");
        let served = Served::new(&[grant(input.as_raw_fd(), 0)]);
        let first = caller(&served.instance, "wait", &[]);
        let others: Vec<_> = (0..6).map(|_| caller(&served.instance, "add", &[1])).collect();
        let counted = || {
            let value = |number| counters::value(&*served.instance, number);
            (value(uapi::KWASMI_COUNTER_CALLS), value(uapi::KWASMI_COUNTER_CALLS_QUEUED))
        };
        assert_eq!(counted(), (1, 6));
        feed.write_all(&[100]).expect("room");
        assert_eq!(first.join().expect("no panic"), Ok(vec![100]));
        for (other, place) in others.into_iter().zip(101..) {
            assert_eq!(other.join().expect("no panic"), Ok(vec![place]));
        }
        assert_eq!(counted(), (7, 0));
        served.kill();
    });
    tests.add("calls that return are counted by the time that they took", || {
        let (input, mut feed) = pipe().expect("a pipe");
        let served = Served::new(&[grant(input.as_raw_fd(), 0)]);
        let begin = Instant::now();
        let waiting = caller(&served.instance, "wait", &[]);
        assert_eq!(call_for(&served.instance, "add", &[1], 1_000_000), Err(libc::ETIMEDOUT));
        thread::sleep(Duration::from_millis(100));
        feed.write_all(&[5]).expect("room");
        waiting.join().expect("no panic").expect("answers");
        let slowest = begin.elapsed();
        for _ in 0..10 {
            call(&served.instance, "nothing", &[]).expect("answers");
        }
        let counts = counters::labelled(&*served.instance, uapi::KWASMI_COUNTER_CALL_DURATION);
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 11, "{counts:?}");
        let (slow, count) = counts.last().expect("there");
        let bound = Duration::from_nanos(slow.parse().expect("a number"));
        assert!(*count == 1 && bound > Duration::from_millis(100) && bound < 2 * slowest, "{counts:?} {slowest:?}");
        let sum = counters::value(&*served.instance, uapi::KWASMI_COUNTER_CALL_TIME);
        assert!(Duration::from_nanos(sum) > Duration::from_millis(100), "{sum}");
        served.kill();
    });
    tests.add("a call that has not begun within its timeout does not run", || {
        let (input, mut feed) = pipe().expect("a pipe");
        let served = Served::new(&[grant(input.as_raw_fd(), 0)]);
        let first = caller(&served.instance, "wait", &[]);
        for timeout in [0, 1, 30_000_000] {
            let begin = Instant::now();
            assert_eq!(call_for(&served.instance, "add", &[1000], timeout), Err(libc::ETIMEDOUT));
            assert!(begin.elapsed() >= Duration::from_nanos(timeout));
        }
        feed.write_all(&[5]).expect("room");
        assert_eq!(first.join().expect("no panic"), Ok(vec![5]));
        assert_eq!(call_for(&served.instance, "add", &[1], 10_000_000_000), Ok(vec![6]));
        served.kill();
    });
    tests.add("a call that has begun runs on after its timeout, and after a kill of its caller", || {
        let (input, mut feed) = pipe().expect("a pipe");
        let served = Served::new(&[grant(input.as_raw_fd(), 0)]);
        assert_eq!(call_for(&served.instance, "wait", &[], 50_000_000), Err(libc::EINPROGRESS));
        assert_eq!(call_for(&served.instance, "add", &[1000], 1_000_000), Err(libc::ETIMEDOUT));
        feed.write_all(&[5]).expect("room");
        assert_eq!(call(&served.instance, "add", &[1]), Ok(vec![6]));
        assert_eq!(call_for(&served.instance, "compute", &[1 << 62], 50_000_000), Err(libc::EINPROGRESS));
        served.kill();

        let served = Served::new(&[grant(input.as_raw_fd(), 0)]);
        for sum in [1, 2, 3] {
            let (mut told, mut tell) = pipe().expect("a pipe");
            let child = Child::start(|| {
                let _ = tell.write_all(&[1]);
                let _ = call(&served.instance, "wait", &[]);
                1
            });
            told.read_exact(&mut [0]).expect("begins");
            thread::sleep(Duration::from_millis(30));
            // The drop kills the child.
            drop(child);
            assert_eq!(call_for(&served.instance, "add", &[1000], 1_000_000), Err(libc::ETIMEDOUT));
            feed.write_all(&[1]).expect("room");
            assert_eq!(call(&served.instance, "add", &[0]), Ok(vec![sum]));
        }
        served.kill();
    });
    tests.add("a signal that is handled neither ends nor repeats a call", || {
        signals::handle(0);
        let (input, mut feed) = pipe().expect("a pipe");
        let served = Served::new(&[grant(input.as_raw_fd(), 0)]);
        let instance = served.instance.clone();
        let (id, first) = with_id(move || call(&instance, "wait", &[]));
        wait_for_sleep(&id);
        // SAFETY: The call has no requirements.
        let process = unsafe { libc::getpid() };
        let interrupt = |id: &AtomicI32| {
            // SAFETY: The signal is handled.
            unsafe { libc::tgkill(process, id.load(Ordering::SeqCst), libc::SIGUSR1) }
        };
        for _ in 0..3 {
            assert_eq!(interrupt(&id), 0);
            thread::sleep(Duration::from_millis(20));
        }
        // A caller that waits for its turn leaves: its call has not begun.
        let instance = served.instance.clone();
        let (waiting, second) = with_id(move || call_for(&instance, "add", &[1000], 60_000_000_000));
        wait_for_sleep(&waiting);
        assert_eq!(interrupt(&waiting), 0);
        assert_eq!(second.join().expect("no panic"), Err(libc::EINTR));
        feed.write_all(&[7]).expect("room");
        assert_eq!(first.join().expect("no panic"), Ok(vec![7]));
        // Signals during computation.
        let instance = served.instance.clone();
        let (id, computing) =
            with_id(move || (0..20).map(|_| call(&instance, "compute", &[200_000])).collect::<Vec<_>>());
        while !computing.is_finished() {
            if id.load(Ordering::SeqCst) != 0 {
                // The thread may have ended.
                let _ = interrupt(&id);
            }
            thread::sleep(Duration::from_millis(1));
        }
        let sums = computing.join().expect("no panic");
        // A call that a signal interrupted before it began was refused.
        let made: Vec<_> = sums.iter().filter(|sum| **sum != Err(libc::EINTR)).collect();
        for (sum, expected) in made.iter().zip(8..) {
            assert_eq!(**sum, Ok(vec![expected]));
        }
        served.kill();
    });
    tests.add("a guest that ends in a call ends the reactor", || {
        for (name, status, code) in
            [("trap", uapi::KWASMI_TRAPPED, uapi::KWASMI_TRAP_UNREACHABLE), ("exit", uapi::KWASMI_EXITED, 3)]
        {
            let served = Served::new(&[]);
            let instance = served.instance.clone();
            let mut text = [0_u8; 256];
            let mut request = kwasmi_call {
                log: text.as_mut_ptr().expose_provenance() as u64,
                log_size: 256,
                ..request(&instance, name, &[], &mut [])
            };
            assert_eq!(ioctl(&*instance, uapi::IOC_CALL, &mut request), Ok(0));
            assert_eq!((request.returned, request.status, request.code), (0, status, code));
            assert_eq!(request.log_len == 0, name == "exit");
            let end = served.end();
            assert_eq!((end.status, end.code), (status, code));
            assert_eq!(raw(&instance, request), Err(libc::ESHUTDOWN));
        }
    });
    tests.add("callers that wait are refused when the reactor ends", || {
        let (input, mut feed) = pipe().expect("a pipe");
        let served = Served::new(&[grant(input.as_raw_fd(), 0)]);
        let first = caller(&served.instance, "wait", &[]);
        let instance = served.instance.clone();
        let (id, trap) = with_id(move || raw(&instance, request(&instance, "trap", &[], &mut [])));
        wait_for_sleep(&id);
        let others: Vec<_> = (0..4).map(|_| caller(&served.instance, "add", &[1])).collect();
        feed.write_all(&[1]).expect("room");
        assert_eq!(first.join().expect("no panic"), Ok(vec![1]));
        assert_eq!(trap.join().expect("no panic"), Ok(0));
        for other in others {
            assert_eq!(other.join().expect("no panic"), Err(libc::ESHUTDOWN));
        }
        assert_eq!(served.end().status, uapi::KWASMI_TRAPPED);
        drop(feed);
    });
    tests.add("KILL ends a reactor that is idle, that computes and that waits", || {
        let served = Served::new(&[]);
        assert_eq!(call(&served.instance, "nothing", &[]), Ok(vec![]));
        served.kill();
        let (input, feed) = pipe().expect("a pipe");
        for (name, args) in [("compute", vec![1 << 62]), ("wait", vec![])] {
            let served = Served::new(&[grant(input.as_raw_fd(), 0)]);
            let instance = served.instance.clone();
            let (_, thread) = with_id(move || {
                let mut request = request(&instance, name, &args, &mut []);
                ioctl(&*instance, uapi::IOC_CALL, &mut request).map(|_| (request.returned, request.status))
            });
            thread::sleep(Duration::from_millis(50));
            served.kill();
            assert_eq!(thread.join().expect("no panic"), Ok((0, uapi::KWASMI_KILLED)));
        }
        drop(feed);
    });
    tests.add("a limit of the reactor ends it while it is idle", || {
        let limits = [crate::kernel::limit(uapi::KWASMI_LIMIT_TIME, 200_000_000)];
        let request = kwasmi_start { flags: uapi::KWASMI_START_REACTOR, ..crate::kernel::limited(&limits) };
        let instance = start_with(&module(REACTOR), request).0.expect("starts");
        let end = run(&instance).expect("ends");
        assert_eq!((end.status, end.code), (uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_TIME));
        assert_eq!(raw(&instance, kwasmi_call::default()), Err(libc::ESHUTDOWN));
    });
    tests.add("calls wait until the reactor is initialized, also one whose RUN comes later", || {
        let instance = Arc::new(start_reactor(REACTOR, &[]));
        let waiting = caller(&instance, "initialized", &[]);
        let served = instance.clone();
        let thread = thread::spawn(move || run(&served));
        assert_eq!(waiting.join().expect("no panic"), Ok(vec![1, 53]));
        signals::kill(instance.as_raw_fd());
        assert_eq!(thread.join().expect("no panic").expect("ends").status, uapi::KWASMI_KILLED);
    });
    tests.add("the end of the serving process ends the calls of others, whatever they do", || {
        let (input, feed) = pipe().expect("a pipe");
        for name in ["wait", "compute", "idle"] {
            let (mut told, mut tell) = pipe().expect("a pipe");
            // The child alone has the instance.
            let child = Child::start(|| {
                let instance = start_reactor(REACTOR, &[grant(input.as_raw_fd(), 0)]);
                crate::services::publish_named(&instance, "killed");
                let served = Served::of(instance);
                let _ = tell.write_all(&[1]);
                u8::try_from(served.end().status).unwrap_or(255)
            });
            told.read_exact(&mut [0]).expect("begins");
            let service = Arc::new(crate::services::find("killed").expect("there"));
            let callers: Vec<_> = (0..3)
                .filter(|_| name != "idle")
                .map(|_| {
                    let service = service.clone();
                    let (_, thread) = with_id(move || {
                        let args = if name == "compute" { vec![1 << 62] } else { vec![] };
                        let mut request = request(&service, name, &args, &mut []);
                        ioctl(&*service, uapi::IOC_CALL, &mut request).map(|_| (request.returned, request.status))
                    });
                    thread::sleep(Duration::from_millis(30));
                    thread
                })
                .collect();
            drop(child);
            let answers: Vec<_> = callers.into_iter().map(|caller| caller.join().expect("no panic")).collect();
            for answer in &answers {
                let is_expected =
                    [Ok((0, uapi::KWASMI_KILLED)), Err(libc::ESHUTDOWN), Err(libc::ECONNRESET)].contains(answer);
                assert!(is_expected, "{name}: {answers:?}");
            }
            let answer = function(&service, b"add").map(|_| ());
            assert_eq!(answer.err(), Some(libc::ESHUTDOWN));
            drop(service);
            assert_nothing_held();
        }
        drop(feed);
    });
    tests.add("KILL and a time limit end a computing call that follows a refused one", || {
        let served = Served::new(&[]);
        let instance = served.instance.clone();
        assert_eq!(call(&instance, "add", &[1]), Ok(vec![1]));
        // The refused call must leave the requests for checkpoints as they are.
        let add = function(&instance, b"add").expect("exported").function;
        for args_len in [0, 2] {
            let args = [1_u64; 2];
            let wrong = kwasmi_call {
                function: add,
                args: address(&args),
                args_len,
                timeout: u64::MAX,
                ..kwasmi_call::default()
            };
            assert_eq!(raw(&instance, wrong), Err(libc::EINVAL));
        }
        assert_eq!(call_for(&instance, "compute", &[1 << 62], 30_000_000), Err(libc::EINPROGRESS));
        served.kill();
    });
    tests.add("KILL of a reactor takes effect beside callers who never stop", || {
        let served = Served::new(&[]);
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let instance = served.instance.clone();
                thread::spawn(move || {
                    loop {
                        match call(&instance, "add", &[1]) {
                            Ok(_) => {}
                            Err(errno) => break errno,
                        }
                    }
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(50));
        signals::kill(served.instance.as_raw_fd());
        assert_eq!(served.end().status, uapi::KWASMI_KILLED);
        for caller in callers {
            // A call that has begun may end by the kill, for which `call` panics.
            assert!(matches!(caller.join(), Ok(libc::ESHUTDOWN) | Err(_)));
        }
    });
    tests.add("KILL ends a reactor whose serving thread is stopped, once it continues", || {
        let instance = start_reactor(REACTOR, &[]);
        let child = Child::start(|| run(&instance).map_or(255, |end| u8::try_from(end.status).unwrap_or(254)));
        assert_eq!(call(&instance, "add", &[1]), Ok(vec![1]));
        let pid = child.pid();
        // SAFETY: The process is a child of this one.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGSTOP) }, 0);
        thread::sleep(Duration::from_millis(50));
        signals::kill(instance.as_raw_fd());
        thread::sleep(Duration::from_millis(50));
        // SAFETY: The process is a child of this one.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGCONT) }, 0);
        assert_eq!(child.wait(), u8::try_from(uapi::KWASMI_KILLED).unwrap_or(253));
    });
    tests.add("SIGKILL ends the serving process while a caller computes, also after it was stopped", || {
        let (mut told, mut tell) = pipe().expect("a pipe");
        let child = Child::start(|| {
            let instance = start_reactor(REACTOR, &[]);
            crate::services::publish_named(&instance, "stopped");
            let _ = tell.write_all(&[1]);
            run(&instance).map_or(255, |_| 0)
        });
        told.read_exact(&mut [0]).expect("begins");
        let service = Arc::new(crate::services::find("stopped").expect("there"));
        let caller = {
            let service = service.clone();
            thread::spawn(move || {
                let args = [1 << 62];
                let mut request = request(&service, "compute", &args, &mut []);
                ioctl(&*service, uapi::IOC_CALL, &mut request).map(|_| (request.returned, request.status))
            })
        };
        thread::sleep(Duration::from_millis(100));
        for signal in [libc::SIGSTOP, libc::SIGCONT] {
            // SAFETY: The process is a child of this one.
            assert_eq!(unsafe { libc::kill(child.pid(), signal) }, 0);
            thread::sleep(Duration::from_millis(50));
        }
        let begin = Instant::now();
        // The drop kills the child and waits for its end.
        drop(child);
        assert!(begin.elapsed() < Duration::from_secs(5));
        assert_eq!(caller.join().expect("no panic"), Ok((0, uapi::KWASMI_KILLED)));
        drop(service);
        assert_nothing_held();
    });
    tests.add("umask, RLIMIT_FSIZE and nice value of a caller do not apply to the reactor", || {
        use std::os::unix::fs::MetadataExt as _;
        let folder = std::env::temp_dir().join("calls");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).expect("a new folder");
        let opened = std::fs::File::open(&folder).expect("there");
        let all = (1 << 30) - 1;
        let name = b"/";
        let granted = kwasmi_fd {
            rights: all,
            rights_inheriting: all,
            name: address(name),
            name_len: 1,
            ..grant(opened.as_raw_fd(), 3)
        };
        let served = Served::new(&[granted]);
        let child = Child::start(|| {
            // SAFETY: The call has no requirements.
            unsafe { libc::umask(0o777) };
            let limit = libc::rlimit { rlim_cur: 10, rlim_max: 10 };
            // SAFETY: `limit` is readable.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
            // SAFETY: The call has no requirements.
            assert_eq!(unsafe { libc::nice(19) }, 19);
            assert_eq!(call(&served.instance, "create", &[]), Ok(vec![0]));
            assert_eq!(call(&served.instance, "write", &[]), Ok(vec![0, 5000]));
            0
        });
        assert_eq!(child.wait(), 0);
        let created = std::fs::metadata(folder.join("f")).expect("created");
        // SAFETY: The call has no requirements. The next one restores the mask.
        let mask = unsafe { libc::umask(0) };
        // SAFETY: The call has no requirements.
        unsafe { libc::umask(mask) };
        assert_eq!((created.size(), created.mode() & 0o777), (5000, 0o666 & !mask));
        served.kill();
        std::fs::remove_dir_all(&folder).expect("there");
    });
}
