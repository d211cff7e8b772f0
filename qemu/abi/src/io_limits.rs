// SPDX-License-Identifier: GPL-2.0

//! Tests that io.cost and io.latency delay a guest as they delay an ordinary process. Neither makes
//! reads of a file system's metadata wait: they charge them to the cgroup, and the task waits on its
//! way back to userspace (`iocg_handle_over_budget`, block/blk-iocost.c; `iolatency_record_time`,
//! block/blk-iolatency.c; `blkcg_maybe_throttle_current`, block/blk-cgroup.c).

use crate::{
    directories::{
        exited,
        run_in, //
    },
    disk::{
        Disk,
        path,
        read_data, //
    },
    ktap::Tests,
    process_limits::{
        ATTEMPTS,
        Group,
        paths, //
    },
    task::Child, //
};
use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    thread,
    time::{
        Duration,
        Instant, //
    },
};

/// Body that looks up [`path`] of `$n`.
const LOOK: &str = "
    (i32.store (i32.const 5120)
        (i32.add (i32.const 0x61616161)
            (i32.or (i32.or
                (i32.and (local.get $n) (i32.const 0xf))
                (i32.shl (i32.and (local.get $n) (i32.const 0xf0)) (i32.const 4)))
                (i32.or
                (i32.shl (i32.and (local.get $n) (i32.const 0xf00)) (i32.const 8))
                (i32.shl (i32.and (local.get $n) (i32.const 0xf000)) (i32.const 12))))))
    (i32.store16 (i32.const 5124) (i32.const 0x782f))
    (call $must_not (call $stat (i32.const 3) (i32.const 0) (i32.const 5120) (i32.const 6) (i32.const 64)))";

/// Returns the seconds that a child process takes for `work` in the file system of the disk, of
/// which nothing is cached. The child is in `group`, if there is one.
fn time(disk: &Disk, group: Option<&Group>, work: impl FnOnce(&Path) -> u8) -> f64 {
    let mount = disk.mount("ro");
    let begin = Instant::now();
    let child = Child::start(|| {
        if let Some(group) = group {
            group.join();
        }
        work(&mount.0.0)
    });
    assert_eq!(child.wait(), 0);
    begin.elapsed().as_secs_f64()
}

/// Number of lookups. io.cost and io.latency delay a task by at most a quarter of a second at a time,
/// and in these tests by nearly as much after each lookup: together by 3 s.
const LOOKUPS: u32 = 12;

/// Seconds by which the lookups are delayed at least. A guest that leaves its ioctl only at its end
/// is delayed by a quarter of a second.
const LEAST: f64 = 2.0;

/// Compares a guest and a process in `group`, and a guest without limits. Returns true if the guest
/// and the process are delayed in the same way.
fn is_delayed_as_a_process(disk: &Disk, group: &Group) -> bool {
    let module = paths(LOOKUPS, LOOK);
    let guest = |folder: &Path| u8::try_from(exited(&run_in(&module, folder))).expect("small");
    let free = time(disk, None, guest);
    let guest = time(disk, Some(group), guest);
    let process = time(disk, Some(group), |folder| {
        for n in 0..LOOKUPS {
            let path = folder.join(OsStr::from_bytes(&path(n)));
            assert!(fs::metadata(path).is_err());
        }
        0
    });
    println!("# {LOOKUPS} lookups: guest {guest:.2} s, process {process:.2} s, guest without limits {free:.2} s");
    process - free >= LEAST && guest - free >= LEAST && guest < 2.0 * process
}

/// Names of the group whose reads are delayed, and of a sibling for whose sake they are.
const SLOW: &str = "kwasmi-slow";
const FAST: &str = "kwasmi-fast";

/// Starts a process in `group` that reads data, with a pause after each block.
fn reader(group: &Group, pause: Duration) -> Child {
    Child::start(|| {
        group.join();
        read_data(pause)
    })
}

/// Waits until the statistics in `file` contain `text`.
fn wait_for(text: &str, file: &Path) {
    let stat = || fs::read_to_string(file).expect("readable");
    let begin = Instant::now();
    while !stat().contains(text) {
        assert!(begin.elapsed() < Duration::from_secs(60), "no {text}: {}", stat());
        thread::sleep(Duration::from_millis(50));
    }
    println!("#{text} after {:.1} s", begin.elapsed().as_secs_f64());
}

/// io.cost allows 89 reads per second: 1% of its model for a disk that is not rotational. A sibling
/// with 10,000 times the weight uses them up.
///
/// The test does not write `io.cost.model`: the functions of the kernel that write this file and
/// `io.cost.qos` take two locks in different order, which lockdep reports.
fn cost() {
    let disk = Disk::new(LOOKUPS);
    let root = Path::new(Group::ROOT);
    // All reads take longer than 1 µs. Therefore io.cost allows fewer from period to period, until
    // the minimum. A period is twice the latency of writes, here 10 ms.
    let values = "enable=1 ctrl=user rpct=99 rlat=1 wpct=0 wlat=5000 min=1 max=1";
    fs::write(root.join("io.cost.qos"), format!("{} {values}", disk.number)).expect("a value");
    let group = |name, weight| Group::new(name, ("io", "io.weight", weight));
    let (fast, slow) = (group(FAST, "10000"), group(SLOW, "1"));
    let _reader = reader(&fast, Duration::ZERO);
    wait_for(" cost.vrate=1.00", &root.join("io.stat"));
    assert!((0..ATTEMPTS).any(|_| is_delayed_as_a_process(&disk, &slow)));
}

/// Group with a target of io.latency, which is removed when this is dropped.
struct Target<'a> {
    disk: &'a Disk,
    group: Group,
}

impl<'a> Target<'a> {
    /// Creates a group with a target, and starts a [`reader`] in it.
    fn new(disk: &'a Disk, name: &str, micros: u32, pause: Duration) -> (Self, Child) {
        let group = Group::new(name, ("io", "io.weight", "100"));
        let reader = reader(&group, pause);
        // The group reads before it gets the target: if it has not used the disk, the kernel
        // allocates memory under a lock when the target is written, which lockdep reports.
        wait_for(" rios=", &group.path("io.stat"));
        fs::write(group.path("io.latency"), format!("{} target={micros}", disk.number)).expect("a value");
        (Self { disk, group }, reader)
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        // If a disk is removed while a group has a target, the kernel frees a structure with a work
        // item that it has just scheduled, which debugobjects reports.
        let _ = fs::write(self.group.path("io.latency"), format!("{} target=max", self.disk.number));
    }
}

/// io.latency delays a group as long as a sibling with a lower target misses that target.
fn latency() {
    // With this parameter, io.stat says whether a group is delayed.
    fs::write("/sys/module/blk_cgroup/parameters/blkcg_debug_stats", "1").expect("on");
    let disk = Disk::new(LOOKUPS);
    // All reads take longer than 1 µs. A read of metadata delays the other group by the difference
    // to its target, which is nearly 1 s, but by a quarter of a second at a time.
    let (_fast, _reader) = Target::new(&disk, FAST, 1, Duration::from_millis(20));
    // io.latency halves the queue depth of a group that reads data, until it is 1. It then delays
    // the group.
    let (slow, other) = Target::new(&disk, SLOW, 1_000_000, Duration::from_millis(1));
    wait_for(" use_delay=", &slow.group.path("io.stat"));
    drop(other);
    assert!((0..ATTEMPTS).any(|_| is_delayed_as_a_process(&disk, &slow.group)));
}

/// Adds the test of the limit `name`, which cgroups have as `file`.
fn add(tests: &mut Tests, name: &str, file: &str, test: fn()) {
    let title = format!("{name} slows down a guest as it slows down a process");
    if !Disk::is_possible() {
        tests.skip(title, "this kernel has no null_blk or no ext4");
    } else if !Group::new(SLOW, ("io", "io.weight", "100")).path(file).exists() {
        tests.skip(title, &format!("this kernel has no {name}"));
    } else {
        tests.add(title, test);
    }
}

pub(crate) fn tests(tests: &mut Tests) {
    add(tests, "io.cost", "io.weight", cost);
    add(tests, "io.latency", "io.latency", latency);
}
