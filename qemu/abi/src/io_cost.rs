// SPDX-License-Identifier: GPL-2.0

//! Test that io.cost delays a guest as it delays an ordinary process. io.cost does not make reads
//! of a file system's metadata wait: it charges them to the cgroup as a debt, and the task waits on
//! its way back to userspace (`iocg_handle_over_budget`, block/blk-iocost.c).

use crate::{
    directories::{
        Folder,
        run_in, //
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
    process::Command,
    thread,
    time::Duration, //
};

/// Modules in the order of their dependencies.
const MODULES: [&str; 2] = ["configfs", "null_blk"];

/// Number of directories on the disk, each with a block of its own.
const DIRECTORIES: u32 = 4096;

/// Number of reads per second that io.cost allows.
const READS_PER_SECOND: u32 = 20;

/// Time during which reads are counted.
const TIME: Duration = Duration::from_secs(5);

/// Path of a file that does not exist in directory `n`. The kernel reads the directory's inode and
/// its block to find that out.
fn path(n: u32) -> [u8; 6] {
    let letter = |at: u32| b'a' + u8::try_from(n >> (4 * at) & 15).expect("four bits");
    [letter(0), letter(1), letter(2), letter(3), b'/', b'x']
}

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

/// Runs a command, which must succeed.
fn command(words: &[&str]) {
    let [program, arguments @ ..] = words else { panic!("no command") };
    let output = Command::new(program).args(arguments).output().expect("the program is there");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Disk in memory with a file system of [`DIRECTORIES`] directories, on which io.cost is enabled.
/// It is removed when this is dropped.
struct Disk {
    /// Major and minor number, with a colon between them.
    number: String,
}

impl Disk {
    fn new() -> Self {
        command(&["insmod", "/lib/modules/configfs.ko"]);
        command(&["insmod", "/lib/modules/null_blk.ko", "nr_devices=1", "gb=1", "memory_backed=1"]);
        let number = fs::read_to_string("/sys/block/nullb0/dev").expect("there").trim().to_owned();
        let disk = Self { number };
        // Blocks of 4 KiB, in a file system of 64 MiB.
        command(&["mke2fs", "-b", "4096", "/dev/nullb0", "65536"]);
        let mount = disk.mount(0);
        for n in 0..DIRECTORIES {
            let [name @ .., _, _] = path(n);
            fs::create_dir(mount.0.0.join(OsStr::from_bytes(&name))).expect("a new directory");
        }
        drop(mount);
        let rate = READS_PER_SECOND;
        // The periods of io.cost are twice the latency, in microseconds, if its percentile is 0.
        let model = format!("ctrl=user rbps=1000000000 rseqiops={rate} rrandiops={rate}");
        disk.set("io.cost.model", &format!("{model} wbps=1000000000 wseqiops={rate} wrandiops={rate}"));
        disk.set("io.cost.qos", "enable=1 ctrl=user rpct=0 rlat=5000 wpct=0 wlat=5000 min=100 max=100");
        disk
    }

    /// Writes to a file of io.cost.
    fn set(&self, name: &str, values: &str) {
        fs::write(Path::new(Group::ROOT).join(name), format!("{} {values}", self.number)).expect(name);
    }

    /// Mounts the file system. No part of it is cached afterwards.
    fn mount(&self, flags: libc::c_ulong) -> Mount {
        let folder = Folder::new("disk");
        // ext4 reads neighbours of an inode ahead, for which the task waits in the read.
        let options = c"inode_readahead_blks=0".as_ptr().cast();
        // SAFETY: All texts are NUL-terminated strings.
        let status =
            unsafe { libc::mount(c"/dev/nullb0".as_ptr(), c"/tmp/disk".as_ptr(), c"ext4".as_ptr(), flags, options) };
        assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
        Mount(folder)
    }

    /// Returns the number of reads in [`TIME`] by a process in a group of its own that does `work`
    /// in the file system.
    fn reads(&self, work: impl FnOnce(&Path) -> u8) -> u32 {
        let group = Group::new("kwasmi-io", ("io", "io.weight", "100"));
        let mount = self.mount(libc::MS_RDONLY);
        let child = Child::start(|| {
            group.join();
            work(&mount.0.0)
        });
        thread::sleep(TIME);
        let stat = group.read("io.stat");
        drop(child);
        let line = stat.lines().find_map(|line| line.strip_prefix(&self.number)).unwrap_or("");
        let reads = line.split(' ').find_map(|word| word.strip_prefix("rios="));
        reads.map_or(0, |reads| reads.parse().expect("a number"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for module in MODULES.iter().rev() {
            let _ = Command::new("rmmod").arg(module).status();
        }
    }
}

/// Mounted file system, unmounted when this is dropped.
struct Mount(Folder);

impl Drop for Mount {
    fn drop(&mut self) {
        // SAFETY: The path is a NUL-terminated string.
        unsafe { libc::umount(c"/tmp/disk".as_ptr()) };
    }
}

/// Compares a guest and a process that read metadata. Returns true if both are delayed, and read
/// the same number of blocks.
fn reads_as_much_as_a_process(disk: &Disk) -> bool {
    let module = paths(DIRECTORIES, LOOK);
    let guest = disk.reads(|folder| {
        run_in(&module, folder);
        0
    });
    let process = disk.reads(|folder| {
        for n in 0..DIRECTORIES {
            let path = folder.join(OsStr::from_bytes(&path(n)));
            assert!(fs::metadata(path).is_err());
        }
        0
    });
    println!("# guest {guest}, process {process} reads in {} s; {READS_PER_SECOND} per second allowed", TIME.as_secs());
    process < DIRECTORIES / 4 && guest.abs_diff(process) <= process / 5
}

/// Returns true if the kernel has the modules and the file system of [`Disk`].
fn has_disk() -> bool {
    let systems = fs::read_to_string("/proc/filesystems").expect("readable");
    systems.lines().any(|line| line.trim() == "ext4")
        && MODULES.iter().all(|module| Path::new("/lib/modules").join(format!("{module}.ko")).exists())
}

pub(crate) fn tests(tests: &mut Tests) {
    let name = "io.cost slows down a guest as it slows down a process";
    if has_disk() {
        tests.add(name, || {
            let disk = Disk::new();
            assert!((0..ATTEMPTS).any(|_| reads_as_much_as_a_process(&disk)));
        });
    } else {
        tests.skip(name, "this kernel has no null_blk or no ext4");
    }
}
