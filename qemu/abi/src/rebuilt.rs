// SPDX-License-Identifier: GPL-2.0

//! Tests of access checks that system calls make, and that kwasmi makes itself because the kernel
//! does not export them: a guest is refused where a process is (`docs/wasi.md`, "Functions that the
//! kernel does not export").

use crate::{
    directories::{
        ALL,
        Folder,
        as_user,
        exited,
        start_in, //
    },
    kernel::{
        module,
        run, //
    },
    ktap::Tests,
    task::Child, //
};
use std::{
    fs::{
        self,
        File, //
    },
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{
            PermissionsExt as _,
            chown,
            symlink, //
        },
    },
    path::Path, //
};

/// Operation of a guest, and the same of a process, in a folder that contains an empty directory
/// `d` and a file `f`, and no `n`.
struct Operation {
    name: &'static str,
    /// Call of the guest, in text format.
    guest: &'static str,
    process: fn(&Path) -> io::Result<()>,
}

const OPERATIONS: [Operation; 9] = [
    Operation {
        name: "rmdir",
        guest: "(call $rmdir (i32.const 3) (i32.const 1024) (i32.const 1))",
        process: |folder| fs::remove_dir(folder.join("d")),
    },
    Operation {
        name: "unlink",
        guest: "(call $unlink (i32.const 3) (i32.const 1025) (i32.const 1))",
        process: |folder| fs::remove_file(folder.join("f")),
    },
    Operation {
        name: "mkdir",
        guest: "(call $mkdir (i32.const 3) (i32.const 1026) (i32.const 1))",
        process: |folder| fs::create_dir(folder.join("n")),
    },
    Operation {
        name: "create",
        // `oflags` creat, rights `fd_write`.
        guest: "(call $open (i32.const 3) (i32.const 0) (i32.const 1026) (i32.const 1) (i32.const 1) (i64.const 0x40)
            (i64.const 0) (i32.const 0) (i32.const 64))",
        process: |folder| File::create(folder.join("n")).map(drop),
    },
    Operation {
        name: "truncate",
        // `oflags` trunc, rights `fd_write`.
        guest: "(call $open (i32.const 3) (i32.const 0) (i32.const 1025) (i32.const 1) (i32.const 8) (i64.const 0x40)
            (i64.const 0) (i32.const 0) (i32.const 64))",
        process: |folder| File::options().write(true).truncate(true).open(folder.join("f")).map(drop),
    },
    Operation {
        name: "symlink",
        guest: "(call $symlink (i32.const 1025) (i32.const 1) (i32.const 3) (i32.const 1026) (i32.const 1))",
        process: |folder| symlink("f", folder.join("n")),
    },
    Operation {
        name: "link",
        guest: "(call $link (i32.const 3) (i32.const 0) (i32.const 1025) (i32.const 1)
            (i32.const 3) (i32.const 1026) (i32.const 1))",
        process: |folder| fs::hard_link(folder.join("f"), folder.join("n")),
    },
    Operation {
        name: "rename of a file",
        guest: "(call $rename (i32.const 3) (i32.const 1025) (i32.const 1) (i32.const 3) (i32.const 1026) (i32.const 1))",
        process: |folder| fs::rename(folder.join("f"), folder.join("n")),
    },
    Operation {
        name: "rename of a directory",
        guest: "(call $rename (i32.const 3) (i32.const 1024) (i32.const 1) (i32.const 3) (i32.const 1026) (i32.const 1))",
        process: |folder| fs::rename(folder.join("d"), folder.join("n")),
    },
];

impl Operation {
    /// Returns a module that exits with the errno of the call.
    fn program(&self) -> OwnedFd {
        module(&format!(
            r#"(module
                (import "wasi_snapshot_preview1" "path_remove_directory" (func $rmdir (param i32 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "path_open"
                    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "path_link"
                    (func $link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (data (i32.const 1024) "dfn")
                (func (export "_start") (call $exit {})))"#,
            self.guest
        ))
    }

    /// Does the operation in this process. Returns the result as preview 1 `errno`.
    fn process(&self, folder: &Path) -> u32 {
        match (self.process)(folder).err().map(|error| error.raw_os_error().expect("one of the kernel's")) {
            None => 0,
            Some(libc::EACCES) => 2,
            Some(libc::EPERM) => 63,
            Some(libc::EXDEV) => 75,
            Some(other) => panic!("{}: error {other}", self.name),
        }
    }
}

/// Makes the folder for the operations.
fn folder() -> Folder {
    let folder = Folder::new("rebuilt");
    fs::create_dir(folder.path("d")).expect("a new folder");
    fs::write(folder.path("f"), "text").expect("written");
    folder
}

/// Restricts the current process by Landlock. `access` is one of `LANDLOCK_ACCESS_FS_*`,
/// include/uapi/linux/landlock.h.
fn give_up(access: u64) {
    // `struct landlock_ruleset_attr`: file system, network, scopes.
    let attributes = [access, 0, 0];
    // SAFETY: `attributes` is readable and has at least the 8 bytes that are passed as its size.
    let ruleset = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attributes.as_ptr(), 8, 0) };
    assert!(ruleset >= 0, "{}", io::Error::last_os_error());
    // SAFETY: This system call has no memory requirements.
    assert_eq!(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) }, 0);
}

/// Bit numbers of `LANDLOCK_ACCESS_FS_*`: REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG, MAKE_SYM,
/// REFER, TRUNCATE.
const ACCESSES: [u32; 7] = [4, 5, 7, 8, 12, 13, 14];

/// Checks that a guest is refused whatever a process is. It is also refused some more, since the
/// exported hooks that kwasmi calls instead of others require more rights.
fn landlock() {
    let (mut refused, mut refused_more) = (0, 0);
    for operation in &OPERATIONS {
        let module = operation.program();
        for access in ACCESSES {
            let end = |work: &dyn Fn(&Path) -> u32| {
                let folder = folder();
                let child = Child::start(|| {
                    give_up(1 << access);
                    u8::try_from(work(&folder.0)).expect("small")
                });
                child.wait()
            };
            let guest = end(&|folder| exited(&run(&start_in(&module, folder, ALL, &[])).expect("runs")));
            let process = end(&|folder| operation.process(folder));
            assert!(process == 0 || guest == process, "{} without access {access}: {guest}, {process}", operation.name);
            refused += u32::from(process != 0);
            refused_more += u32::from(guest != process);
        }
    }
    println!("# {refused} of {} refused, and {refused_more} more", OPERATIONS.len() * ACCESSES.len());
    assert!(refused >= 9);
}

/// Value 1 of `fs.protected_hardlinks`; the former value is restored when this is dropped.
struct ProtectedLinks(String);

const PROTECTED_LINKS: &str = "/proc/sys/fs/protected_hardlinks";

impl ProtectedLinks {
    fn set() -> Self {
        let before = fs::read_to_string(PROTECTED_LINKS).expect("readable");
        fs::write(PROTECTED_LINKS, "1").expect("root may");
        Self(before)
    }
}

impl Drop for ProtectedLinks {
    fn drop(&mut self) {
        let _ = fs::write(PROTECTED_LINKS, &self.0);
    }
}

fn hard_links() {
    const USER: u32 = 1000;
    let link = OPERATIONS.iter().find(|operation| operation.name == "link").expect("there");
    let module = link.program();
    let protected = ProtectedLinks::set();
    let mut refused = 0;
    for owner in [0, USER] {
        for mode in [0o644, 0o666, 0o4666, 0o2676, 0o2666, 0o600] {
            let end = |work: &dyn Fn(&Path) -> u32| {
                let folder = folder();
                fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o777)).expect("changed");
                chown(folder.path("f"), Some(owner), Some(owner)).expect("root may");
                fs::set_permissions(folder.path("f"), fs::Permissions::from_mode(mode)).expect("changed");
                as_user(USER, || i32::try_from(work(&folder.0)).expect("small"))
            };
            let guest = end(&|folder| exited(&run(&start_in(&module, folder, ALL, &[])).expect("runs")));
            let process = end(&|folder| link.process(folder));
            assert_eq!(guest, process, "owner {owner}, mode {mode:o}");
            refused += u32::from(process != 0);
        }
    }
    drop(protected);
    assert!((2..=10).contains(&refused), "{refused}");
}

pub(crate) fn tests(tests: &mut Tests) {
    if has_landlock() {
        tests.add("Landlock restricts a guest as it restricts a process", landlock);
    } else {
        tests.skip("Landlock restricts a guest as it restricts a process", "the kernel has no Landlock");
    }
    tests.add("hard links to other users' files are checked as by link(2)", hard_links);
}

/// Returns true if the kernel has Landlock, by asking for the version of its interface.
fn has_landlock() -> bool {
    // SAFETY: With LANDLOCK_CREATE_RULESET_VERSION, 1, the attributes must be null and the size 0.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u64>(), 0, 1) > 0 }
}
