// SPDX-License-Identifier: GPL-2.0

//! Tests of preopens: which files a guest reaches from one, even under concurrent renames, and with
//! whose credentials.

use crate::{
    kernel::{
        address,
        grant,
        limit,
        module,
        run,
        start_with,
        start_with_fds, //
    },
    ktap::Tests,
};
use kwasmi::uapi::{
    self,
    kwasmi_fd,
    kwasmi_limit,
    kwasmi_run,
    kwasmi_start, //
};
use std::{
    ffi::{
        CStr,
        CString, //
    },
    fs::{
        self,
        File, //
    },
    os::{
        fd::{
            AsRawFd,
            OwnedFd, //
        },
        unix::{
            ffi::OsStrExt as _,
            fs::{
                OpenOptionsExt as _,
                PermissionsExt as _,
                chown,
                symlink, //
            },
        },
    },
    path::{
        Path,
        PathBuf, //
    },
    sync::atomic::{
        AtomicBool,
        Ordering, //
    },
    thread,
};

/// Guest descriptor of the preopen.
const DIRECTORY: u32 = 3;

/// Values of preview 1 `errno`.
const ACCES: u32 = 2;
const NOTCAPABLE: u32 = 76;
const NOTSUP: u32 = 58;

/// Folder for one test, removed when this is dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = PathBuf::from("/tmp").join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a new folder");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    fn make(&self, name: &str) {
        fs::create_dir(self.path(name)).expect("a new folder");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns a module that runs `body` with `path_open`, `fd_read` and `fd_close`. The `len` bytes of
/// the path are at address 1024, the opened descriptor is stored at 0, and `$open` opens the path
/// for reading and follows a symbolic link in its last component.
fn program(path: &str, body: &str) -> OwnedFd {
    module(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "path_open"
                (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "\40\00\00\00\01\00\00\00")
            (data (i32.const 1024) "{path}")
            (func $open (result i32)
                (call $path_open (i32.const {DIRECTORY}) (i32.const 1) (i32.const 1024) (i32.const {len}) (i32.const 0)
                    (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0)))
            (func (export "_start") (local $n i32) (local $opened i32)
                {body}))"#,
        len = path.len(),
    ))
}

/// Body that opens the path once and exits with the errno.
const ONCE: &str = "(call $proc_exit (call $open))";

/// Returns a body that opens the path `tries` times. It traps if what it reads does not begin with
/// an "i", and exits with 1 if no open succeeds.
fn often(tries: u32) -> String {
    format!(
        "(loop $again
            (if (i32.eqz (call $open))
                (then
                    (local.set $opened (i32.const 1))
                    (if (call $fd_read (i32.load (i32.const 0)) (i32.const 16) (i32.const 1) (i32.const 8))
                        (then (call $proc_exit (i32.const 2))))
                    (if (i32.ne (i32.load8_u (i32.const 64)) (i32.const 105)) (then unreachable))
                    (if (call $fd_close (i32.load (i32.const 0))) (then (call $proc_exit (i32.const 3))))))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $n) (i32.const {tries}))))
        (call $proc_exit (i32.eqz (local.get $opened)))"
    )
}

/// POSIX message queue, removed when this is dropped.
struct Queue(libc::mqd_t);

impl Queue {
    const NAME: &CStr = c"/kwasmi-abi";

    fn new() -> Self {
        let no_attributes = std::ptr::null_mut::<libc::mq_attr>();
        // SAFETY: The name is a NUL-terminated string, and a null pointer selects default
        // attributes.
        let queue = unsafe { libc::mq_open(Self::NAME.as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o600, no_attributes) };
        assert!(queue >= 0, "{}", std::io::Error::last_os_error());
        Self(queue)
    }

    /// Requests notification of this process, without a signal. Returns the error number or 0.
    fn notify(&self) -> i32 {
        // SAFETY: `sigevent` consists of integers and addresses, for which zero is valid.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_NONE;
        // SAFETY: The queue is open, and `event` is a valid `sigevent`.
        match unsafe { libc::mq_notify(self.0, &event) } {
            0 => 0,
            _ => std::io::Error::last_os_error().raw_os_error().unwrap_or(0),
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: The queue is open, and is not used after this.
        unsafe { libc::mq_close(self.0) };
        // SAFETY: The name is a NUL-terminated string.
        unsafe { libc::mq_unlink(Self::NAME.as_ptr()) };
    }
}

/// Starts a program with the directory at `path` as its preopen `/d`.
pub(crate) fn start_in(module: &OwnedFd, path: &Path, rights: u64, limits: &[kwasmi_limit]) -> OwnedFd {
    let directory = File::open(path).expect("a directory");
    let name = b"/d";
    let fd = kwasmi_fd {
        rights,
        rights_inheriting: rights,
        name: address(name),
        name_len: 2,
        ..grant(directory.as_raw_fd(), DIRECTORY)
    };
    let request = kwasmi_start {
        fds: address(&[fd]),
        fds_len: 1,
        limits: address(limits),
        limits_len: u32::try_from(limits.len()).expect("few"),
        ..kwasmi_start::default()
    };
    let (instance, log) = start_with(module, request);
    instance.unwrap_or_else(|errno| panic!("error {errno}: {log}"))
}

pub(crate) const ALL: u64 = (1 << 30) - 1;

pub(crate) fn run_in(module: &OwnedFd, path: &Path) -> kwasmi_run {
    run(&start_in(module, path, ALL, &[])).expect("runs")
}

pub(crate) fn exited(end: &kwasmi_run) -> u32 {
    assert_eq!(end.status, uapi::KWASMI_EXITED, "code {}", end.code);
    end.code
}

/// Swaps two paths by `renameat2(2)` with `RENAME_EXCHANGE`.
fn exchange(a: &Path, b: &Path) {
    let [a, b] = [a, b].map(|path| CString::new(path.as_os_str().as_bytes()).expect("no NUL"));
    // SAFETY: Both paths are NUL-terminated strings.
    let status =
        unsafe { libc::renameat2(libc::AT_FDCWD, a.as_ptr(), libc::AT_FDCWD, b.as_ptr(), libc::RENAME_EXCHANGE) };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
}

/// Runs `instance` while another thread calls `change` in a loop. Returns how the guest ended, and
/// the number of calls.
fn while_changing(instance: &OwnedFd, change: impl Fn() + Sync) -> (kwasmi_run, u64) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let changer = scope.spawn(|| {
            let mut changes = 0;
            while !is_over.load(Ordering::Relaxed) {
                change();
                changes += 1;
            }
            changes
        });
        let end = run(instance).expect("runs");
        is_over.store(true, Ordering::Relaxed);
        (end, changer.join().expect("changes without a failure"))
    })
}

/// Returns the number of attempts of a race.
fn tries() -> u32 {
    crate::scale::iterations(1_000_000)
}

/// Runs `then` in a child process as user and group `id`, which exits with its result. Returns the
/// exit status, or 99 if the child could not change its user.
pub(crate) fn as_user(id: u32, then: impl FnOnce() -> i32) -> i32 {
    // SAFETY: The child only makes system calls, takes no lock of another thread, and leaves by
    // `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: `setgid` has no memory requirements.
        let group = unsafe { libc::setgid(id) };
        // SAFETY: `setuid` has no memory requirements.
        let user = unsafe { libc::setuid(id) };
        let dropped = (group, user) == (0, 0);
        let status = if dropped { then() } else { 99 };
        // SAFETY: `_exit` has no requirements.
        unsafe { libc::_exit(status) };
    }
    let mut status = 0;
    // SAFETY: `status` is writable.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status), "status {status:#x}");
    libc::WEXITSTATUS(status)
}

fn exit_status(instance: &OwnedFd) -> i32 {
    run(instance).map_or(98, |end| i32::try_from(end.code).unwrap_or(97))
}

const NOBODY: u32 = 65534;

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("invalid names of preopens are refused", names_are_checked);
    tests.add("paths that lead out of a preopen, by .. or links, are perm", || {
        let folder = Folder::new("out");
        folder.make("d");
        folder.make("d/sub");
        folder.write("secret", "outside");
        symlink("../secret", folder.path("d/link")).expect("a link");
        symlink("/tmp/out/secret", folder.path("d/absolute")).expect("a link");
        symlink("/proc/self/root", folder.path("d/root")).expect("a link");
        for path in
            ["../secret", "sub/../../secret", "link", "absolute", "root/etc/passwd", "/tmp/out/secret", "sub/../.."]
        {
            let module = program(path, ONCE);
            assert_eq!(exited(&run_in(&module, &folder.path("d"))), 63, "{path}");
        }
    });
    tests.add("magic links of procfs are perm", || {
        for path in ["self/root/etc/passwd", "self/cwd/etc", "self/fd/0", "self/exe"] {
            let module = program(path, ONCE);
            assert_eq!(exited(&run_in(&module, Path::new("/proc"))), 63, "{path}");
        }
    });
    tests.add("path_open of a device is perm", || {
        for path in ["null", "kwasmi", "zero"] {
            assert_eq!(exited(&run_in(&program(path, ONCE), Path::new("/dev"))), 63, "{path}");
        }
    });
    tests.add("file systems mounted below a preopen are reachable", || {
        assert_eq!(exited(&run_in(&program("self/status", ONCE), Path::new("/proc"))), 0);
        assert_eq!(exited(&run_in(&program("proc/version", ONCE), Path::new("/"))), 0);
    });
    tests.add("files of procfs can be read, or are notsup", || {
        let twice = "(if (call $open) (then (call $proc_exit (i32.const 200))))
            (local.set $n (call $fd_read (i32.load (i32.const 0)) (i32.const 16) (i32.const 1) (i32.const 8)))
            (if (local.get $n) (then (call $proc_exit (local.get $n))))
            (drop (call $fd_read (i32.load (i32.const 0)) (i32.const 16) (i32.const 1) (i32.const 8)))
            (call $proc_exit (i32.load8_u (i32.const 64)))";
        let read = |path| exited(&run_in(&program(path, twice), Path::new("/proc")));
        // The second letters of "Name:", "Limit", "Linux" and "MemTotal:".
        for (path, letter) in [("self/status", b'a'), ("self/limits", b'i'), ("version", b'i'), ("meminfo", b'e')] {
            assert_eq!(read(path), u32::from(letter), "{path}");
        }
        for path in ["self/cmdline", "self/environ", "self/mem"] {
            assert_eq!(read(path), NOTSUP, "{path}");
        }
    });
    tests.add("files that a guest leaves open are flushed when it ends", || {
        // The kernel removes a queue's notification when the process closes (flushes) any
        // descriptor of the queue.
        let folder = Folder::new("queues");
        let path = CString::new(folder.0.as_os_str().as_bytes()).expect("no NUL");
        let queue = Queue::new();
        // SAFETY: All names are NUL-terminated strings, and mqueue takes no data.
        let mounted = unsafe { libc::mount(c"none".as_ptr(), path.as_ptr(), c"mqueue".as_ptr(), 0, std::ptr::null()) };
        assert_eq!(mounted, 0);
        assert_eq!((queue.notify(), queue.notify()), (0, libc::EBUSY));
        assert_eq!(exited(&run_in(&program("kwasmi-abi", ONCE), &folder.0)), 0);
        assert_eq!((queue.notify(), queue.notify()), (0, libc::EBUSY), "a file that the guest has opened");
        let module = module(r#"(module (func (export "_start")))"#);
        let instance = start_with_fds(&module, &[grant(queue.0, 0)]);
        assert_eq!(queue.notify(), libc::EBUSY);
        assert_eq!(exited(&run(&instance).expect("runs")), 0);
        assert_eq!(queue.notify(), 0, "a descriptor that it was handed");
        drop(queue);
        // SAFETY: The path is a NUL-terminated string.
        assert_eq!(unsafe { libc::umount(path.as_ptr()) }, 0);
    });
    tests.add("swapping a directory with a link does not lead out of the preopen", || {
        let folder = Folder::new("swap");
        folder.make("d");
        folder.make("d/x");
        folder.make("outside");
        folder.write("d/x/f", "inside");
        folder.write("outside/f", "outside");
        symlink("/tmp/swap/outside", folder.path("d/y")).expect("a link");
        let (x, y) = (folder.path("d/x"), folder.path("d/y"));
        let module = program("x/f", &often(tries()));
        let instance = start_in(&module, &folder.path("d"), ALL, &[]);
        let (end, swaps) = while_changing(&instance, || exchange(&x, &y));
        assert_eq!(exited(&end), 0, "after {swaps} swaps");
        println!("# {} tries, {swaps} swaps", tries());
    });
    tests.add("moving a directory away during a lookup does not lead out of the preopen", || {
        let folder = Folder::new("move");
        for name in ["d", "d/a", "d/a/b", "elsewhere", "elsewhere/b"] {
            folder.make(name);
        }
        folder.write("d/a/f", "inside");
        folder.write("elsewhere/f", "outside");
        let (here, there) = (folder.path("d/a/b"), folder.path("elsewhere/b"));
        let module = program("a/b/../f", &often(tries() / 4));
        let instance = start_in(&module, &folder.path("d"), ALL, &[]);
        let (end, swaps) = while_changing(&instance, || exchange(&here, &there));
        assert_eq!(exited(&end), 0, "after {swaps} swaps");
    });
    tests.add("a guest has the credentials of the process that started it, not of the one that runs it", credentials);
    tests
        .add("a file of another user in a sticky directory is opened for creation as open(2) does", sticky_directories);
    tests.add("path_open without the preopen's rights is notcapable", || {
        let folder = Folder::new("rights");
        folder.write("f", "text");
        let module = program("f", ONCE);
        let run_with = |rights| exited(&run(&start_in(&module, &folder.0, rights, &[])).expect("runs"));
        assert_eq!(run_with(ALL), 0);
        // Without `path_open`, and without `fd_read`.
        assert_eq!(run_with(ALL & !(1 << 13)), NOTCAPABLE);
        assert_eq!(run_with(ALL & !(1 << 1)), NOTCAPABLE);
    });
    tests.add("a guest that reaches the limit of open descriptors is ended", || {
        let folder = Folder::new("many");
        folder.write("f", "text");
        let body = "(loop $again (drop (call $open)) (br $again))";
        let module = program("f", body);
        let limits = [limit(uapi::KWASMI_LIMIT_FDS, 10)];
        let end = run(&start_in(&module, &folder.0, ALL, &limits)).expect("runs");
        assert_eq!((end.status, end.code, end.limit_value), (uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_FDS, 10));
    });
    tests.add("by default a guest has at most 1,024 descriptors, all closed when it ends", || {
        let folder = Folder::new("most");
        folder.write("f", "text");
        let body = "(loop $again (drop (call $open)) (br $again))";
        let end = run_in(&program("f", body), &folder.0);
        assert_eq!((end.status, end.code, end.limit_value), (uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_FDS, 1024));
    });
}

/// Changed values of `fs.protected_regular` and `fs.protected_fifos`, restored when this is
/// dropped.
struct Protected([(String, String); 2]);

impl Protected {
    fn set(value: &str) -> Self {
        Self(["regular", "fifos"].map(|name| {
            let path = format!("/proc/sys/fs/protected_{name}");
            let before = fs::read_to_string(&path).expect("readable");
            fs::write(&path, value).expect("root may");
            (path, before)
        }))
    }
}

impl Drop for Protected {
    fn drop(&mut self) {
        for (path, before) in &self.0 {
            let _ = fs::write(path, before);
        }
    }
}

/// Calls `open(2)` with `O_CREAT` for reading and writing. Returns the error number or 0.
fn create(path: &Path) -> i32 {
    let opened = File::options().read(true).write(true).create(true).custom_flags(libc::O_NONBLOCK).open(path);
    opened.map_or_else(|error| error.raw_os_error().expect("one of the kernel's"), |_| 0)
}

/// Converts an error number to preview 1 `errno`. Panics if it is not 0 or EACCES.
fn errno(linux: i32) -> u32 {
    match linux {
        0 => 0,
        libc::EACCES => ACCES,
        other => panic!("error {other}"),
    }
}

fn sticky_directories() {
    // Modes of the directory; pairs of the owners of directory and file. The guest's user, 0, owns
    // none, one or both.
    let modes = [0o777, 0o1777, 0o1775, 0o1770, 0o1757, 0o1755, 0o3777];
    let owners = [(0, 0), (0, 1000), (1000, 1000), (1000, 0), (1000, 1001), (1001, 1000)];
    // `oflags` creat, `fdflags` nonblock, rights `fd_read` and `fd_write`.
    let open =
        "(call $proc_exit (call $path_open (i32.const 3) (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 1)
        (i64.const 66) (i64.const 0) (i32.const 4) (i32.const 0)))";
    let module = program("f", open);
    let without = program("f", ONCE);
    // The strictest value. The guest is always checked as strictly, whatever the values are.
    let protected = Protected::set("2");
    let mut refused = 0;
    for is_fifo in [false, true] {
        for mode in modes {
            for (directory, file) in owners {
                let folder = Folder::new("sticky");
                let path = folder.path("f");
                if is_fifo {
                    let name = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
                    // SAFETY: The name is a NUL-terminated string.
                    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o666) }, 0);
                } else {
                    fs::write(&path, "text").expect("written");
                }
                fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("changed");
                chown(&path, Some(file), Some(file)).expect("root may");
                chown(&folder.0, Some(directory), Some(directory)).expect("root may");
                fs::set_permissions(&folder.0, fs::Permissions::from_mode(mode)).expect("changed");
                let process = errno(create(&path));
                let guest = exited(&run_in(&module, &folder.0));
                assert_eq!(guest, process, "mode {mode:o}, directory of {directory}, file of {file}, FIFO: {is_fifo}");
                refused += u32::from(guest != 0);
                assert!(is_fifo || exited(&run_in(&without, &folder.0)) == 0);
                fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).expect("changed");
            }
        }
    }
    drop(protected);
    assert!(refused >= 10, "{refused}");
}

fn names_are_checked() {
    let module = program("f", ONCE);
    let directory = File::open("/tmp").expect("there");
    let file = File::open("/proc/version").expect("there");
    let long = vec![b'a'; 4097];
    let fd = |file: &File, name: &[u8]| kwasmi_fd {
        name: address(name),
        name_len: u32::try_from(name.len()).expect("short"),
        ..grant(file.as_raw_fd(), DIRECTORY)
    };
    let refused = |fds: &[kwasmi_fd], errno| {
        let request = kwasmi_start {
            fds: address(fds),
            fds_len: u32::try_from(fds.len()).expect("few"),
            ..kwasmi_start::default()
        };
        assert_eq!(start_with(&module, request).0.map(drop), Err(errno));
    };
    refused(&[fd(&directory, b"a\0b")], libc::EINVAL);
    refused(&[fd(&file, b"a")], libc::EINVAL);
    refused(&[fd(&directory, &long)], libc::E2BIG);
    refused(&[kwasmi_fd { name_len: u32::MAX, ..fd(&directory, b"a") }], libc::E2BIG);
    refused(&[kwasmi_fd { name: 8, ..fd(&directory, b"a") }], libc::EFAULT);
    let many: Vec<_> = (3..300).map(|guest_fd| kwasmi_fd { guest_fd, ..fd(&directory, &long[..4095]) }).collect();
    refused(&many, libc::E2BIG);
}

fn credentials() {
    let folder = Folder::new("credentials");
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).expect("changed");
    folder.write("private", "root's");
    fs::set_permissions(folder.path("private"), fs::Permissions::from_mode(0o600)).expect("changed");
    let module = program("private", ONCE);

    // Started by root, run by nobody: root's credentials.
    let instance = start_in(&module, &folder.0, ALL, &[]);
    assert_eq!(as_user(NOBODY, || exit_status(&instance)), 0);
    drop(instance);

    // Started by nobody, run by nobody: the file is not accessible.
    let acces = i32::try_from(ACCES).expect("small");
    assert_eq!(as_user(NOBODY, || exit_status(&start_in(&module, &folder.0, ALL, &[]))), acces);

    // Started by nobody, run by root: the file is not accessible.
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors.
    assert_eq!(unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()) }, 0);
    let path = folder.0.clone();
    let [ours, theirs] = ends;
    let status = as_user(NOBODY, || {
        let instance = start_in(&module, &path, ALL, &[]);
        send_descriptor(theirs, instance.as_raw_fd());
        0
    });
    assert_eq!(status, 0);
    let instance = receive_descriptor(ours);
    for end in ends {
        // SAFETY: `close` has no memory requirements, and no other object owns the descriptors.
        unsafe { libc::close(end) };
    }
    assert_eq!(exit_status(&instance), acces);
}

/// Message of one byte, with room for one descriptor in its control data.
struct Message {
    _byte: Box<[u8; 1]>,
    _vector: Box<libc::iovec>,
    _control: Box<[u64; 8]>,
    header: libc::msghdr,
}

impl Message {
    fn new() -> Self {
        let mut byte = Box::new([0]);
        let mut vector = Box::new(libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 });
        let mut control = Box::new([0_u64; 8]);
        // SAFETY: `msghdr` consists of integers and addresses, for which zero is valid.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut *vector;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        // SAFETY: `CMSG_SPACE` only calculates a size.
        header.msg_controllen = unsafe { libc::CMSG_SPACE(4) } as usize;
        Self { _byte: byte, _vector: vector, _control: control, header }
    }
}

fn send_descriptor(socket: i32, fd: i32) {
    let message = Message::new();
    // SAFETY: `message.header` is valid, with live control data of its length.
    let control = unsafe { libc::CMSG_FIRSTHDR(&raw const message.header) };
    // SAFETY: `CMSG_LEN` only calculates a size.
    let cmsg_len = unsafe { libc::CMSG_LEN(4) } as usize;
    let header = libc::cmsghdr { cmsg_len, cmsg_level: libc::SOL_SOCKET, cmsg_type: libc::SCM_RIGHTS };
    // SAFETY: `control` points to the start of the control data, which has room for a header and is
    // aligned to 8 bytes.
    unsafe { control.write(header) };
    // SAFETY: `control` points to a valid control message header.
    let place = unsafe { libc::CMSG_DATA(control) };
    // SAFETY: The control data has room for one descriptor after the header.
    unsafe { place.cast::<i32>().write_unaligned(fd) };
    // SAFETY: The header refers to live buffers of `message`.
    assert_eq!(unsafe { libc::sendmsg(socket, &raw const message.header, 0) }, 1);
}

fn receive_descriptor(socket: i32) -> OwnedFd {
    let mut message = Message::new();
    // SAFETY: The header refers to live, writable buffers of `message`.
    assert_eq!(unsafe { libc::recvmsg(socket, &raw mut message.header, 0) }, 1);
    // SAFETY: `recvmsg` has set the header's control data and its length.
    let control = unsafe { libc::CMSG_FIRSTHDR(&raw const message.header) };
    assert!(!control.is_null());
    // SAFETY: `control` is not null, so it points to a control message header.
    let place = unsafe { libc::CMSG_DATA(control) };
    // SAFETY: The control message has the one descriptor that the sender has put in.
    let fd = unsafe { place.cast::<i32>().read_unaligned() };
    crate::kernel::owned(Ok(fd)).expect("one")
}
