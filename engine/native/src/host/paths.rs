// SPDX-License-Identifier: GPL-2.0

//! Paths below a preopened directory, resolved by openat2(2) and by system calls that take a
//! directory and one name.

use super::{
    Result,
    files::{
        Open,
        file_stat,
        linux_flags,
        set_times, //
    },
};
use crate::ffi::{
    FileStat,
    PATH_MAX,
    Times,
    open, //
};
use rustix::{
    fs::{
        AtFlags,
        FileType,
        Mode,
        OFlags,
        ResolveFlags, //
    },
    io::Errno, //
};
use std::{
    ffi::{
        CStr,
        CString, //
    },
    os::fd::OwnedFd, //
};

/// Upper bound of the attempts to resolve a path while files are renamed concurrently.
const TRIES: usize = 1000;

const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o777);

/// Path of a guest below one of its directories.
pub(super) struct Path<'a> {
    dir: &'a Open,
    name: &'a CStr,
    follow: bool,
}

/// Directory and a name in it, which slashes may follow.
struct Entry {
    parent: OwnedFd,
    name: CString,
}

impl<'a> Path<'a> {
    pub(super) fn new(dir: &'a Open, name: &'a CStr, follow: bool) -> Self {
        Self { dir, name, follow }
    }

    /// Resolves `name` without leaving the directory.
    fn walk(&self, name: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        let mut result = Err(Errno::AGAIN);
        for _ in 0..TRIES {
            result = rustix::fs::openat2(self.dir, name, flags | OFlags::CLOEXEC, mode, ResolveFlags::BENEATH);
            match result {
                Err(Errno::AGAIN) => {}
                // The kernel reports an attempt to leave the directory as `EXDEV`.
                Err(Errno::XDEV) => return Err(Errno::PERM),
                _ => return result,
            }
        }
        result
    }

    fn follow(&self) -> OFlags {
        if self.follow { OFlags::empty() } else { OFlags::NOFOLLOW }
    }

    /// Opens the file that the path names with `O_PATH`.
    fn find(&self) -> Result<OwnedFd> {
        self.walk(self.name, OFlags::PATH | self.follow(), Mode::empty())
    }

    /// Resolves all but the last component and returns it with its directory.
    fn parent(&self) -> Result<Entry> {
        let bytes = self.name.to_bytes();
        let end = bytes.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let start = bytes[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let before = if start == 0 { b"." } else { &bytes[..start] };
        let parent = CString::new(before).map_err(|_| Errno::INVAL)?;
        let name = CString::new(&bytes[start..]).map_err(|_| Errno::INVAL)?;
        let parent = self.walk(&parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        if bytes[start..end] == *b".." {
            // An error for leaving the directory has precedence over other errors.
            self.walk(self.name, OFlags::PATH, Mode::empty())?;
        }
        Ok(Entry { parent, name })
    }

    /// Returns the attributes of the file.
    pub(super) fn stat(&self) -> Result<FileStat> {
        Ok(file_stat(&rustix::fs::fstat(self.find()?)?))
    }

    /// Sets the timestamps of the file.
    pub(super) fn set_times(&self, times: &Times) -> Result {
        set_times(self.find()?, times)
    }

    /// Copies the target of a symbolic link into `text`, as far as it fits. Returns the length of
    /// the target.
    pub(super) fn read_link(&self, text: &mut [u8]) -> Result {
        let found = self.find()?;
        if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) != FileType::Symlink {
            return Err(Errno::INVAL);
        }
        let mut whole = vec![0; PATH_MAX];
        let len = rustix::fs::readlinkat_raw(found, c"", whole.as_mut_slice())?;
        let fits = len.min(text.len());
        text[..fits].copy_from_slice(&whole[..fits]);
        Ok(len as u64)
    }

    pub(super) fn create_directory(&self) -> Result {
        let entry = self.parent()?;
        rustix::fs::mkdirat(entry.parent, entry.name, DIRECTORY_MODE).map(|()| 0)
    }

    pub(super) fn remove_directory(&self) -> Result {
        let entry = self.parent()?;
        rustix::fs::unlinkat(entry.parent, entry.name, AtFlags::REMOVEDIR).map(|()| 0)
    }

    pub(super) fn unlink(&self) -> Result {
        let entry = self.parent()?;
        rustix::fs::unlinkat(entry.parent, entry.name, AtFlags::empty()).map(|()| 0)
    }

    /// Creates a symbolic link to `target` at the path.
    pub(super) fn symlink(&self, target: &CStr) -> Result {
        let entry = self.parent()?;
        rustix::fs::symlinkat(target, entry.parent, entry.name).map(|()| 0)
    }

    /// Creates the hard link `new` to the file.
    pub(super) fn link(&self, new: &Path<'_>) -> Result {
        let old = self.find()?;
        let entry = new.parent()?;
        rustix::fs::linkat(old, c"", entry.parent, entry.name, AtFlags::EMPTY_PATH).map(|()| 0)
    }

    /// Renames the file to `new`.
    pub(super) fn rename(&self, new: &Path<'_>) -> Result {
        let (old, new) = (self.parent()?, new.parent()?);
        rustix::fs::renameat(old.parent, old.name, new.parent, new.name).map(|()| 0)
    }

    /// Opens the file as the [`open`] bits of `how` say, with the preview 1 `fdflags` `flags`.
    pub(super) fn open(&self, how: u64, flags: u32) -> Result<Open> {
        let has = |bit| how & bit != 0;
        let mut linux = OFlags::NOCTTY | self.follow() | linux_flags(flags);
        linux |= match (has(open::READ), has(open::WRITE)) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            // A file cannot be opened without any access mode.
            (_, false) => OFlags::RDONLY,
        };
        linux.set(OFlags::CREATE, has(open::CREATE));
        linux.set(OFlags::DIRECTORY, has(open::DIRECTORY));
        // `O_EXCL` without `O_CREAT` is undefined.
        linux.set(OFlags::EXCL, has(open::CREATE) && has(open::EXCLUSIVE));
        linux.set(OFlags::TRUNC, has(open::TRUNCATE));
        // Opening a device by name is refused. The check is omitted where an existing file cannot
        // be opened.
        let is_opened = !has(open::DIRECTORY) && !linux.contains(OFlags::CREATE | OFlags::EXCL);
        if let (true, Ok(found)) = (is_opened, self.find()) {
            let kind = FileType::from_raw_mode(rustix::fs::fstat(found)?.st_mode);
            if kind.is_block_device() || kind.is_char_device() {
                return Err(Errno::PERM);
            }
        }
        let mode = if has(open::CREATE) { FILE_MODE } else { Mode::empty() };
        let mut open = Open::new(self.walk(self.name, linux, mode)?)?;
        open.flags = flags;
        Ok(open)
    }
}
