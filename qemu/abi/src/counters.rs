// SPDX-License-Identifier: GPL-2.0

//! Tests of `KWASMI_IOC_COUNTERS` and of fdinfo.

use crate::{
    fuzz::Random,
    kernel::{
        address,
        call,
        ioctl,
        module,
        owned,
        run,
        start, //
    },
    ktap::Tests,
    services::{
        find,
        publish,
        result, //
    },
    signals::{
        self,
        LOOP, //
    },
};
use kwasmi::uapi::{
    self,
    kwasmi_counter,
    kwasmi_counters, //
};
use std::{
    fs::File,
    io::{
        Read as _,
        Write as _, //
    },
    mem::MaybeUninit,
    os::{
        fd::{
            AsRawFd,
            OwnedFd, //
        },
        unix::process::ExitStatusExt as _,
    },
    process::Command,
    ptr,
    sync::atomic::{
        AtomicBool,
        Ordering, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

/// Program that calls `clock_time_get` 5 times, `fd_write` 3 times and `sched_yield` twice, and has
/// 4 pages of memory in the end.
const CALLS: &str = r#"(module
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_unstable" "sched_yield" (func $yield (result i32)))
    (memory (export "memory") 1)
    (func (export "_start") (local $n i32)
        (loop
            (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 0)))
            (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 5))))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
        (drop (memory.grow (i32.const 3)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
        (drop (call $yield))
        (drop (call $yield))
        END))"#;

/// Program that traps.
const TRAP: &str = r#"(module (func (export "_start") unreachable))"#;

/// Returns [`CALLS`] with `end` as its last instructions.
fn calls(end: &str) -> String {
    CALLS.replace("END", end)
}

/// Returns all counters of an object.
fn counters(fd: &impl AsRawFd) -> Vec<kwasmi_counter> {
    let mut counters = vec![kwasmi_counter::default(); 100];
    let mut request =
        kwasmi_counters { counters: counters.as_mut_ptr().expose_provenance() as u64, counters_len: 100, reserved: 0 };
    assert_eq!(call(fd, uapi::IOC_COUNTERS, &mut request), Ok(0));
    counters.truncate(request.counters_len as usize);
    counters
}

/// Returns the text of a label.
fn label(counter: &kwasmi_counter) -> String {
    counter.label.iter().take_while(|char| **char != 0).map(|char| char::from(char.cast_unsigned())).collect()
}

/// Returns the counter `number` without an index.
pub(crate) fn value(fd: &impl AsRawFd, number: u32) -> u64 {
    let found: Vec<_> = counters(fd).into_iter().filter(|counter| counter.counter == number).collect();
    assert_eq!((found.len(), found[0].index, label(&found[0])), (1, 0, String::new()), "{number}");
    found[0].value
}

/// Returns labels and values of the counters `number`.
pub(crate) fn labelled(fd: &impl AsRawFd, number: u32) -> Vec<(String, u64)> {
    let of_number = |counter: &kwasmi_counter| counter.counter == number;
    counters(fd).iter().filter(|counter| of_number(counter)).map(|counter| (label(counter), counter.value)).collect()
}

/// Repeats `is_done` until it is true, for at most 20 s.
fn until(mut is_done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_done() {
        assert!(begin.elapsed() < Duration::from_secs(20), "not done in 20 s");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Checks the counters of [`CALLS`] after its host calls.
fn check_calls(fd: &impl AsRawFd) {
    let module = "wasi_snapshot_preview1";
    let mut by_function = labelled(fd, uapi::KWASMI_COUNTER_FUNCTION_CALLS);
    by_function.sort();
    let expected = [("clock_time_get", 5), ("fd_write", 3), ("sched_yield", 2)];
    assert_eq!(by_function, expected.map(|(name, count)| (format!("{module}.{name}"), count)));
    assert_eq!(value(fd, uapi::KWASMI_COUNTER_HOST_CALLS), 10);
    assert_eq!(value(fd, uapi::KWASMI_COUNTER_MEMORY_PEAK), 4 << 16);
}

/// Returns number and index of each counter.
pub(crate) fn numbers(fd: &impl AsRawFd) -> Vec<(u32, u32)> {
    counters(fd).iter().map(|counter| (counter.counter, counter.index)).collect()
}

/// Returns the lines of fdinfo that the object prints.
pub(crate) fn fdinfo(fd: &OwnedFd) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).expect("is open");
    let of_kernel = ["pos:", "flags:", "mnt_id:", "ino:"];
    text.lines().filter(|line| !of_kernel.iter().any(|name| line.starts_with(name))).map(str::to_owned).collect()
}

/// Returns both ends of a new terminal: that of a terminal emulator, and that of a program.
fn terminal() -> (File, File) {
    let (mut emulator, mut program) = (-1, -1);
    let (emulator_at, program_at) = (&raw mut emulator, &raw mut program);
    // SAFETY: Both descriptors are writable, and the other pointers may be null.
    let answer = unsafe { libc::openpty(emulator_at, program_at, ptr::null_mut(), ptr::null(), ptr::null()) };
    assert_eq!(answer, 0);
    let file = |fd| File::from(owned(Ok(fd)).expect("is open"));
    (file(emulator), file(program))
}

/// Returns the local modes of a terminal.
fn modes(terminal: &File) -> u32 {
    let mut modes = MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: `modes` is writable.
    assert_eq!(unsafe { libc::tcgetattr(terminal.as_raw_fd(), modes.as_mut_ptr()) }, 0);
    // SAFETY: `termios` consists of integers, for which zero is valid.
    unsafe { modes.assume_init() }.c_lflag
}

/// Reads what a program writes to its terminal, until it contains `end`.
fn read_until(emulator: &mut File, end: &str) -> String {
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains(end) {
        let mut bytes = [0; 4096];
        let len = emulator.read(&mut bytes).expect("the program's end is open");
        text.extend_from_slice(&bytes[..len]);
    }
    String::from_utf8(text).expect("UTF-8")
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("top restores the terminal when a key or a signal ends it", || {
        let ends: [(Option<&[u8]>, Option<i32>); 4] =
            [(Some(b"q"), None), (Some(&[3]), None), (None, Some(libc::SIGTERM)), (None, Some(libc::SIGHUP))];
        for (key, signal) in ends {
            let (mut emulator, program) = terminal();
            let before = modes(&program);
            let mut top = Command::new("kwasmi")
                .args(["top", "--interval", "100ms"])
                .stdin(program.try_clone().expect("is open"))
                .stdout(program.try_clone().expect("is open"))
                .spawn()
                .expect("the command is there");
            let text = read_until(&mut emulator, "CALLS/S");
            assert!(text.starts_with("\x1b[?1049h") && text.contains("\x1b[7mNAME"), "{text:?}");
            assert_ne!(modes(&program), before);
            if let Some(key) = key {
                emulator.write_all(key).expect("is open");
            }
            if let Some(signal) = signal {
                // SAFETY: `kill` has no memory requirements.
                assert_eq!(unsafe { libc::kill(i32::try_from(top.id()).expect("fits"), signal) }, 0);
            }
            let status = top.wait().expect("is a child");
            assert_eq!((status.code(), status.signal()), (key.map(|_| 0), signal));
            read_until(&mut emulator, "\x1b[?25h\x1b[?1049l");
            assert_eq!(modes(&program), before);
        }
    });
    tests.add("COUNTERS of an instance that has not run are 0, but for its memory", || {
        let instance = start(&module(&calls("")));
        for counter in counters(&instance) {
            let is_memory = [
                uapi::KWASMI_COUNTER_MEMORY,
                uapi::KWASMI_COUNTER_MEMORY_PEAK,
                uapi::KWASMI_COUNTER_HEAP,
                uapi::KWASMI_COUNTER_HEAP_PEAK,
            ]
            .contains(&counter.counter);
            assert_eq!(counter.value > 0, is_memory, "{}", counter.counter);
        }
        assert_eq!(value(&instance, uapi::KWASMI_COUNTER_MEMORY), 1 << 16);
    });
    tests.add("COUNTERS are readable while the guest runs, and stay after its end", || {
        let instance = start(&module(&calls("(loop (br 0))")));
        assert_eq!(publish(&instance, "name", -1), Ok(0));
        let service = find("name").expect("there");
        let ended = thread::scope(|scope| {
            let runner = scope.spawn(|| run(&instance).expect("ends"));
            until(|| value(&service, uapi::KWASMI_COUNTER_HOST_CALLS) == 10);
            for fd in [&instance, &service] {
                check_calls(fd);
                assert_eq!(value(fd, uapi::KWASMI_COUNTER_MEMORY), 4 << 16);
                assert!(value(fd, uapi::KWASMI_COUNTER_HEAP) >= 4 << 16);
                assert!(value(fd, uapi::KWASMI_COUNTER_RUNS) >= 1);
            }
            // The guest computes, so that its CPU time grows.
            let before = value(&service, uapi::KWASMI_COUNTER_CPU_TIME);
            until(|| value(&service, uapi::KWASMI_COUNTER_CPU_TIME) > before + 20_000_000);
            signals::kill(instance.as_raw_fd());
            runner.join().expect("no panic")
        });
        assert_eq!(ended.status, uapi::KWASMI_KILLED);
        let last = counters(&service).iter().map(|counter| counter.value).collect::<Vec<_>>();
        assert_eq!(last, counters(&instance).iter().map(|counter| counter.value).collect::<Vec<_>>());
        for _ in 0..2 {
            check_calls(&service);
            assert_eq!(value(&service, uapi::KWASMI_COUNTER_MEMORY), 0);
            assert_eq!(value(&service, uapi::KWASMI_COUNTER_HEAP), 0);
            assert_eq!(value(&service, uapi::KWASMI_COUNTER_FUEL), ended.fuel_used);
            assert_eq!(value(&service, uapi::KWASMI_COUNTER_MEMORY_PEAK), ended.memory_peak);
            assert_eq!(value(&service, uapi::KWASMI_COUNTER_HEAP_PEAK), ended.heap_peak);
            assert!(value(&service, uapi::KWASMI_COUNTER_CPU_TIME) > 20_000_000);
        }
        drop(instance);
        check_calls(&service);
        assert_eq!(counters(&service).iter().map(|counter| counter.value).collect::<Vec<_>>(), last);
        assert_eq!(result(&service).expect("ended").status, uapi::KWASMI_KILLED);
    });
    tests.add("a host call that a signal interrupts counts once, and a further RUN is a run", || {
        signals::handle(0);
        // 400 ms.
        let instance = start(&module(&signals::SLEEP.replace("3600000000000", "400000000")));
        // SAFETY: `pthread_self` has no requirements.
        let runner = unsafe { libc::pthread_self() };
        let sender = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            // SAFETY: `runner` is a live thread: it joins this one before it ends.
            unsafe { libc::pthread_kill(runner, libc::SIGUSR1) };
        });
        assert_eq!(run(&instance).err(), Some(libc::EINTR));
        sender.join().expect("no panic");
        // Compiled code makes the call again, and the interpreter continues it.
        assert!(value(&instance, uapi::KWASMI_COUNTER_HOST_CALLS) <= 1);
        assert_eq!(run(&instance).expect("ends").status, uapi::KWASMI_EXITED);
        assert_eq!(value(&instance, uapi::KWASMI_COUNTER_HOST_CALLS), 1);
        assert_eq!(value(&instance, uapi::KWASMI_COUNTER_RUNS), 2);
    });
    tests.add("COUNTERS of a module count its instances, their ends and traps", || {
        let module = module(TRAP);
        // It shares the code.
        let twin = crate::kernel::module(TRAP);
        let zero = |number| labelled(&module, number).is_empty();
        assert!(zero(uapi::KWASMI_COUNTER_ENDS) && zero(uapi::KWASMI_COUNTER_TRAPS));
        let instances = [start(&module), start(&module), start(&module)];
        assert_eq!(value(&module, uapi::KWASMI_COUNTER_INSTANCES), 3);
        for instance in &instances[..2] {
            assert_eq!(run(instance).expect("ends").status, uapi::KWASMI_TRAPPED);
            // A further call returns the same result, and is not an end.
            assert_eq!(run(instance).expect("has ended").status, uapi::KWASMI_TRAPPED);
        }
        signals::kill(instances[2].as_raw_fd());
        assert_eq!(run(&instances[2]).expect("ends").status, uapi::KWASMI_KILLED);
        drop(instances);
        until(|| value(&module, uapi::KWASMI_COUNTER_INSTANCES) == 0);
        assert_eq!(value(&module, uapi::KWASMI_COUNTER_STARTS), 3);
        let ends = [("trapped".to_owned(), 2), ("killed".to_owned(), 1)];
        assert_eq!(labelled(&module, uapi::KWASMI_COUNTER_ENDS), ends);
        assert_eq!(labelled(&module, uapi::KWASMI_COUNTER_TRAPS), [("unreachable".to_owned(), 2)]);
        assert_eq!(labelled(&twin, uapi::KWASMI_COUNTER_ENDS), ends);
        let indices = numbers(&module);
        let (of_ends, of_traps) = (uapi::KWASMI_COUNTER_ENDS, uapi::KWASMI_COUNTER_TRAPS);
        let (trapped, killed) = (uapi::KWASMI_TRAPPED, uapi::KWASMI_KILLED);
        assert_eq!(indices[2..], [(of_ends, trapped), (of_ends, killed), (of_traps, uapi::KWASMI_TRAP_UNREACHABLE)]);
    });
    tests.add("COUNTERS fills at most the capacity, and returns the number of counters", || {
        let instance = start(&module(&calls("")));
        assert_eq!(run(&instance).expect("ends").status, uapi::KWASMI_EXITED);
        let all = counters(&instance);
        assert_eq!(all.len(), 14);
        for capacity in [0, 1, 13, 14, 15] {
            let mut some = vec![kwasmi_counter { value: 77, ..kwasmi_counter::default() }; 15];
            let mut request = kwasmi_counters {
                counters: some.as_mut_ptr().expose_provenance() as u64,
                counters_len: capacity,
                reserved: 0,
            };
            assert_eq!(call(&instance, uapi::IOC_COUNTERS, &mut request), Ok(0));
            assert_eq!(request.counters_len, 14);
            let filled = some.iter().take_while(|counter| counter.counter != 0).count();
            assert_eq!(filled, (capacity as usize).min(14));
            assert!(some[filled..].iter().all(|counter| counter.value == 77));
        }
        let numbers: Vec<_> = all.iter().map(|counter| (counter.counter, counter.index)).collect();
        assert!(numbers.is_sorted() && numbers.windows(2).all(|pair| pair[0] != pair[1]), "{numbers:?}");
    });
    tests.add("COUNTERS refuses reserved fields and bad addresses", || {
        let module = module(TRAP);
        let instance = start(&module);
        assert_eq!(publish(&instance, "name", -1), Ok(0));
        for fd in [&module, &instance, &find("name").expect("there")] {
            let mut request = kwasmi_counters { counters: 0, counters_len: 0, reserved: 1 };
            assert_eq!(call(fd, uapi::IOC_COUNTERS, &mut request), Err(libc::EINVAL));
            let entries = vec![kwasmi_counter::default(); 2];
            for bad in [0, 1, u64::MAX, u64::MAX - 8, 1 << 63, address(&entries) + (1 << 62)] {
                let mut request = kwasmi_counters { counters: bad, counters_len: 2, reserved: 0 };
                assert_eq!(call(fd, uapi::IOC_COUNTERS, &mut request), Err(libc::EFAULT), "{bad:#x}");
                assert_eq!(request.counters_len, 2);
            }
            for bad in [0, 8, usize::MAX, 1 << 63] {
                // SAFETY: Nothing of this process is mapped at these addresses, so the kernel
                // cannot write there.
                let answer = unsafe { ioctl(fd.as_raw_fd(), u64::from(uapi::IOC_COUNTERS), bad) };
                assert_eq!(answer, Err(libc::EFAULT), "{bad:#x}");
            }
        }
        let mut request = kwasmi_counters::default();
        assert_eq!(call(&crate::kernel::device(), uapi::IOC_COUNTERS, &mut request), Err(libc::ENOTTY));
    });
    tests.add("fdinfo shows the counters", || {
        let module = module(&calls(""));
        let instance = start(&module);
        assert_eq!(publish(&instance, "name", -1), Ok(0));
        let service = find("name").expect("there");
        assert_eq!(run(&instance).expect("ends").status, uapi::KWASMI_EXITED);
        for fd in [&module, &instance, &service] {
            let lines = fdinfo(fd);
            let values: Vec<u64> = lines
                .iter()
                .map(|line| line.split_once(":\t").expect("a value").1.parse().expect("a number"))
                .collect();
            assert_eq!(values, counters(fd).iter().map(|counter| counter.value).collect::<Vec<_>>());
        }
        let lines = fdinfo(&instance);
        for line in ["runs:\t1", "host_calls:\t10", "function_calls[wasi_snapshot_preview1.fd_write]:\t3"] {
            assert!(lines.iter().any(|other| other == line), "{line} is not in {lines:?}");
        }
        assert_eq!(fdinfo(&module), ["instances:\t1", "starts:\t1", "ends[exited]:\t1"]);
    });
    tests.add("tasks read counters while others start, run, kill and free services", || {
        let module = &module(LOOP);
        let is_over = &AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        if let Ok(service) = find("name") {
                            let (used, peak) = (uapi::KWASMI_COUNTER_HEAP, uapi::KWASMI_COUNTER_HEAP_PEAK);
                            let all = counters(&service);
                            let value = |number| {
                                all.iter().find(|counter| counter.counter == number).map(|counter| counter.value)
                            };
                            assert!(value(used) <= value(peak));
                        }
                        assert!(value(module, uapi::KWASMI_COUNTER_INSTANCES) <= 1);
                    }
                });
            }
            let mut random = Random(1);
            for _ in 0..crate::scale::iterations(200) {
                let instance = start(module);
                assert_eq!(publish(&instance, "name", -1), Ok(0));
                thread::scope(|scope| {
                    let runner = scope.spawn(|| run(&instance));
                    thread::sleep(Duration::from_micros(random.below(2000) as u64));
                    signals::kill(instance.as_raw_fd());
                    assert_eq!(runner.join().expect("no panic").expect("ends").status, uapi::KWASMI_KILLED);
                });
            }
            is_over.store(true, Ordering::Relaxed);
        });
    });
}
