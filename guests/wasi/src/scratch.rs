// SPDX-License-Identifier: GPL-2.0

//! Directory of a topic, with helpers for files in it.

use crate::{
    abi::{
        FOLLOW,
        Fd,
        Filestat,
        NO_FOLLOW,
        oflags,
        right, //
    },
    sys::{
        self,
        Result, //
    },
};

/// Directory, by its descriptor.
#[derive(Clone, Copy)]
pub(crate) struct Dir(pub(crate) Fd);

/// Rights to request for a directory: all except those of writing, which a directory never has.
pub(crate) const DIRECTORY: u64 = right::ALL & !(right::FD_WRITE | (1 << 8) | (1 << 22));

impl Dir {
    /// Returns the preopen called `name`.
    pub(crate) fn preopened(name: &[u8]) -> Option<Self> {
        for fd in 3.. {
            let prestat = sys::fd_prestat_get(fd).ok()?;
            let mut found = vec![0; usize::try_from(prestat.name_len).ok()?];
            sys::fd_prestat_dir_name(fd, &mut found).ok()?;
            if found == name {
                return Some(Self(fd));
            }
        }
        None
    }

    /// Makes a directory in this one, and opens it.
    pub(crate) fn make(self, name: &str) -> Result<Self> {
        sys::path_create_directory(self.0, name.as_bytes())?;
        self.directory(name)
    }

    /// Opens a directory with all rights in [`DIRECTORY`].
    pub(crate) fn directory(self, name: &str) -> Result<Self> {
        let rights = (DIRECTORY, right::ALL);
        sys::path_open(self.0, FOLLOW, name.as_bytes(), oflags::DIRECTORY, rights, 0).map(Self)
    }

    /// Opens with the rights to read and write, and `oflags` `how`.
    pub(crate) fn open(self, name: &str, how: u32) -> Result<Fd> {
        self.open_flags(name, how, 0)
    }

    /// Like [`Dir::open`], with `fdflags`.
    pub(crate) fn open_flags(self, name: &str, how: u32, fdflags: u32) -> Result<Fd> {
        sys::path_open(self.0, FOLLOW, name.as_bytes(), how, (right::READ_WRITE, right::ALL), fdflags)
    }

    /// Opens with the rights to read.
    pub(crate) fn open_read(self, flags: u32, name: &[u8], how: u32) -> Result<Fd> {
        sys::path_open(self.0, flags, name, how, (right::READ, right::ALL), 0)
    }

    /// Opens with the rights to read and write, and closes again.
    pub(crate) fn try_open(self, flags: u32, name: impl AsRef<[u8]>, how: u32) -> Result {
        let rights = (right::READ_WRITE, right::ALL);
        sys::fd_close(sys::path_open(self.0, flags, name.as_ref(), how, rights, 0)?)
    }

    /// Opens with the rights to read, and closes again.
    pub(crate) fn try_open_read(self, flags: u32, name: impl AsRef<[u8]>, how: u32) -> Result {
        sys::fd_close(self.open_read(flags, name.as_ref(), how)?)
    }

    /// Writes a file with contents `bytes`.
    pub(crate) fn write(self, name: &str, bytes: &[u8]) -> Result {
        let fd = self.open(name, oflags::CREAT | oflags::TRUNC)?;
        sys::fd_write(fd, bytes)?;
        sys::fd_close(fd)
    }

    /// Reads at most 100 bytes of a file.
    pub(crate) fn read(self, name: &str) -> Result<Vec<u8>> {
        let fd = self.open_read(FOLLOW, name.as_bytes(), 0)?;
        let mut bytes = vec![0; 100];
        let result = sys::fd_read(fd, &mut bytes);
        sys::fd_close(fd)?;
        bytes.truncate(result?);
        Ok(bytes)
    }

    /// Returns the metadata of a name, without following a symbolic link.
    pub(crate) fn stat(self, name: impl AsRef<[u8]>) -> Result<Filestat> {
        sys::path_filestat_get(self.0, NO_FOLLOW, name.as_ref())
    }

    /// Returns the metadata of a name, following symbolic links.
    pub(crate) fn stat_follow(self, name: impl AsRef<[u8]>) -> Result<Filestat> {
        sys::path_filestat_get(self.0, FOLLOW, name.as_ref())
    }

    pub(crate) fn mkdir(self, name: impl AsRef<[u8]>) -> Result {
        sys::path_create_directory(self.0, name.as_ref())
    }

    pub(crate) fn rmdir(self, name: impl AsRef<[u8]>) -> Result {
        sys::path_remove_directory(self.0, name.as_ref())
    }

    pub(crate) fn unlink(self, name: impl AsRef<[u8]>) -> Result {
        sys::path_unlink_file(self.0, name.as_ref())
    }

    pub(crate) fn symlink(self, target: impl AsRef<[u8]>, name: impl AsRef<[u8]>) -> Result {
        sys::path_symlink(target.as_ref(), self.0, name.as_ref())
    }

    pub(crate) fn link(self, old: impl AsRef<[u8]>, new: impl AsRef<[u8]>) -> Result {
        sys::path_link(self.0, NO_FOLLOW, old.as_ref(), self.0, new.as_ref())
    }

    pub(crate) fn link_follow(self, old: impl AsRef<[u8]>, new: impl AsRef<[u8]>) -> Result {
        sys::path_link(self.0, FOLLOW, old.as_ref(), self.0, new.as_ref())
    }

    pub(crate) fn rename(self, old: impl AsRef<[u8]>, new: impl AsRef<[u8]>) -> Result {
        sys::path_rename(self.0, old.as_ref(), self.0, new.as_ref())
    }

    pub(crate) fn read_link(self, name: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        let mut text = vec![0; 5000];
        let len = sys::path_readlink(self.0, name.as_ref(), &mut text)?;
        text.truncate(len);
        Ok(text)
    }
}
