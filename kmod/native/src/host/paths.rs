// SPDX-License-Identifier: GPL-2.0

//! Names below a directory that a guest was handed, by openat2(2) and the system calls that take one name in a directory.

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

/// How often a walk that crosses a rename is tried again.
const TRIES: usize = 1000;

const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o777);

/// A path, as a guest gave it, below a directory that it has.
pub(super) struct Path<'a> {
    dir: &'a Open,
    name: &'a CStr,
    follow: bool,
}

/// A name in a directory. Slashes may follow it.
struct Entry {
    parent: OwnedFd,
    name: CString,
}

impl<'a> Path<'a> {
    pub(super) fn new(dir: &'a Open, name: &'a CStr, follow: bool) -> Self {
        Self { dir, name, follow }
    }

    /// Walks `name` from the directory on, and does not leave it.
    fn walk(&self, name: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        let mut result = Err(Errno::AGAIN);
        for _ in 0..TRIES {
            result = rustix::fs::openat2(self.dir, name, flags | OFlags::CLOEXEC, mode, ResolveFlags::BENEATH);
            match result {
                Err(Errno::AGAIN) => {}
                // That is what leaving the directory is.
                Err(Errno::XDEV) => return Err(Errno::PERM),
                _ => return result,
            }
        }
        result
    }

    fn follow(&self) -> OFlags {
        if self.follow { OFlags::empty() } else { OFlags::NOFOLLOW }
    }

    /// What it names.
    fn find(&self) -> Result<OwnedFd> {
        self.walk(self.name, OFlags::PATH | self.follow(), Mode::empty())
    }

    /// The directory that its last part is in, and that part.
    fn parent(&self) -> Result<Entry> {
        let bytes = self.name.to_bytes();
        let end = bytes.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let start = bytes[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let before = if start == 0 { b"." } else { &bytes[..start] };
        let parent = CString::new(before).map_err(|_| Errno::INVAL)?;
        let name = CString::new(&bytes[start..]).map_err(|_| Errno::INVAL)?;
        let parent = self.walk(&parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        if bytes[start..end] == *b".." {
            // That it leads out of the directory comes before whatever else is wrong with it.
            self.walk(self.name, OFlags::PATH, Mode::empty())?;
        }
        Ok(Entry { parent, name })
    }

    /// Describes what it names.
    pub(super) fn stat(&self) -> Result<FileStat> {
        Ok(file_stat(&rustix::fs::fstat(self.find()?)?))
    }

    /// Sets times.
    pub(super) fn set_times(&self, times: &Times) -> Result {
        set_times(self.find()?, times)
    }

    /// Puts the text of a symbolic link into `text`, as much as fits; returns its length.
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

    /// Makes it a symbolic link to `target`.
    pub(super) fn symlink(&self, target: &CStr) -> Result {
        let entry = self.parent()?;
        rustix::fs::symlinkat(target, entry.parent, entry.name).map(|()| 0)
    }

    /// Gives what it names the name `new`, too.
    pub(super) fn link(&self, new: &Path<'_>) -> Result {
        let old = self.find()?;
        let entry = new.parent()?;
        rustix::fs::linkat(old, c"", entry.parent, entry.name, AtFlags::EMPTY_PATH).map(|()| 0)
    }

    /// Gives what it names the name `new`.
    pub(super) fn rename(&self, new: &Path<'_>) -> Result {
        let (old, new) = (self.parent()?, new.parent()?);
        rustix::fs::renameat(old.parent, old.name, new.parent, new.name).map(|()| 0)
    }

    /// Opens it, as `how` says; the file has the preview 1 `fdflags` `flags`.
    pub(super) fn open(&self, how: u64, flags: u64) -> Result<Open> {
        let has = |bit| how & bit != 0;
        let mut linux = OFlags::NOCTTY | self.follow() | linux_flags(flags);
        linux |= match (has(open::READ), has(open::WRITE)) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            // Nothing less can be had.
            (_, false) => OFlags::RDONLY,
        };
        linux.set(OFlags::CREATE, has(open::CREATE));
        linux.set(OFlags::DIRECTORY, has(open::DIRECTORY));
        // What it means without the other is not defined.
        linux.set(OFlags::EXCL, has(open::CREATE) && has(open::EXCLUSIVE));
        linux.set(OFlags::TRUNC, has(open::TRUNCATE));
        // Devices are not opened by name, where what is there would be opened.
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
