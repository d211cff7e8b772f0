// SPDX-License-Identifier: GPL-2.0

//! Tests of stack traces of tasks that run guests: the kernel takes them at any moment, and can
//! unwind past the engine's stack. Complaints of the unwinder would be in the kernel log, which is
//! checked after the suite.

use crate::{
    faults,
    kernel::{
        grant,
        module,
        run,
        start,
        start_with_fds, //
    },
    ktap::Tests,
    signals::{
        self,
        LOOP,
        SLEEP, //
    },
    task, //
};
use kwasmi::uapi;
use std::{
    fs::{
        self,
        File, //
    },
    io::{
        ErrorKind,
        Read,
        Seek,
        SeekFrom,
        pipe, //
    },
    os::{
        fd::{
            AsRawFd,
            OwnedFd, //
        },
        unix::fs::OpenOptionsExt,
    },
    panic::{
        self,
        AssertUnwindSafe, //
    },
    sync::atomic::{
        AtomicBool,
        Ordering, //
    },
    thread,
    time::Duration,
};

/// Program that makes long host calls, one after another.
const HOST_CALLS: &str = r#"(module
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start") (loop (drop (call $random (i32.const 0) (i32.const 65536))) (br 0))))"#;

/// Names of the threads that run guests, with their programs.
const GUESTS: [(&str, &str); 3] = [("kw-compute", LOOP), ("kw-host", HOST_CALLS), ("kw-asleep", SLEEP)];

/// Functions in the trace of a host call, innermost first.
const HOST_CALL: [&str; 3] = ["kwasmi_host_entry+", "kwasmi_stack_leave+", "__x64_sys_ioctl+"];

/// Maximum number of looks at the processors until each guest was seen.
const TRIES: u32 = 300;

/// Reader of the kernel log, from the moment of its creation on.
struct Log(File);

impl Log {
    fn open() -> Self {
        let mut file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg").expect("the log");
        file.seek(SeekFrom::End(0)).expect("it has an end");
        Self(file)
    }

    /// Adds the messages since the last call to `lines`.
    fn read(&mut self, lines: &mut Vec<String>) {
        let mut record = vec![0; 16_384];
        loop {
            match self.0.read(&mut record) {
                Ok(len) => {
                    let text = String::from_utf8_lossy(&record[..len]);
                    let message = text.split_once(';').map_or("", |(_, message)| message);
                    lines.extend(message.lines().map(str::to_owned));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Messages were overwritten; the next read continues after them.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) => panic!("the log: {error}"),
            }
        }
    }
}

/// Returns the lines that the kernel logs while `work` runs.
fn said(work: impl FnOnce()) -> Vec<String> {
    let mut log = Log::open();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut lines = Vec::new();
            while !is_over.load(Ordering::Acquire) {
                log.read(&mut lines);
                thread::sleep(Duration::from_millis(1));
            }
            log.read(&mut lines);
            lines
        });
        work();
        is_over.store(true, Ordering::Release);
        reader.join().expect("no panic")
    })
}

/// Returns the lines that the kernel logs for a SysRq key.
fn sysrq(key: &str) -> Vec<String> {
    said(|| fs::write("/proc/sysrq-trigger", key).expect("root may"))
}

/// Splits `lines` into parts that each begin with a line for which `is_first` is true. Lines before
/// the first are left out.
fn parts(lines: &[String], is_first: impl Fn(&str) -> bool) -> Vec<&[String]> {
    let mut parts: Vec<_> = lines.chunk_by(|_, next| !is_first(next)).collect();
    parts.retain(|part| part.first().is_some_and(|line| is_first(line)));
    parts
}

/// Returns true if a trace contains all of `functions` in this order, as reliable entries. The
/// unwinder marks others with a question mark.
fn goes_through(trace: &[String], functions: &[&str]) -> bool {
    let mut left = functions.iter().peekable();
    for line in trace.iter().map(|line| line.trim_start()).filter(|line| !line.starts_with('?')) {
        left.next_if(|function| line.starts_with(**function));
    }
    left.peek().is_none()
}

/// Runs the guests on the second processor, each in its own thread, while `look` runs on the first.
/// `look` gets the thread ids.
fn beside_guests(look: impl FnOnce(&[i32])) {
    let instances: Vec<OwnedFd> = GUESTS.iter().map(|(_, text)| start(&module(text))).collect();
    let result = thread::scope(|scope| {
        let runners: Vec<_> = GUESTS
            .iter()
            .zip(&instances)
            .map(|((name, _), instance)| {
                let (sender, receiver) = std::sync::mpsc::channel();
                let thread = thread::Builder::new().name((*name).to_owned());
                let runner = thread.spawn_scoped(scope, move || {
                    task::pin(1);
                    sender.send(task::id()).expect("waits for it");
                    run(instance)
                });
                (runner.expect("a thread"), receiver)
            })
            .collect();
        let ids: Vec<_> = runners.iter().map(|(_, receiver)| receiver.recv().expect("it runs")).collect();
        thread::sleep(Duration::from_millis(300));
        let before = task::affinity();
        task::pin(0);
        // The guests never end, so they must be killed even if `look` panics.
        let result = panic::catch_unwind(AssertUnwindSafe(|| look(&ids)));
        task::set_affinity(&before);
        instances.iter().for_each(|instance| signals::kill(instance.as_raw_fd()));
        for (runner, _) in runners {
            let end = runner.join().expect("no panic").expect("ends");
            assert_eq!(end.status, uapi::KWASMI_KILLED);
        }
        result
    });
    result.unwrap_or_else(|panic| panic::resume_unwind(panic));
}

fn all_tasks(_: &[i32]) {
    for _ in 0..3 {
        let lines = sysrq("t");
        let tasks = parts(&lines, |line| line.starts_with("task:"));
        for (name, _) in GUESTS {
            let heading = format!("task:{name} ");
            let task = tasks.iter().find(|task| task[0].starts_with(&heading));
            let task = task.unwrap_or_else(|| panic!("{name} is not among {} tasks", tasks.len()));
            assert!(name != "kw-asleep" || goes_through(task, &HOST_CALL), "{}", task.join("\n"));
        }
    }
}

fn all_processors(_: &[i32]) {
    let (mut in_engine, mut in_host) = (0, 0);
    for _ in 0..TRIES {
        if in_engine >= 5 && in_host >= 5 {
            break;
        }
        let lines = sysrq("l");
        for cpu in parts(&lines, |line| line.starts_with("NMI backtrace for cpu ")) {
            let is_of = |name: &str| cpu.iter().any(|line| line.contains(&format!("Comm: {name} ")));
            let has_rip = |text: &str| cpu.iter().any(|line| line.starts_with("RIP: 0010:") && line.contains(text));
            // A trace from the engine's own stack has no callers, only the instruction pointer.
            in_engine += u32::from(is_of("kw-compute") && has_rip("[kwasmi]"));
            in_host += u32::from(is_of("kw-host") && goes_through(cpu, &HOST_CALL));
        }
        thread::sleep(Duration::from_millis(50));
    }
    println!("# {in_engine} traces in the engine, {in_host} in a host call");
    assert!(in_engine >= 5 && in_host >= 5);
}

fn each_task(ids: &[i32]) {
    for _ in 0..1000 {
        for ((name, _), id) in GUESTS.iter().zip(ids) {
            let trace = fs::read_to_string(format!("/proc/self/task/{id}/stack")).expect("root may");
            let lines: Vec<_> = trace.lines().filter_map(|line| line.split_once("] ")).collect();
            let lines: Vec<_> = lines.into_iter().map(|(_, function)| function.to_owned()).collect();
            assert!(*name != "kw-asleep" || goes_through(&lines, &HOST_CALL), "{trace}");
        }
    }
}

/// Takes traces of a task whose guests start and end, with the stacks that it was preempted on.
/// Busy threads on the same processors preempt it at any moment.
fn short_guests() {
    let module = module(
        r#"(module (func (export "_start") (local $n i32)
            (loop
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if 0 (i32.lt_u (local.get $n) (i32.const 20000))))))"#,
    );
    let is_over = AtomicBool::new(false);
    let (sender, receiver) = std::sync::mpsc::channel();
    let guests = crate::scale::iterations(3000);
    let traces = thread::scope(|scope| {
        for processor in [0, 1] {
            let is_over = &is_over;
            scope.spawn(move || {
                task::pin(processor);
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let runner = scope.spawn(|| {
            task::pin(1);
            sender.send(task::id()).expect("waits for it");
            for _ in 0..guests {
                assert_eq!(run(&start(&module)).expect("runs").status, uapi::KWASMI_EXITED);
            }
        });
        let path = format!("/proc/self/task/{}/stack", receiver.recv().expect("it runs"));
        let (guests_are_over, path) = (&is_over, path);
        let reader = scope.spawn(move || {
            task::pin(0);
            let mut traces = 0;
            while !guests_are_over.load(Ordering::Relaxed) {
                if let Ok(trace) = fs::read_to_string(&path) {
                    traces += u64::from(!trace.is_empty());
                }
            }
            traces
        });
        while !runner.is_finished() {
            fs::write("/proc/sysrq-trigger", "t").expect("root may");
            thread::sleep(Duration::from_millis(500));
        }
        is_over.store(true, Ordering::Relaxed);
        runner.join().expect("no panic");
        reader.join().expect("no panic")
    });
    println!("# {guests} guests, {traces} traces");
    assert!(traces > 0);
}

/// Stack traces by `dump_stack` within a host call: fault injection prints them when an allocation
/// for a write to a pipe fails.
fn from_within() {
    let module = module(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\00\10\00\00\00\10\00\00")
            (func (export "_start") (local i32)
                (loop
                    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                    (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 8))))))"#,
    );
    faults::set_verbosity("2");
    let lines = said(|| {
        for n in 1..40 {
            let (_drain, output) = pipe().expect("a pipe");
            let instance = start_with_fds(&module, &[grant(output.as_raw_fd(), 1)]);
            let _ = faults::failing(n, || run(&instance));
        }
    });
    faults::set_verbosity("0");
    let traces = parts(&lines, |line| line.starts_with("FAULT_INJECTION: forcing a failure."));
    let from_host = traces.iter().filter(|trace| goes_through(trace, &HOST_CALL)).count();
    println!("# {} traces, {from_host} of them in a host call", traces.len());
    assert!(from_host > 0);
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("traces of all tasks while guests compute, call and sleep", || beside_guests(all_tasks));
    tests.add("traces of all processors while guests compute and call", || beside_guests(all_processors));
    tests.add("1,000 traces of the tasks of guests by /proc/PID/stack", || beside_guests(each_task));
    tests.add("traces of a task that runs short guests", short_guests);
    if faults::is_there() {
        tests.add("traces from within host calls", from_within);
    } else {
        tests.skip("traces from within host calls", "the kernel has no fault injection");
    }
}
