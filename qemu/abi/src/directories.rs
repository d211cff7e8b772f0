// SPDX-License-Identifier: GPL-2.0

//! Directories: what a guest reaches from one, whoever changes it meanwhile, and with whose rights.

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

/// The guest's number for its directory.
const DIRECTORY: u32 = 3;

/// Preview 1 `errno`.
const ACCES: u32 = 2;
const NOTCAPABLE: u32 = 76;
const NOTSUP: u32 = 58;

/// A folder for one test, gone afterwards.
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

/// A program that does `body` with `path_open`, `fd_read` and `fd_close`, where the path's `len` bytes are at 1024, the
/// opened descriptor goes to 0, and `$open` opens the path for reading, with a symbolic link at its end followed.
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

/// Opens once, and exits with the errno.
const ONCE: &str = "(call $proc_exit (call $open))";

/// Opens `tries` times, and traps if what it reads does not begin with an i; exits with 1 if it never opened anything.
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

/// A message queue.
struct Queue(libc::mqd_t);

impl Queue {
    const NAME: &CStr = c"/kwasmi-abi";

    fn new() -> Self {
        let no_attributes = std::ptr::null_mut::<libc::mq_attr>();
        // SAFETY: The name is a string.
        let queue = unsafe { libc::mq_open(Self::NAME.as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o600, no_attributes) };
        assert!(queue >= 0, "{}", std::io::Error::last_os_error());
        Self(queue)
    }

    /// Has a message notify this process, without a signal; returns the error number.
    fn notify(&self) -> i32 {
        // SAFETY: It is integers and addresses.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_NONE;
        // SAFETY: The queue is open.
        match unsafe { libc::mq_notify(self.0, &event) } {
            0 => 0,
            _ => std::io::Error::last_os_error().raw_os_error().unwrap_or(0),
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: The queue is open.
        unsafe { libc::mq_close(self.0) };
        // SAFETY: The name is a string.
        unsafe { libc::mq_unlink(Self::NAME.as_ptr()) };
    }
}

/// Starts a program with one directory.
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

/// `renameat2(2)` with `RENAME_EXCHANGE`.
fn exchange(a: &Path, b: &Path) {
    let [a, b] = [a, b].map(|path| CString::new(path.as_os_str().as_bytes()).expect("no NUL"));
    // SAFETY: Both are strings.
    let status =
        unsafe { libc::renameat2(libc::AT_FDCWD, a.as_ptr(), libc::AT_FDCWD, b.as_ptr(), libc::RENAME_EXCHANGE) };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
}

/// Runs `guest` while `change` is called again and again; what it exited with, and how often.
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

/// How often a race is run.
fn tries() -> u32 {
    crate::effort::times(1_000_000)
}

/// In a child process as user and group `id`: `exit` with what `then` returns.
pub(crate) fn as_user(id: u32, then: impl FnOnce() -> i32) -> i32 {
    // SAFETY: The child does no more than make calls, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: As above.
        let group = unsafe { libc::setgid(id) };
        // SAFETY: As above.
        let user = unsafe { libc::setuid(id) };
        let dropped = (group, user) == (0, 0);
        let status = if dropped { then() } else { 99 };
        // SAFETY: As above.
        unsafe { libc::_exit(status) };
    }
    let mut status = 0;
    // SAFETY: There is room for the status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status), "status {status:#x}");
    libc::WEXITSTATUS(status)
}

fn exit_status(instance: &OwnedFd) -> i32 {
    run(instance).map_or(98, |end| i32::try_from(end.code).unwrap_or(97))
}

const NOBODY: u32 = 65534;

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("names of directories are checked", names_are_checked);
    tests.add("paths that lead out of a directory are perm, whatever they go through", || {
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
    tests.add("the links of procfs lead nowhere", || {
        for path in ["self/root/etc/passwd", "self/cwd/etc", "self/fd/0", "self/exe"] {
            let module = program(path, ONCE);
            assert_eq!(exited(&run_in(&module, Path::new("/proc"))), 63, "{path}");
        }
    });
    tests.add("devices are not opened by name", || {
        for path in ["null", "kwasmi", "zero"] {
            assert_eq!(exited(&run_in(&program(path, ONCE), Path::new("/dev"))), 63, "{path}");
        }
    });
    tests.add("what is mounted below a directory is part of it", || {
        assert_eq!(exited(&run_in(&program("self/status", ONCE), Path::new("/proc"))), 0);
        assert_eq!(exited(&run_in(&program("proc/version", ONCE), Path::new("/"))), 0);
    });
    tests.add("a file of procfs is read, or is notsup", || {
        let twice = "(if (call $open) (then (call $proc_exit (i32.const 200))))
            (local.set $n (call $fd_read (i32.load (i32.const 0)) (i32.const 16) (i32.const 1) (i32.const 8)))
            (if (local.get $n) (then (call $proc_exit (local.get $n))))
            (drop (call $fd_read (i32.load (i32.const 0)) (i32.const 16) (i32.const 1) (i32.const 8)))
            (call $proc_exit (i32.load8_u (i32.const 64)))";
        let read = |path| exited(&run_in(&program(path, twice), Path::new("/proc")));
        // The second letters of Name:, Limit, Linux and MemTotal:.
        for (path, letter) in [("self/status", b'a'), ("self/limits", b'i'), ("version", b'i'), ("meminfo", b'e')] {
            assert_eq!(read(path), u32::from(letter), "{path}");
        }
        for path in ["self/cmdline", "self/environ", "self/mem"] {
            assert_eq!(read(path), NOTSUP, "{path}");
        }
    });
    tests.add("what a guest leaves open is flushed when it ends", || {
        // The notification of a message queue goes with the first of its descriptors that the process closes.
        let folder = Folder::new("queues");
        let path = CString::new(folder.0.as_os_str().as_bytes()).expect("no NUL");
        let queue = Queue::new();
        // SAFETY: The names are strings.
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
        // SAFETY: The name is a string.
        assert_eq!(unsafe { libc::umount(path.as_ptr()) }, 0);
    });
    tests.add("a directory that is swapped for a link out of it is never left", || {
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
    tests.add("a directory that is moved away under a walk does not lead out", || {
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
    tests.add("a guest acts with the rights of who started it, whoever runs it", credentials);
    tests
        .add("a file of another user in a sticky directory is opened for creation as open(2) does", sticky_directories);
    tests.add("rights that were not handed over are not to be had", || {
        let folder = Folder::new("rights");
        folder.write("f", "text");
        let module = program("f", ONCE);
        let run_with = |rights| exited(&run(&start_in(&module, &folder.0, rights, &[])).expect("runs"));
        assert_eq!(run_with(ALL), 0);
        // Without `path_open`, and without `fd_read`.
        assert_eq!(run_with(ALL & !(1 << 13)), NOTCAPABLE);
        assert_eq!(run_with(ALL & !(1 << 1)), NOTCAPABLE);
    });
    tests.add("a guest that opens more than it may is ended", || {
        let folder = Folder::new("many");
        folder.write("f", "text");
        let body = "(loop $again (drop (call $open)) (br $again))";
        let module = program("f", body);
        let limits = [limit(uapi::KWASMI_LIMIT_FDS, 10)];
        let end = run(&start_in(&module, &folder.0, ALL, &limits)).expect("runs");
        assert_eq!((end.status, end.code, end.limit_value), (uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_FDS, 10));
    });
    tests.add("1,024 descriptors at most, and each is given back", || {
        let folder = Folder::new("most");
        folder.write("f", "text");
        let body = "(loop $again (drop (call $open)) (br $again))";
        let end = run_in(&program("f", body), &folder.0);
        assert_eq!((end.status, end.code, end.limit_value), (uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_FDS, 1024));
    });
}

/// The values of `fs.protected_regular` and `fs.protected_fifos`; they are what they were when this is dropped.
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

/// `open(2)` with `O_CREAT` for reading and writing; the error number, or 0.
fn create(path: &Path) -> i32 {
    let opened = File::options().read(true).write(true).create(true).custom_flags(libc::O_NONBLOCK).open(path);
    opened.map_or_else(|error| error.raw_os_error().expect("one of the kernel's"), |_| 0)
}

/// Preview 1 `errno` of an error number that may come here.
fn errno(linux: i32) -> u32 {
    match linux {
        0 => 0,
        libc::EACCES => ACCES,
        other => panic!("error {other}"),
    }
}

fn sticky_directories() {
    // Modes of the directory, its owner, and the owner of the file, of which the guest is neither or one.
    let modes = [0o777, 0o1777, 0o1775, 0o1770, 0o1757, 0o1755, 0o3777];
    let owners = [(0, 0), (0, 1000), (1000, 1000), (1000, 0), (1000, 1001), (1001, 1000)];
    // Flags: `creat`; fdflags: `nonblock`; rights: `fd_read` and `fd_write`.
    let open =
        "(call $proc_exit (call $path_open (i32.const 3) (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 1)
        (i64.const 66) (i64.const 0) (i32.const 4) (i32.const 0)))";
    let module = program("f", open);
    let without = program("f", ONCE);
    // The strictest: the guest is refused no less, whatever the values are.
    let protected = Protected::set("2");
    let mut refused = 0;
    for is_fifo in [false, true] {
        for mode in modes {
            for (directory, file) in owners {
                let folder = Folder::new("sticky");
                let path = folder.path("f");
                if is_fifo {
                    let name = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
                    // SAFETY: It is a string.
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

    // Started by root, run by nobody: what was handed over is handed over.
    let instance = start_in(&module, &folder.0, ALL, &[]);
    assert_eq!(as_user(NOBODY, || exit_status(&instance)), 0);
    drop(instance);

    // Started by nobody, run by nobody: it is not its file.
    let acces = i32::try_from(ACCES).expect("small");
    assert_eq!(as_user(NOBODY, || exit_status(&start_in(&module, &folder.0, ALL, &[]))), acces);

    // Started by nobody, run by root: neither is it now.
    let mut ends = [0; 2];
    // SAFETY: There is room for two.
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
        // SAFETY: They are this test's.
        unsafe { libc::close(end) };
    }
    assert_eq!(exit_status(&instance), acces);
}

/// A message of one byte, with room for a descriptor.
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
        // SAFETY: All of it zero is a value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut *vector;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        // SAFETY: It only calculates.
        header.msg_controllen = unsafe { libc::CMSG_SPACE(4) } as usize;
        Self { _byte: byte, _vector: vector, _control: control, header }
    }
}

fn send_descriptor(socket: i32, fd: i32) {
    let message = Message::new();
    // SAFETY: The header has room for control data.
    let control = unsafe { libc::CMSG_FIRSTHDR(&raw const message.header) };
    // SAFETY: It only calculates.
    let cmsg_len = unsafe { libc::CMSG_LEN(4) } as usize;
    let header = libc::cmsghdr { cmsg_len, cmsg_level: libc::SOL_SOCKET, cmsg_type: libc::SCM_RIGHTS };
    // SAFETY: There is room for it.
    unsafe { control.write(header) };
    // SAFETY: It only calculates.
    let place = unsafe { libc::CMSG_DATA(control) };
    // SAFETY: There is room for a descriptor.
    unsafe { place.cast::<i32>().write_unaligned(fd) };
    // SAFETY: The message is set up.
    assert_eq!(unsafe { libc::sendmsg(socket, &raw const message.header, 0) }, 1);
}

fn receive_descriptor(socket: i32) -> OwnedFd {
    let mut message = Message::new();
    // SAFETY: The message is set up.
    assert_eq!(unsafe { libc::recvmsg(socket, &raw mut message.header, 0) }, 1);
    // SAFETY: The kernel has filled it in.
    let control = unsafe { libc::CMSG_FIRSTHDR(&raw const message.header) };
    assert!(!control.is_null());
    // SAFETY: It only calculates.
    let place = unsafe { libc::CMSG_DATA(control) };
    // SAFETY: It is the one descriptor that was sent.
    let fd = unsafe { place.cast::<i32>().read_unaligned() };
    crate::kernel::owned(Ok(fd)).expect("one")
}
