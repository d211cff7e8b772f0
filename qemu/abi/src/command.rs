// SPDX-License-Identifier: GPL-2.0

//! Tests of the `kwasmi` command, called in this process: from a file to an exit status and a line
//! on standard error.

use crate::{
    fuzz::Random,
    kernel::info,
    ktap::Tests, //
};
use kwasmi::{
    command,
    exit::Exit, //
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{
        self,
        File, //
    },
    os::{
        fd::{
            AsRawFd,
            FromRawFd,
            OwnedFd,
            RawFd, //
        },
        unix::fs::FileExt,
    },
};

/// Path of the file that the modules are written to, one after another.
const PATH: &str = "/tmp/kwasmi-abi-command.wasm";

const STDERR: RawFd = libc::STDERR_FILENO;

/// Captures standard error.
struct Catcher {
    own: OwnedFd,
    caught: File,
}

impl Catcher {
    fn new() -> Self {
        // SAFETY: The name is a NUL-terminated string.
        let caught = unsafe { libc::memfd_create(c"stderr".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(caught >= 0);
        // SAFETY: `fcntl` with F_DUPFD_CLOEXEC has no memory requirements.
        let own = unsafe { libc::fcntl(STDERR, libc::F_DUPFD_CLOEXEC, 3) };
        assert!(own >= 0);
        // SAFETY: `fcntl` has just returned this descriptor, and nothing else owns it.
        let own = unsafe { OwnedFd::from_raw_fd(own) };
        // SAFETY: `memfd_create` has just returned this descriptor, and nothing else owns it.
        let caught = unsafe { File::from_raw_fd(caught) };
        Self { own, caught }
    }

    /// Makes standard error refer to the same file as `fd`.
    fn turn(fd: &impl AsRawFd) {
        // SAFETY: `dup2` has no memory requirements. Replacing standard error closes no descriptor
        // that another object owns.
        assert_eq!(unsafe { libc::dup2(fd.as_raw_fd(), STDERR) }, STDERR);
    }

    /// Calls `work`. Returns its result and the text that was written to standard error meanwhile.
    fn catch<T>(&self, work: impl FnOnce() -> T) -> (T, String) {
        Self::turn(&self.caught);
        let result = work();
        Self::turn(&self.own);
        let len = self.caught.metadata().expect("a file").len();
        let mut text = vec![0; usize::try_from(len).expect("short")];
        self.caught.read_exact_at(&mut text, 0).expect("can be read");
        self.caught.set_len(0).expect("can be cut");
        std::io::Seek::rewind(&mut &self.caught).expect("can be sought");
        (result, String::from_utf8(text).expect("UTF-8"))
    }
}

/// Does `kwasmi run` of a file with these bytes. Returns the exit status and the text on standard
/// error.
fn run(catcher: &Catcher, wasm: &[u8]) -> (Exit, String) {
    fs::write(PATH, wasm).expect("can be written");
    catcher.catch(|| command::main(["kwasmi", "run", PATH].map(OsString::from).into_iter()))
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("the command refuses random bytes and gives the reason in one line", || {
        let catcher = Catcher::new();
        let mut random = Random(0xc0de);
        let mut statuses = BTreeMap::<u8, u32>::new();
        for number in 0..crate::scale::iterations(10_000) {
            let wasm = random.module();
            let (exit, text) = run(&catcher, &wasm);
            *statuses.entry(exit.status()).or_default() += 1;
            // A module is refused if it is invalid, or if a header claims a size above a limit,
            // which is checked first.
            assert!([Exit::Refused, Exit::Limit].contains(&exit), "{number}: {exit:?}: {text}");
            let line = text.strip_suffix('\n').unwrap_or_else(|| panic!("{number}: not a line: {text:?}"));
            let reason = line.strip_prefix(&format!("kwasmi: {PATH}: "));
            let reason = reason.unwrap_or_else(|| panic!("{number}: {line:?}"));
            assert!(!reason.trim().is_empty() && !reason.contains(char::is_control), "{number}: {line:?}");
            assert_eq!(reason.starts_with("limit reached: "), exit == Exit::Limit, "{number}: {line}");
        }
        fs::remove_file(PATH).expect("there");
        assert_eq!((info().modules, info().instances), (0, 0));
        println!("# exit statuses, and how often: {statuses:?}");
        assert!(statuses.get(&126).is_some_and(|count| *count > crate::scale::iterations(9_000)));
    });
    tests.add("the command runs a valid module", || {
        let wasm = wat::parse_str(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (func (export "_start") (call $exit (i32.const 42))))"#,
        );
        let (exit, text) = run(&Catcher::new(), &wasm.expect("valid text"));
        fs::remove_file(PATH).expect("there");
        assert_eq!((exit, text.as_str()), (Exit::Guest(42), ""));
    });
}
