// SPDX-License-Identifier: GPL-2.0

//! Program files: Wasm or its text format. The first bytes decide; a file named `.wat` that is not
//! Wasm is text, too.

use crate::{
    exit::Exit,
    failure::Failure,
    file::failure,
    limits::{
        Limit,
        Reached, //
    },
    uapi, //
};
use rustix::io::Errno;
use std::{
    fs::File,
    io::{
        self,
        Read, //
    },
    os::fd::AsFd as _,
    path::{
        Path,
        PathBuf, //
    },
    str::Utf8Error, //
};
use wast::{
    Wat,
    parser::{
        self,
        Parse,
        ParseBuffer,
        Parser, //
    },
    token::LParen, //
};

/// First bytes of a Wasm binary.
const MAGIC: [u8; 4] = *b"\0asm";

/// Layer field of a component, where a module has the upper half of its version.
const COMPONENT: [u8; 2] = [1, 0];

/// Reason for the refusal of a component, binary or text.
const IS_COMPONENT: &str = "this is a WebAssembly component; kwasmi runs core modules of WASI preview 1";

/// Number of bytes that are read to identify a file; white space may come before a text's first
/// token.
const HEAD_BYTES: u64 = 4096;

/// Path that stands for standard input or standard output.
const STANDARD: &str = "-";

/// Upper bound of the size of a file, in bytes, where no limit of the device applies: a text, or a
/// file that is not loaded.
pub const FILE_BYTES_MAX: u64 = 1 << 30;

/// Returns true if `path` stands for standard input, or for standard output where it is written to.
#[must_use]
pub fn is_standard(path: &Path) -> bool {
    path.as_os_str() == STANDARD
}

/// Returns the name of the file at `path` for messages.
#[must_use]
pub fn name(path: &Path) -> String {
    if is_standard(path) { "standard input".to_owned() } else { path.to_string_lossy().into_owned() }
}

/// An open file whose first bytes were read.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    file: File,
    head: Vec<u8>,
    is_text: bool,
}

impl Source {
    /// Opens the file at `path`; `-` is standard input.
    ///
    /// # Errors
    ///
    /// [`Exit::NotFound`] if the file does not exist, [`Exit::Refused`] if it is a directory,
    /// [`Exit::Failed`] if it cannot be read.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file =
            if is_standard(path) { io::stdin().as_fd().try_clone_to_owned().map(File::from) } else { File::open(path) };
        let file = file.map_err(|error| unreadable(path, error))?;
        let mut source = Self { path: path.to_owned(), file, head: Vec::new(), is_text: false };
        source.head = source.read_more(HEAD_BYTES)?;
        source.is_text = !source.head.starts_with(&MAGIC) && (source.is_named_text() || begins_text(&source.head));
        Ok(source)
    }

    /// Returns true if the file is in the text format: it does not start with the magic bytes of
    /// Wasm, and starts like a text or is named `.wat`.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    fn is_named_text(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wat"))
    }

    /// Checks the first bytes, unless the file is text.
    ///
    /// # Errors
    ///
    /// [`Exit::Refused`] if the file does not start like a Wasm module.
    pub fn check(&self) -> Result<(), Failure> {
        if self.is_text() {
            return Ok(());
        }
        identify(&self.head).map_err(|reason| self.failure(Exit::Refused, reason))
    }

    /// Returns the Wasm binary: the file's contents, assembled if they are text.
    ///
    /// # Errors
    ///
    /// [`Exit::Limit`] if the binary is larger than `bytes_max`, [`Exit::Refused`] if the text is
    /// not valid, [`Exit::Failed`] if the file cannot be read.
    pub fn into_wasm(mut self, bytes_max: u64) -> Result<Vec<u8>, Failure> {
        let file_max = if self.is_text() { FILE_BYTES_MAX } else { bytes_max };
        let mut bytes = std::mem::take(&mut self.head);
        // One byte more than allowed, to detect a file that is too large.
        let room = file_max.saturating_sub(bytes.len() as u64).saturating_add(1);
        bytes.append(&mut self.read_more(room)?);
        if bytes.len() as u64 > file_max {
            return Err(self.failure(Exit::Limit, too_large(file_max)));
        }
        if self.is_text() {
            bytes = assemble(&bytes).map_err(|reason| {
                let is_clear = self.is_named_text() || reason == IS_COMPONENT;
                let why = if is_clear { "" } else { "read as text, since it does not begin as Wasm does: " };
                self.failure(Exit::Refused, format!("{why}{reason}"))
            })?;
            if bytes.len() as u64 > bytes_max {
                return Err(self.failure(Exit::Limit, too_large(bytes_max)));
            }
        }
        Ok(bytes)
    }

    fn read_more(&mut self, max: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        match (&mut self.file).take(max).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(unreadable(&self.path, error)),
        }
    }

    fn failure(&self, exit: Exit, reason: impl Into<String>) -> Failure {
        Failure::new(exit, name(&self.path), reason)
    }
}

/// Returns the failure for a program file that cannot be read.
fn unreadable(path: &Path, error: io::Error) -> Failure {
    match Errno::from_io_error(&error) {
        Some(Errno::ISDIR) => Failure::new(Exit::Refused, name(path), "a directory, not a WebAssembly module"),
        _ => Failure { subject: name(path), ..failure(path, error) },
    }
}

/// Returns true if `head` starts like the text format: with a parenthesis or a comment, after white
/// space.
fn begins_text(head: &[u8]) -> bool {
    let head = head.trim_ascii_start();
    head.starts_with(b"(") || head.starts_with(b";;")
}

/// Returns the reason for the refusal of a module that is larger than `max` bytes.
fn too_large(max: u64) -> String {
    let limit = Limit(uapi::KWASMI_LIMIT_MODULE_SIZE);
    format!("{} (the module is larger)", Reached { limit, value: max })
}

/// Checks that a file starts like a Wasm module.
///
/// # Errors
///
/// A message that says what the file is instead.
pub fn identify(head: &[u8]) -> Result<(), String> {
    let (magic, version) = head.split_at(head.len().min(MAGIC.len()));
    if head.is_empty() {
        Err("not a WebAssembly module: the file is empty".to_owned())
    } else if magic != MAGIC {
        let bytes: Vec<_> = magic.iter().map(|byte| format!("{byte:02x}")).collect();
        Err(format!("not a WebAssembly module: it begins with {}, not with 00 61 73 6d", bytes.join(" ")))
    } else if version.get(2..4) == Some(COMPONENT.as_slice()) {
        Err(IS_COMPONENT.to_owned())
    } else {
        Ok(())
    }
}

/// Returns the message for bytes that are not text.
#[must_use]
pub fn not_text(error: &Utf8Error) -> String {
    format!("not text: invalid UTF-8 at offset {}", error.valid_up_to())
}

mod keyword {
    wast::custom_keyword!(component);
}

/// A module in the text format.
struct Text<'a>(Wat<'a>);

impl<'a> Parse<'a> for Text<'a> {
    fn parse(parser: Parser<'a>) -> parser::Result<Self> {
        if parser.peek::<LParen>()? && parser.peek2::<keyword::component>()? {
            return Err(parser.error(IS_COMPONENT));
        }
        parser.parse().map(Self)
    }
}

/// Assembles a module from the text format.
///
/// # Errors
///
/// A message with line and column.
pub fn assemble(text: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(text).map_err(|error| not_text(&error))?;
    let describe = |error: wast::Error| {
        if error.message() == IS_COMPONENT {
            return error.message();
        }
        let (line, column) = error.span().linecol_in(text);
        format!("line {}, column {}: {}", line + 1, column + 1, error.message())
    };
    let buffer = ParseBuffer::new(text).map_err(describe)?;
    let Text(mut module) = parser::parse(&buffer).map_err(describe)?;
    module.encode().map_err(describe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn source(name: &str, contents: &[u8]) -> (tempfile::TempDir, Source) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        File::create(&path).and_then(|mut file| file.write_all(contents)).expect("a file");
        let source = Source::open(&path).expect("can be opened");
        (folder, source)
    }

    #[test]
    fn wasm_is_read_unchanged() {
        let wasm = b"\0asm\x01\0\0\0\0\x01\0";
        let (_folder, source) = source("a", wasm);
        assert_eq!(source.check(), Ok(()));
        assert_eq!(source.into_wasm(11), Ok(wasm.to_vec()));
    }

    #[test]
    fn one_byte_too_many_is_refused() {
        for max in [0, 3, 10] {
            let (_folder, source) = source("a", b"\0asm\x01\0\0\0\0\x01\0");
            let failure = source.into_wasm(max).expect_err("too large");
            assert_eq!(failure.exit, Exit::Limit);
            assert!(failure.reason.starts_with(&format!("limit reached: module-size {max} bytes")), "{failure}");
        }
    }

    #[test]
    fn other_files_are_refused() {
        let reason = |head: &[u8]| identify(head).expect_err("not Wasm");
        assert_eq!(reason(b""), "not a WebAssembly module: the file is empty");
        assert_eq!(
            reason(b"\x7fELF\x02"),
            "not a WebAssembly module: it begins with 7f 45 4c 46, not with 00 61 73 6d"
        );
        assert_eq!(reason(b"\0as"), "not a WebAssembly module: it begins with 00 61 73, not with 00 61 73 6d");
        for component in [b"\0asm\x0d\0\x01\0", b"\0asm\x0c\0\x01\0"] {
            assert_eq!(reason(component), IS_COMPONENT);
        }
        assert_eq!(identify(b"\0asm"), Ok(()));
    }

    #[test]
    fn text_is_assembled() {
        let (_folder, source) = source("a.WAT", b"(module)");
        assert_eq!(source.check(), Ok(()));
        assert_eq!(source.into_wasm(8), Ok(b"\0asm\x01\0\0\0".to_vec()));
    }

    #[test]
    fn content_tells_text_from_wasm() {
        for text in ["(module)", "\n\t (module)", ";; a comment\n(module)", "(; one ;)(module)", "(func)"] {
            let (_folder, source) = source("a.wasm", text.as_bytes());
            assert!(source.is_text(), "{text}");
            assert_eq!(source.check(), Ok(()));
            assert!(source.into_wasm(100).expect(text).starts_with(b"\0asm\x01\0\0\0"), "{text}");
        }
        let (_folder, source) = self::source("a.wat", b"\0asm\x01\0\0\0");
        assert!(!source.is_text());
        assert_eq!(source.into_wasm(8), Ok(b"\0asm\x01\0\0\0".to_vec()));
        let (_folder, source) = self::source("a.wasm", b"(modul)");
        let reason = source.into_wasm(100).expect_err("no module").reason;
        assert!(
            reason.starts_with("read as text, since it does not begin as Wasm does: line 1, column 2: "),
            "{reason}"
        );
        for other in [b"".as_slice(), b"   ", b";", b"hello", b"#!/bin/sh"] {
            let (_folder, source) = self::source("a.wasm", other);
            assert!(!source.is_text(), "{other:?}");
            assert_eq!(source.check().expect_err("nothing").exit, Exit::Refused, "{other:?}");
        }
    }

    #[test]
    fn components_are_refused() {
        for text in ["(component)", ";; (module)\n ( component (core module))", "(component $a"] {
            let (_folder, source) = source("a.wasm", text.as_bytes());
            let failure = source.into_wasm(100).expect_err(text);
            assert_eq!(failure.exit, Exit::Refused);
            assert_eq!(failure.reason, IS_COMPONENT);
        }
    }

    #[test]
    fn assembled_text_can_be_too_large() {
        let (_folder, source) = source("a.wat", b"(module)");
        assert!(source.into_wasm(7).expect_err("too large").reason.starts_with("limit reached: module-size 7 bytes"));
    }

    #[test]
    fn errors_in_text_have_a_place() {
        assert_eq!(assemble(b"(module\n  (fnc))"), Err("line 2, column 4: expected valid module field".to_owned()));
        assert!(assemble(b"(module (func (call $f)))").expect_err("no $f").contains("unknown func"));
        assert_eq!(assemble(b"(\xff"), Err("not text: invalid UTF-8 at offset 1".to_owned()));
        assert!(assemble(b"").is_err());
    }

    #[test]
    fn missing_files_and_directories_are_reported() {
        let failure = Source::open(Path::new("/nonexistent.wasm")).expect_err("not there");
        assert_eq!(failure.exit, Exit::NotFound);
        assert_eq!(failure.to_string(), "/nonexistent.wasm: No such file or directory");
        let failure = Source::open(Path::new("/")).expect_err("a folder");
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(failure.to_string(), "/: a directory, not a WebAssembly module");
    }
}
