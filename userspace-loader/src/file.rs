// SPDX-License-Identifier: GPL-2.0

//! Small files: reads them whole, and replaces them atomically.

use crate::{
    device::words,
    exit::Exit,
    failure::Failure, //
};
use rustix::io::Errno;
use std::{
    fs::{
        self,
        File,
        Permissions, //
    },
    io::{
        self,
        Read as _,
        Write as _, //
    },
    os::unix::fs::PermissionsExt as _,
    path::{
        Path,
        PathBuf, //
    },
};

/// Upper bound of the size of a key, certificate, signature or manifest file, in bytes (16 MiB).
const SMALL_BYTES_MAX: u64 = 16 << 20;

/// Handling of a file that exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Keep the file and fail.
    Keep,
    /// Replace the file.
    Replace,
}

/// Returns the failure for a file that cannot be read or written.
#[must_use]
pub fn failure(path: &Path, error: io::Error) -> Failure {
    let exit = Errno::from_io_error(&error).map_or(Exit::Failed, Exit::of_open);
    Failure::new(exit, path.to_string_lossy(), words(error))
}

/// Returns the failure for a file with wrong contents.
pub fn wrong(path: &Path, reason: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, path.to_string_lossy(), reason)
}

/// Reads a small file whole.
///
/// # Errors
///
/// [`Exit::NotFound`] if the file does not exist, [`Exit::Failed`] if it cannot be read or is
/// larger than 16 MiB.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| failure(path, error))?;
    file.take(SMALL_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failure(path, error))?;
    if bytes.len() as u64 > SMALL_BYTES_MAX {
        return Err(wrong(path, "the file is larger than 16 MiB"));
    }
    Ok(bytes)
}

/// Writes a file atomically: readers see either the old contents or all of the new ones. A file
/// that exists keeps its permissions; a new file gets `mode`, reduced by the umask.
///
/// # Errors
///
/// [`Exit::NotFound`] if the folder does not exist, [`Exit::Failed`] if the file cannot be written,
/// or exists and `existing` is [`Existing::Keep`].
pub fn write(path: &Path, bytes: &[u8], mode: u32, existing: Existing) -> Result<(), Failure> {
    let fail = |error| failure(path, error);
    let there = fs::metadata(path).ok();
    if existing == Existing::Keep && there.is_some() {
        return Err(fail(Errno::EXIST.into()));
    }
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        // A pipe or a device cannot be replaced: write into it.
        let mut file = File::options().write(true).open(path).map_err(fail)?;
        return file.write_all(bytes).map_err(fail);
    }
    // Replace the target of a symbolic link, not the link.
    let target = if there.is_some() { fs::canonicalize(path).map_err(fail)? } else { path.to_owned() };
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    // Report a missing folder as such, not as a failure to create a temporary file.
    fs::metadata(&folder).map_err(fail)?;
    let permissions = Permissions::from_mode(mode);
    let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(folder).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    if let Some(there) = there {
        file.as_file().set_permissions(there.permissions()).map_err(fail)?;
    }
    file.as_file().sync_all().map_err(fail)?;
    match existing {
        Existing::Keep => file.persist_noclobber(target),
        Existing::Replace => file.persist(target),
    }
    .map(drop)
    .map_err(|error| fail(error.error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("is there").permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_has_its_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        write(&path, b"1", 0o600, Existing::Keep).expect("can be written");
        assert_eq!((read(&path).expect("is there"), mode(&path)), (b"1".to_vec(), 0o600));
    }

    #[test]
    fn existing_files_are_kept_or_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("x"), folder.path().join("link"));
        write(&path, b"1", 0o640, Existing::Replace).expect("can be written");
        let failure = write(&path, b"2", 0o600, Existing::Keep).expect_err("is there");
        assert_eq!((failure.exit, failure.reason.as_str()), (Exit::Failed, "File exists"));
        symlink("x", &link).expect("a link");
        write(&link, b"3", 0o666, Existing::Replace).expect("can be written");
        assert_eq!((read(&path).expect("is there"), mode(&path)), (b"3".to_vec(), 0o640));
        assert!(fs::symlink_metadata(&link).expect("is there").is_symlink());
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
    }

    #[test]
    fn devices_are_not_replaced() {
        write(Path::new("/dev/null"), b"1", 0o600, Existing::Replace).expect("can be written");
        assert!(!fs::metadata("/dev/null").expect("is there").is_file());
    }

    #[test]
    fn a_missing_folder_is_reported() {
        let failure = write(Path::new("/nonexistent/x"), b"", 0o600, Existing::Keep).expect_err("no folder");
        assert_eq!(failure.to_string(), "/nonexistent/x: No such file or directory");
        assert_eq!(failure.exit, Exit::NotFound);
        assert_eq!(read(Path::new("/nonexistent/x")).expect_err("no file").exit, Exit::NotFound);
    }
}
