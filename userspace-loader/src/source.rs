// SPDX-License-Identifier: GPL-2.0

//! Programs in files: Wasm, or its text format.

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
use std::{
    fs::File,
    io::Read,
    path::{
        Path,
        PathBuf, //
    }, //
};
use wast::{
    Wat,
    parser::{
        self,
        ParseBuffer, //
    }, //
};

/// The first bytes of Wasm.
const MAGIC: [u8; 4] = *b"\0asm";

/// The version of the component model, in place of a module's.
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];

/// The largest file that is read where the device says nothing of it: a text, or to be inspected only.
pub const FILE_BYTES_MAX: u64 = 1 << 30;

/// A file that is open, of which the first bytes are read.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    file: File,
    head: Vec<u8>,
}

impl Source {
    /// Opens the file at `path`.
    ///
    /// # Errors
    ///
    /// [`Exit::NotFound`] if it is not there, [`Exit::Failed`] if it cannot be read.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| failure(path, error))?;
        let mut source = Self { path: path.to_owned(), file, head: Vec::new() };
        source.head = source.read_more(8)?;
        Ok(source)
    }

    /// Whether the file is taken for text, by its name.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wat"))
    }

    /// Looks at the first bytes, unless it is a text.
    ///
    /// # Errors
    ///
    /// [`Exit::Refused`] if they are not those of Wasm.
    pub fn check(&self) -> Result<(), Failure> {
        if self.is_text() {
            return Ok(());
        }
        identify(&self.head).map_err(|reason| self.failure(Exit::Refused, reason))
    }

    /// Reads the Wasm, assembles the text.
    ///
    /// # Errors
    ///
    /// [`Exit::Limit`] if it is more than `bytes_max`, [`Exit::Refused`] if it is not valid text, [`Exit::Failed`] if it
    /// cannot be read.
    pub fn into_wasm(mut self, bytes_max: u64) -> Result<Vec<u8>, Failure> {
        let file_max = if self.is_text() { FILE_BYTES_MAX } else { bytes_max };
        let mut bytes = std::mem::take(&mut self.head);
        // One more than allowed, to see that it is too much.
        let room = file_max.saturating_sub(bytes.len() as u64).saturating_add(1);
        bytes.append(&mut self.read_more(room)?);
        if bytes.len() as u64 > file_max {
            return Err(self.failure(Exit::Limit, too_large(file_max)));
        }
        if self.is_text() {
            bytes = assemble(&bytes).map_err(|reason| self.failure(Exit::Refused, reason))?;
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
            Err(error) => Err(failure(&self.path, error)),
        }
    }

    fn failure(&self, exit: Exit, reason: impl Into<String>) -> Failure {
        Failure::new(exit, self.path.to_string_lossy(), reason)
    }
}

fn too_large(max: u64) -> String {
    let limit = Limit(uapi::KWASMI_LIMIT_MODULE_SIZE);
    format!("{} (it is larger)", Reached { limit, value: max })
}

/// Tells Wasm modules from other files by their first bytes.
///
/// # Errors
///
/// In words, what it is instead.
pub fn identify(head: &[u8]) -> Result<(), String> {
    let (magic, version) = head.split_at(head.len().min(MAGIC.len()));
    if head.is_empty() {
        Err("not a WebAssembly module: the file is empty".to_owned())
    } else if magic != MAGIC {
        let bytes: Vec<_> = magic.iter().map(|byte| format!("{byte:02x}")).collect();
        Err(format!("not a WebAssembly module: it begins with {}, not with 00 61 73 6d", bytes.join(" ")))
    } else if version.starts_with(&COMPONENT) {
        Err("a WebAssembly component: only modules can be run".to_owned())
    } else {
        Ok(())
    }
}

/// Assembles a text.
///
/// # Errors
///
/// In words, with line and column.
pub fn assemble(text: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(text).map_err(|error| format!("not text: {error}"))?;
    let describe = |error: wast::Error| {
        let (line, column) = error.span().linecol_in(text);
        format!("line {}, column {}: {}", line + 1, column + 1, error.message())
    };
    let buffer = ParseBuffer::new(text).map_err(describe)?;
    let mut module = parser::parse::<Wat<'_>>(&buffer).map_err(describe)?;
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
    fn wasm_is_read_as_it_is() {
        let wasm = b"\0asm\x01\0\0\0\0\x01\0";
        let (_folder, source) = source("a", wasm);
        assert_eq!(source.check(), Ok(()));
        assert_eq!(source.into_wasm(11), Ok(wasm.to_vec()));
    }

    #[test]
    fn a_byte_too_much_is_refused() {
        for max in [0, 3, 10] {
            let (_folder, source) = source("a", b"\0asm\x01\0\0\0\0\x01\0");
            let failure = source.into_wasm(max).expect_err("too large");
            assert_eq!(failure.exit, Exit::Limit);
            assert!(failure.reason.starts_with(&format!("limit reached: module-size {max} bytes")), "{failure}");
        }
    }

    #[test]
    fn other_files_are_told() {
        let reason = |head: &[u8]| identify(head).expect_err("not Wasm");
        assert_eq!(reason(b""), "not a WebAssembly module: the file is empty");
        assert_eq!(
            reason(b"\x7fELF\x02"),
            "not a WebAssembly module: it begins with 7f 45 4c 46, not with 00 61 73 6d"
        );
        assert_eq!(reason(b"\0as"), "not a WebAssembly module: it begins with 00 61 73, not with 00 61 73 6d");
        assert!(reason(b"\0asm\x0d\0\x01\0").starts_with("a WebAssembly component"));
        assert_eq!(identify(b"\0asm"), Ok(()));
    }

    #[test]
    fn text_is_assembled() {
        let (_folder, source) = source("a.WAT", b"(module)");
        assert_eq!(source.check(), Ok(()));
        assert_eq!(source.into_wasm(8), Ok(b"\0asm\x01\0\0\0".to_vec()));
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
        assert!(assemble(b"\xff").expect_err("not text").starts_with("not text"));
        assert!(assemble(b"").is_err());
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let failure = Source::open(Path::new("/nonexistent.wasm")).expect_err("not there");
        assert_eq!(failure.exit, Exit::NotFound);
        assert_eq!(failure.to_string(), "/nonexistent.wasm: No such file or directory");
        let failure = Source::open(Path::new("/")).expect_err("a folder");
        assert_eq!(failure.exit, Exit::Failed);
        assert_eq!(failure.to_string(), "/: Is a directory");
    }
}
