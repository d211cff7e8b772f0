// SPDX-License-Identifier: GPL-2.0

//! Tests of limits that the kernel enforces, and resources that it frees, on the way back to
//! userspace. They must work for a guest that stays in one ioctl as they do for an ordinary
//! process.

use crate::{
    audit,
    directories::{
        Folder,
        exited,
        run_in, //
    },
    kernel::{
        module,
        run,
        start, //
    },
    ktap::Tests,
    scale,
    signals::{
        self,
        LOOP, //
    },
    task::{
        self,
        Child, //
    },
};
use std::{
    fs, hint,
    os::{
        fd::{
            AsRawFd as _,
            OwnedFd, //
        },
        unix::process::CommandExt as _,
    },
    path::{
        Path,
        PathBuf, //
    },
    process::Command,
    sync::{
        atomic::{
            AtomicBool,
            Ordering, //
        },
        mpsc, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

/// Cgroup, removed when this is dropped.
pub(crate) struct Group(PathBuf);

impl Group {
    /// Path of the root group.
    pub(crate) const ROOT: &str = "/sys/fs/cgroup";

    /// Creates a group and writes `value` to its file `name`.
    pub(crate) fn new(group: &str, (controller, name, value): (&str, &str, &str)) -> Self {
        let root = Path::new(Self::ROOT);
        fs::write(root.join("cgroup.subtree_control"), format!("+{controller}")).expect("the controller is there");
        let group = Self(root.join(group));
        fs::create_dir(&group.0).expect("a new group");
        fs::write(group.0.join(name), value).expect("a value");
        group
    }

    /// Moves the current process into the group.
    pub(crate) fn join(&self) {
        fs::write(self.0.join("cgroup.procs"), "0").expect("may join");
    }

    /// Returns the path of the group's file `name`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect(name)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..200 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Computes forever, as an ordinary process.
fn busy() -> ! {
    let mut n = 0_u64;
    loop {
        n = hint::black_box(n.wrapping_add(1));
    }
}

/// Computes forever, as a guest.
fn guest() -> u8 {
    let _ = run(&start(&module(LOOP)));
    0
}

/// Number of attempts at a comparison of times, of which one must succeed: the VM itself may be
/// short of processors for a moment. A guest that escapes a limit fails each time.
pub(crate) const ATTEMPTS: usize = 5;

/// Compares a guest and a process with a `cpu.max` of a tenth of a processor, each in its own
/// group. Returns true if they use the same CPU time.
fn has_share_of_a_process() -> bool {
    let groups = ["kwasmi-guest", "kwasmi-process"].map(|name| Group::new(name, ("cpu", "cpu.max", "10000 100000")));
    let [group, other] = &groups;
    let children = [
        Child::start(|| {
            group.join();
            guest()
        }),
        Child::start(|| {
            other.join();
            busy()
        }),
    ];
    // Lets both start and use up the quota of their first period.
    thread::sleep(Duration::from_secs(1));
    let (begin, before) = (Instant::now(), children.each_ref().map(Child::cpu_time));
    thread::sleep(Duration::from_secs(5));
    let (time, after) = (begin.elapsed(), children.each_ref().map(Child::cpu_time));
    drop(children);
    let [guest, process] = [0, 1].map(|which| (after[which] - before[which]).as_secs_f64());
    println!("# guest {guest:.3} s, process {process:.3} s of CPU time in {:.3} s", time.as_secs_f64());
    (guest - process).abs() <= 0.1 * process
}

/// Compares the CPU time after which `RLIMIT_CPU` ends a guest and a process. Returns true if they
/// are the same.
fn is_signalled_as_a_process() -> bool {
    let end = |work: fn() -> u8| {
        let child = Child::start(move || {
            let limit = libc::rlimit { rlim_cur: 1, rlim_max: 5 };
            // SAFETY: `limit` is a valid `rlimit`, and `setrlimit` only reads it.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_CPU, &raw const limit) }, 0);
            work()
        });
        let (status, time) = child.wait_with_time();
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGXCPU, "{status:#x}");
        time.as_secs_f64()
    };
    let (guest, process) = (end(guest), end(|| busy()));
    println!("# guest {guest:.3} s, process {process:.3} s of CPU time until SIGXCPU");
    (guest - process).abs() <= 0.2
}

/// Body that makes one directory after another, with names of four letters.
const DIRECTORIES: &str = "
    (i32.store (i32.const 5120)
        (i32.add (i32.const 0x61616161)
            (i32.or (i32.or
                (i32.and (local.get $n) (i32.const 15))
                (i32.shl (i32.and (local.get $n) (i32.const 0xf0)) (i32.const 4)))
                (i32.or
                (i32.shl (i32.and (local.get $n) (i32.const 0xf00)) (i32.const 8))
                (i32.shl (i32.and (local.get $n) (i32.const 0xf000)) (i32.const 12))))))
    (call $must (call $mkdir (i32.const 3) (i32.const 5120) (i32.const 4)))";

/// Number of directories. At 1 KiB of kernel memory each, they exceed `memory.high` by far.
const DIRECTORIES_MAX: u32 = 60_000;

/// Checks that a guest and a process above `memory.high` are slowed down, although each of their
/// calls takes little memory.
fn memory_high() {
    // Instrumented kernels reach the limit slowly.
    let high: u64 = if scale::is_instrumented() { 4 << 20 } else { 8 << 20 };
    let amount = |work: &dyn Fn(&Path) -> u8| {
        let group = Group::new("kwasmi-high", ("memory", "memory.high", &high.to_string()));
        let folder = Folder::new("high");
        let child = Child::start(|| {
            group.join();
            work(&folder.0)
        });
        let current = || group.read("memory.current").trim().parse::<u64>().expect("a number");
        let begin = Instant::now();
        while current() < high && begin.elapsed() < Duration::from_secs(100) {
            thread::sleep(Duration::from_millis(100));
        }
        thread::sleep(Duration::from_secs(4));
        let amount = current();
        drop(child);
        amount
    };
    let module = paths(DIRECTORIES_MAX, DIRECTORIES);
    let guest = amount(&|folder| {
        run_in(&module, folder);
        0
    });
    let process = amount(&|folder| {
        for n in 0..DIRECTORIES_MAX {
            fs::create_dir(folder.join(n.to_string())).expect("a new directory");
        }
        0
    });
    println!("# 4 s after they had so much: guest {} KiB, process {} KiB", guest >> 10, process >> 10);
    assert!(process > high / 2 && guest > high / 2, "they do not get that far");
    assert!(guest <= process.max(high) + (high / 2));
}

/// Returns a module that does `body` `times` times, with the path functions. A name of 200 bytes is
/// at address 1024, and `d` at 4096.
pub(crate) fn paths(times: u32, body: &str) -> OwnedFd {
    module(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "path_filestat_get" (func $stat (param i32 i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_remove_directory" (func $rmdir (param i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_open"
                (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 1024) "{name}")
            (data (i32.const 4096) "d")
            (func $must (param i32) (if (local.get 0) (then (call $exit (local.get 0)))))
            (func $must_not (param i32) (if (i32.eqz (local.get 0)) (then (call $exit (i32.const 99)))))
            (func (export "_start") (local $n i32)
                (loop
                    {body}
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br_if 0 (i32.lt_u (local.get $n) (i32.const {times}))))))"#,
        name = "n".repeat(200),
    ))
}

/// Two path operations each: on a long name that does not exist, and on a directory that is made
/// and removed.
const LOOK: &str = "
    (call $must_not (call $stat (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 200) (i32.const 64)))
    (call $must_not (call $stat (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 200) (i32.const 64)))";
const CHANGE: &str = "
    (call $must (call $mkdir (i32.const 3) (i32.const 4096) (i32.const 1)))
    (call $must (call $rmdir (i32.const 3) (i32.const 4096) (i32.const 1)))";

/// Calls `work`. Returns the available memory before it and the minimum during it, in bytes, and
/// the result of `work`.
fn memory_during<T>(work: impl FnOnce() -> T) -> (u64, u64, T) {
    let available = || {
        let text = fs::read_to_string("/proc/meminfo").expect("there");
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).expect("told");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    };
    let before = available();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut least = before;
            while !is_over.load(Ordering::Relaxed) {
                least = least.min(available());
                thread::sleep(Duration::from_millis(50));
            }
            least
        });
        let result = work();
        is_over.store(true, Ordering::Relaxed);
        (before, watcher.join().expect("no panic"), result)
    })
}

/// Compares the path operations of one guest while audit collects names: all in one run, and in ten
/// runs of a tenth each.
fn audited_paths(what: &str, body: &str) {
    // Instrumented kernels are slow at this.
    let operations = if scale::is_instrumented() { 1_000 } else { scale::iterations(300_000) };
    let folder = Folder::new("audited");
    audit::enable(true);
    let rule = audit::Rule::add();
    let time = |runs: u32| {
        let module = paths(operations / 2 / runs, body);
        // Audit ignores processes that were started before it was enabled, so each run is a new
        // process.
        let child = || Child::start(|| u8::try_from(exited(&run_in(&module, &folder.0))).expect("small")).wait();
        let begin = Instant::now();
        let (before, least, ends) = memory_during(|| (0..runs).map(|_| child()).collect::<Vec<_>>());
        assert!(ends.iter().all(|status| *status == 0), "{ends:?}");
        (begin.elapsed().as_secs_f64(), before.saturating_sub(least))
    };
    let (parts, _) = time(10);
    let (whole, memory) = time(1);
    drop(rule);
    audit::enable(false);
    println!("# {operations} operations, {what}: {whole:.2} s in one run, {parts:.2} s in ten; {} KiB", memory >> 10);
    assert!(memory < 32 << 20);
    assert!(whole < 2.0 * parts + 0.5);
}

/// Opens that fail after the kernel has allocated a file: these files must be released while the
/// guest runs.
fn refused_opens() {
    let folder = Folder::new("busy");
    let program = folder.path("d");
    fs::copy("/bin/busybox", &program).expect("copied");
    let mut running = Command::new(&program).arg0("sleep").arg("1000").spawn().expect("a process");
    let count = || {
        let text = fs::read_to_string("/proc/sys/fs/file-nr").expect("there");
        text.split_whitespace().next().expect("a number").parse::<u64>().expect("a number")
    };
    let times = scale::iterations(100_000);
    // Opens for writing, without and with truncation; both fail with `txtbsy`.
    let mut most = Vec::new();
    for flags in [0, 8] {
        let module = paths(
            times,
            &format!(
                "(call $must_not (call $open (i32.const 3) (i32.const 0) (i32.const 4096) (i32.const 1) (i32.const {flags})
                    (i64.const 0x40) (i64.const 0) (i32.const 0) (i32.const 64)))"
            ),
        );
        let (before, is_over) = (count(), AtomicBool::new(false));
        let peak = thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut peak = 0;
                while !is_over.load(Ordering::Relaxed) {
                    peak = peak.max(count());
                    thread::sleep(Duration::from_millis(5));
                }
                peak
            });
            let end = exited(&run_in(&module, &folder.0));
            is_over.store(true, Ordering::Relaxed);
            assert_eq!(end, 0);
            watcher.join().expect("no panic")
        });
        most.push(peak.saturating_sub(before));
    }
    running.kill().expect("our child");
    running.wait().expect("our child");
    println!("# {times} opens each: {most:?} more files than before at most");
    assert!(most.iter().all(|more| *more < 1024));
}

/// Returns the time to enable and disable tracing a few times.
fn time_to_trace() -> Duration {
    const TRACING: &str = "/sys/kernel/tracing";
    let begin = Instant::now();
    for _ in 0..3 {
        let instance = format!("{TRACING}/instances/kwasmi-test");
        if fs::create_dir(&instance).is_ok() {
            let tracers = fs::read_to_string(format!("{TRACING}/available_tracers")).expect("readable");
            if tracers.split_whitespace().any(|tracer| tracer == "function") {
                fs::write(format!("{instance}/set_ftrace_filter"), "do_sys_openat2").expect("a function");
                fs::write(format!("{instance}/current_tracer"), "function").expect("a tracer");
                fs::write(format!("{instance}/current_tracer"), "nop").expect("none");
            }
            fs::remove_dir(&instance).expect("not in use");
        }
        fs::write(format!("{TRACING}/kprobe_events"), "p:kwasmi_test do_sys_openat2").expect("a probe");
        let enable = format!("{TRACING}/events/kprobes/kwasmi_test/enable");
        fs::write(&enable, "1").expect("on");
        // The kernel optimizes a probe some time after it is enabled.
        thread::sleep(Duration::from_millis(300));
        fs::write(&enable, "0").expect("off");
        // Opening this file with O_TRUNC deletes all probes.
        fs::write(format!("{TRACING}/kprobe_events"), "").expect("removed");
    }
    begin.elapsed()
}

/// RCU-tasks: to disable tracing, the kernel waits until each task has left all trampolines.
fn tracing() {
    let tracing = Path::new("/sys/kernel/tracing");
    if !tracing.join("kprobe_events").exists() {
        let name = c"tracefs";
        let target = c"/sys/kernel/tracing";
        // SAFETY: All texts are NUL-terminated strings, and tracefs takes no data.
        assert_eq!(unsafe { libc::mount(name.as_ptr(), target.as_ptr(), name.as_ptr(), 0, std::ptr::null()) }, 0);
    }
    let beside = |work: fn() -> u8| {
        let _child = Child::start(work);
        thread::sleep(Duration::from_millis(300));
        time_to_trace().as_secs_f64()
    };
    let (process, guest) = (beside(|| busy()), beside(guest));
    println!("# three times on and off: {guest:.2} s beside a guest, {process:.2} s beside a process");
    assert!(guest < 2.0 * process + 1.0);
}

/// Returns the number of voluntary context switches of thread `id` of this process.
fn switches(id: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/self/task/{id}/status")).expect("it is there");
    let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).expect("told");
    line.trim().parse().expect("a number")
}

/// Checks that `KWASMI_IOC_KILL` does not wake a task that waits uninterruptibly: here in the
/// allocator, which `memory.high` delays.
fn kill_in_another_sleep() {
    let group = Group::new("kwasmi-asleep", ("memory", "memory.high", "4194304"));
    let child = Child::start(|| {
        group.join();
        // Each growth is 16 MiB, so that the task is delayed within the allocation.
        let instance = start(&module(
            r#"(module (memory (export "memory") 1) (func (export "_start") (loop (drop (memory.grow (i32.const 256))) (br 0))))"#,
        ));
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            let instance = &instance;
            scope.spawn(move || {
                sender.send(task::id()).expect("waits for it");
                let _ = run(instance);
            });
            let id = receiver.recv().expect("told");
            let is_asleep = || {
                let stat = fs::read_to_string(format!("/proc/self/task/{id}/stat")).expect("it is there");
                stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('D'))
            };
            let begin = Instant::now();
            let mut woken = None;
            while woken.is_none() && begin.elapsed() < Duration::from_secs(20) {
                thread::sleep(Duration::from_millis(5));
                let before = switches(id);
                if is_asleep() {
                    for _ in 0..20 {
                        signals::kill(instance.as_raw_fd());
                        thread::sleep(Duration::from_millis(1));
                    }
                    woken = Some(switches(id) - before);
                }
            }
            signals::kill(instance.as_raw_fd());
            // 255 stands for a task that was never seen asleep.
            u8::try_from(woken.unwrap_or(255)).unwrap_or(254)
        })
    });
    let woken = child.wait();
    println!("# woken {woken} times by 20 KILLs");
    assert!(woken < 5);
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("cpu.max limits a guest as it limits a process", || {
        assert!((0..ATTEMPTS).any(|_| has_share_of_a_process()));
    });
    tests.add("RLIMIT_CPU ends a guest as it ends a process", || {
        assert!((0..ATTEMPTS).any(|_| is_signalled_as_a_process()));
    });
    tests.add("memory.high slows down a guest as it slows down a process", memory_high);
    tests.add("audit: path lookups of a guest accumulate no memory", || audited_paths("looking", LOOK));
    tests.add("audit: directories that a guest makes and removes use no memory", || audited_paths("changing", CHANGE));
    tests.add("opens that fail late accumulate no files", refused_opens);
    tests.add("a guest that computes does not delay tracing", tracing);
    tests.add("KILL does not wake a task that waits uninterruptibly", kill_in_another_sleep);
}
