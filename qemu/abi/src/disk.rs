// SPDX-License-Identifier: GPL-2.0

//! Disk in memory (null_blk) with an ext4 file system of directories.

use crate::directories::Folder;
use std::{
    ffi::OsStr,
    fs::{
        self,
        File, //
    },
    os::unix::{
        ffi::OsStrExt as _,
        fs::{
            FileExt as _,
            OpenOptionsExt as _, //
        },
    },
    path::{
        Path,
        PathBuf, //
    },
    process::Command,
    thread,
    time::Duration, //
};

/// Modules in the order of their dependencies.
const MODULES: [&str; 2] = ["configfs", "null_blk"];

/// File system by which null_blk is configured.
const CONFIGFS: &str = "/sys/kernel/config";

/// The disk's folder in configfs, and its device.
const CONFIGURATION: &str = "/sys/kernel/config/nullb/kwasmi-disk";
const DEVICE: &str = "/dev/kwasmi-disk";

/// Settings of the disk. The size is in MiB. Mode 2 ends each request by a timer, after the time
/// to completion.
const SETTINGS: [(&str, &str); 5] =
    [("size", "64"), ("memory_backed", "1"), ("irqmode", "2"), ("completion_nsec", "100000"), ("power", "1")];

/// Path of a file that does not exist in directory `n`. To find that out, the kernel reads the
/// directory's block, and its inode if that is not cached.
pub(crate) fn path(n: u32) -> [u8; 6] {
    let letter = |at: u32| b'a' + u8::try_from(n >> (4 * at) & 15).expect("four bits");
    [letter(0), letter(1), letter(2), letter(3), b'/', b'x']
}

/// Runs a command, which must succeed.
fn command(words: &[&str]) {
    let [program, arguments @ ..] = words else { panic!("no command") };
    let output = Command::new(program).args(arguments).output().expect("the program is there");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Returns the path of a module's file, in a kernel that has it as a module.
fn file(module: &str) -> PathBuf {
    Path::new("/lib/modules").join(format!("{module}.ko"))
}

/// Loaded modules and mounted configfs, removed when this is dropped.
struct Driver;

impl Driver {
    fn new() -> Self {
        let driver = Self;
        for module in MODULES.map(file).iter().filter(|file| file.exists()) {
            let module = module.to_str().expect("ASCII");
            // configfs ignores the parameter.
            command(&["insmod", module, "nr_devices=0"]);
        }
        command(&["mount", "-t", "configfs", "configfs", CONFIGFS]);
        driver
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(CONFIGFS).status();
        for module in MODULES.iter().rev().filter(|module| file(module).exists()) {
            let _ = Command::new("rmmod").arg(module).status();
        }
    }
}

/// Disk with a file system. It is removed when this is dropped.
pub(crate) struct Disk {
    /// Major and minor number, with a colon between them.
    pub(crate) number: String,
    _driver: Driver,
}

impl Disk {
    /// Returns true if the kernel has the driver and the file system, built in or as modules.
    pub(crate) fn is_possible() -> bool {
        let systems = fs::read_to_string("/proc/filesystems").expect("readable");
        systems.lines().any(|line| line.trim() == "ext4")
            && (MODULES.iter().all(|module| file(module).exists()) || Path::new("/sys/module/null_blk").exists())
    }

    /// Creates a disk whose file system has `directories` directories, each with a block of its
    /// own.
    pub(crate) fn new(directories: u32) -> Self {
        let driver = Driver::new();
        let configuration = Path::new(CONFIGURATION);
        fs::create_dir(configuration).expect("a new disk");
        for (name, value) in SETTINGS {
            fs::write(configuration.join(name), value).expect(name);
        }
        let number = fs::read_to_string("/sys/block/kwasmi-disk/dev").expect("there").trim().to_owned();
        let disk = Self { number, _driver: driver };
        command(&["mke2fs", "-b", "4096", DEVICE]);
        let mount = disk.mount("rw");
        for n in 0..directories {
            let [name @ .., _, _] = path(n);
            fs::create_dir(mount.0.0.join(OsStr::from_bytes(&name))).expect("a new directory");
        }
        drop(mount);
        disk
    }

    /// Mounts the file system with `option`. No part of it is cached afterwards.
    pub(crate) fn mount(&self, option: &str) -> Mount {
        let folder = Folder::new("disk");
        let target = folder.0.to_str().expect("ASCII");
        // ext4 reads neighbours of an inode ahead, for which the task waits in the read.
        let options = format!("inode_readahead_blks=0,{option}");
        command(&["mount", "-t", "ext4", "-o", &options, DEVICE, target]);
        Mount(folder)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_dir(CONFIGURATION);
    }
}

/// Mounted file system, unmounted when this is dropped.
pub(crate) struct Mount(pub(crate) Folder);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0.0).status();
    }
}

/// Block of the disk, aligned as O_DIRECT requires.
#[repr(align(4096))]
struct Block([u8; 4096]);

/// Reads one block of the disk after each `pause`, forever. The reads are not for metadata.
pub(crate) fn read_data(pause: Duration) -> ! {
    let disk = File::options().read(true).custom_flags(libc::O_DIRECT).open(DEVICE).expect("a disk");
    let mut block = Box::new(Block([0; 4096]));
    loop {
        disk.read_exact_at(&mut block.0, 0).expect("a block");
        thread::sleep(pause);
    }
}
