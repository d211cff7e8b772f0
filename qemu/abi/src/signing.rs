// SPDX-License-Identifier: GPL-2.0

//! Tests of signed modules, with the module parameter `verify=enforce` (see `docs/signing.md`).

use crate::{
    kernel::{
        address,
        call,
        device,
        grant,
        limit,
        limited,
        load,
        owned,
        run,
        start,
        start_with, //
    },
    ktap::Tests,
    scale,
};
use kwasmi::uapi::{
    self,
    kwasmi_deny,
    kwasmi_list_policy,
    kwasmi_min_version,
    kwasmi_module,
    kwasmi_policy,
    kwasmi_run,
    kwasmi_start, //
};
use std::{
    ffi::c_char,
    fs,
    fs::File,
    os::{
        fd::{
            AsRawFd as _,
            OwnedFd,
            RawFd, //
        },
        unix::net::UnixListener, //
    },
    sync::atomic::{
        AtomicBool,
        AtomicU8,
        Ordering, //
    },
    thread,
};

/// Folder of the signed and wrongly signed modules, made by guests/signing/build.
const MODULES: &str = "/guests/signing";

pub(crate) fn module_file(name: &str) -> Vec<u8> {
    let path = format!("{MODULES}/{name}.wasm");
    fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Loads a module that must be accepted.
pub(crate) fn accepted(name: &str) -> OwnedFd {
    let (module, log) = load(&module_file(name));
    module.unwrap_or_else(|errno| panic!("{name}: error {errno}: {log}"))
}

/// Runs a program that exits. Returns its exit status.
pub(crate) fn exit_status(module: &OwnedFd) -> u32 {
    let end = run(&start(module)).expect("it runs");
    assert_eq!(end.status, uapi::KWASMI_EXITED);
    end.code
}

/// Returns the answer of KWASMI_IOC_MODULE.
pub(crate) fn identity(module: &OwnedFd) -> kwasmi_module {
    let mut identity = kwasmi_module::default();
    assert_eq!(call(module, uapi::IOC_MODULE, &mut identity), Ok(0));
    identity
}

fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|char| char.cast_unsigned()).take_while(|byte| *byte != 0).collect();
    String::from_utf8(bytes).expect("UTF-8")
}

fn policy() -> kwasmi_policy {
    let mut policy = kwasmi_policy::default();
    assert_eq!(call(&device(), uapi::IOC_POLICY, &mut policy), Ok(0));
    policy
}

/// Runs an instance. Returns the answer and the text of the log.
fn run_with_log(instance: &OwnedFd) -> (Result<i32, i32>, String) {
    let mut text = vec![0_u8; 4096];
    let log = text.as_mut_ptr().expose_provenance() as u64;
    let mut request = kwasmi_run { log, log_size: 4096, ..kwasmi_run::default() };
    let answer = call(instance, uapi::IOC_RUN, &mut request);
    text.truncate(request.log_len as usize);
    (answer, String::from_utf8(text).expect("UTF-8"))
}

pub(crate) fn deny(sha256: [u8; 32]) -> Result<i32, i32> {
    call(&device(), uapi::IOC_DENY, &mut kwasmi_deny { sha256 })
}

/// Sets the minimum version of modules with this name, which may be invalid.
pub(crate) fn set_min_version(name: &[u8], version: [u32; 3]) -> Result<i32, i32> {
    let mut request = kwasmi_min_version { version, ..kwasmi_min_version::default() };
    for (place, byte) in request.name.iter_mut().zip(name) {
        *place = byte.cast_signed();
    }
    call(&device(), uapi::IOC_SET_MIN_VERSION, &mut request)
}

/// Returns at most `room` entries of a policy list, and the number of all entries.
fn list<T: Clone + Default>(command: u32, room: usize) -> (Vec<T>, usize) {
    let mut entries = vec![T::default(); room];
    let mut request = kwasmi_list_policy {
        entries: entries.as_mut_ptr().expose_provenance() as u64,
        entries_len: u32::try_from(room).expect("few"),
        reserved: 0,
    };
    assert_eq!(call(&device(), command, &mut request), Ok(0));
    let there = request.entries_len as usize;
    entries.truncate(there);
    (entries, there)
}

/// Checks that each change of one byte of a signed module is refused: in its header, code, manifest
/// and signature.
fn every_byte() {
    let file = module_file("manifest");
    println!("# {} bytes", file.len());
    assert_eq!(exit_status(&accepted("manifest")), 42);
    for at in 0..file.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = file.clone();
            changed[at] ^= change;
            let (answer, log) = load(&changed);
            let errno = answer.err().unwrap_or_else(|| panic!("byte {at} ^ {change:#x} is accepted"));
            assert!([libc::EKEYREJECTED, libc::ENOKEY].contains(&errno), "byte {at} ^ {change:#x}: {errno} {log}");
            assert!(!log.is_empty(), "byte {at}: not a word");
        }
    }
    for len in 0..file.len() {
        let (answer, log) = load(&file[..len]);
        assert_eq!(answer.err(), Some(libc::EKEYREJECTED), "{len} bytes: {log}");
    }
}

/// Another thread changes the program during LOAD: if it is accepted, the code is what was signed.
fn changing_bytes() {
    let file = module_file("manifest");
    // Offset of the operand of `i32.const 42` in front of a call.
    let at = file.windows(3).position(|code| code == [0x41, 42, 0x10]).expect("the program") + 1;
    let shared: Vec<AtomicU8> = file.iter().map(|byte| AtomicU8::new(*byte)).collect();
    let changes = scale::iterations(1_000_000);
    let is_over = AtomicBool::new(false);
    let (mut loaded, mut refused) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..changes {
                shared[at].store(43, Ordering::Relaxed);
                shared[at].store(42, Ordering::Relaxed);
            }
            is_over.store(true, Ordering::Relaxed);
        });
        while !is_over.load(Ordering::Relaxed) || loaded == 0 {
            let mut request = uapi::kwasmi_load {
                wasm: shared.as_ptr().expose_provenance() as u64,
                wasm_len: shared.len() as u64,
                ..uapi::kwasmi_load::default()
            };
            match owned(call(&device(), uapi::IOC_LOAD, &mut request)) {
                Ok(module) => {
                    loaded += 1;
                    assert_eq!(exit_status(&module), 42, "what runs is not what was verified");
                }
                Err(errno) => {
                    refused += 1;
                    assert_eq!(errno, libc::EKEYREJECTED);
                }
            }
        }
    });
    println!("# {changes} changes, {loaded} loads accepted, {refused} refused");
    assert!(loaded > 0);
}

/// Starts an instance with `fd` as the guest's descriptor `guest_fd`. Returns the error number, if
/// any, and the log.
fn handing(module: &OwnedFd, fd: RawFd, guest_fd: u32) -> (Option<i32>, String) {
    let fds = [grant(fd, guest_fd)];
    let request = kwasmi_start { fds: address(&fds), fds_len: 1, ..kwasmi_start::default() };
    let (answer, log) = start_with(module, request);
    (answer.err(), log)
}

fn capabilities() {
    let file = File::open("/dev/null").expect("it is there");
    let directory = File::open("/tmp").expect("it is there");
    let socket = UnixListener::bind("/tmp/capability-socket").expect("a socket");
    fs::remove_file("/tmp/capability-socket").expect("it is there");
    for (name, files, sockets) in
        [("handed", false, false), ("handed-files", true, false), ("handed-sockets", false, true)]
    {
        let module = accepted(name);
        let fds = [(file.as_raw_fd(), files, "files"), (directory.as_raw_fd(), files, "files")];
        for (fd, may, word) in fds.into_iter().chain([(socket.as_raw_fd(), sockets, "sockets")]) {
            let (errno, log) = handing(&module, fd, 3);
            assert_eq!(errno, if may { None } else { Some(libc::EACCES) }, "{name}: {log}");
            assert!(may || log.contains(word), "{name}: {log}");
            assert_eq!(handing(&module, fd, 0).0, None, "{name}: a standard stream");
        }
    }
}

fn limits() {
    let module = accepted("limited");
    let start_limited = |value| {
        let limits = [limit(uapi::KWASMI_LIMIT_FUEL, value)];
        let mut request = limited(&limits);
        let answer = owned(call(&module, uapi::IOC_START, &mut request));
        (answer, request.limit, request.limit_value)
    };
    let (answer, reached, value) = start_limited(1_000_001);
    assert_eq!((answer.err(), reached, value), (Some(libc::EDQUOT), uapi::KWASMI_LIMIT_FUEL, 1_000_000));
    for (asked, expected) in [(1000, 1000), (1_000_000, 1_000_000)] {
        let end = run(&start_limited(asked).0.expect("within")).expect("it runs");
        assert_eq!((end.status, end.code, end.limit_value), (uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_FUEL, expected));
    }
    // By default, the manifest's limits apply.
    let end = run(&start(&module)).expect("it runs");
    assert_eq!((end.status, end.limit_value), (uapi::KWASMI_LIMITED, 1_000_000));
    let mut request = limited(&[]);
    let limits = [limit(uapi::KWASMI_LIMIT_MEMORY, (1 << 20) + 1)];
    request.limits = address(&limits);
    request.limits_len = 1;
    assert_eq!(start_with(&module, request).0.err(), Some(libc::EDQUOT));
}

fn denied() {
    let module = accepted("capability");
    let (ended, instance) = (start(&module), start(&module));
    assert_eq!(run(&ended).expect("it runs").code, 42);
    let sha256 = identity(&module).sha256;
    let before = policy().denied_len;
    assert_eq!(deny(sha256), Ok(0));
    assert_eq!(deny(sha256), Ok(0));
    assert_eq!(policy().denied_len, before + 1);
    let (entries, there) = list::<kwasmi_deny>(uapi::IOC_LIST_DENIED, 10);
    assert_eq!(u32::try_from(there), Ok(before + 1));
    assert!(entries.iter().any(|entry| entry.sha256 == sha256));
    assert_eq!(list::<kwasmi_deny>(uapi::IOC_LIST_DENIED, 0).1, there);

    let (answer, log) = load(&module_file("capability"));
    assert_eq!(answer.err(), Some(libc::EKEYREJECTED));
    assert!(log.contains("denied"), "{log}");
    let (answer, log) = start_with(&module, kwasmi_start::default());
    assert_eq!(answer.err(), Some(libc::EKEYREJECTED));
    assert!(log.contains("denied"), "{log}");
    // An instance that has not run yet is refused each time. The result of one that has ended is
    // still returned.
    for _ in 0..2 {
        let (answer, log) = run_with_log(&instance);
        assert_eq!(answer, Err(libc::EKEYREJECTED));
        assert!(log.contains("denied"), "{log}");
    }
    assert_eq!(run(&ended).expect("it has run").code, 42);
}

fn minimum_versions() {
    for name in [&b""[..], b"Upper", b"a/b", b"a\0b", &[b'a'; 65], &[b'a'; 72]] {
        assert_eq!(set_min_version(name, [0; 3]), Err(libc::EINVAL), "{name:?}");
    }
    let old = accepted("version-1.2.3");
    assert_eq!(identity(&old).version, [1, 2, 3]);
    assert_eq!(text(&identity(&old).name), "versioned");
    let instance = start(&old);
    assert_eq!(set_min_version(b"versioned", [1, 2, 4]), Ok(0));
    assert_eq!(set_min_version(b"versioned", [1, 2, 3]), Err(libc::EINVAL));
    let (entries, _) = list::<kwasmi_min_version>(uapi::IOC_LIST_MIN_VERSIONS, 10);
    assert!(entries.iter().any(|entry| text(&entry.name) == "versioned" && entry.version == [1, 2, 4]));

    let (answer, log) = load(&module_file("version-1.2.3"));
    assert_eq!(answer.err(), Some(libc::EKEYREJECTED));
    assert!(log.contains("1.2.4"), "{log}");
    assert_eq!(start_with(&old, kwasmi_start::default()).0.err(), Some(libc::EKEYREJECTED));
    let (answer, log) = run_with_log(&instance);
    assert_eq!(answer, Err(libc::EKEYREJECTED));
    assert!(log.contains("1.2.4"), "{log}");
    // Version numbers are compared numerically.
    for name in ["version-1.2.4", "version-1.10.0"] {
        assert_eq!(exit_status(&accepted(name)), 42);
    }
}

fn what_is_told() {
    let policy = policy();
    assert_eq!((policy.verify, policy.flags), (uapi::KWASMI_VERIFY_ENFORCE, 0));
    assert!(policy.keyring > 0);
    let identity = identity(&accepted("p384-sha384"));
    let flags = uapi::KWASMI_MODULE_MANIFEST | uapi::KWASMI_MODULE_COMPILED;
    assert_eq!((identity.verdict, identity.flags), (uapi::KWASMI_VERDICT_SIGNED, flags));
    assert_eq!(text(&identity.name), "answer");
    assert!(text(&identity.signer).starts_with("test p384: "), "{}", text(&identity.signer));
    // The hash is that of the module without its signature.
    assert_eq!(self::identity(&accepted("p256-sha256")).sha256, identity.sha256);
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("MODULE and POLICY return the module's identity and the policy", what_is_told);
    tests.add("a signed module with a changed byte or cut off is refused", every_byte);
    tests.add("bytes that change during LOAD cannot replace the signed code", changing_bytes);
    tests.add("the limits of a manifest are ceilings and defaults", limits);
    tests.add("the capabilities of a manifest decide which descriptors are accepted", capabilities);
    tests.add("a denied module is not loaded, started or run", denied);
    tests.add("a module older than its minimum version is not loaded, started or run", minimum_versions);
    crate::privilege::tests(tests);
    crate::audit::tests(tests);
}
