// SPDX-License-Identifier: GPL-2.0

//! Preview 1 functions for paths below a directory.
//!
//! The host receives a relative path without NUL bytes, copied out of linear memory once. The host
//! must ensure that the path does not leave the directory, because only path resolution can check
//! that.

use super::{
    Done, Failure, WasiCtx,
    abi::{
        Errno,
        LOOKUP_SYMLINK_FOLLOW,
        Rights,
        oflags, //
    },
    fds::Descriptor,
    files::{
        fdflags,
        times,
        write_filestat, //
    },
    memory::{
        slice,
        slice_mut,
        write, //
    },
};
use crate::{
    ffi::{
        FileStat,
        Limit,
        PATH_MAX,
        open, //
    },
    host::{
        End,
        Handle,
        Host,
        Opened,
        RelativePath, //
    },
};
use alloc::vec::Vec;
use core::ffi::CStr;

/// Path that was copied out of linear memory.
struct Path {
    /// Bytes with one NUL, at the end.
    bytes: Vec<u8>,
}

impl Path {
    /// Copies the `len` bytes at `pointer`.
    ///
    /// # Errors
    ///
    /// - [`Errno::Fault`] if the bytes are not inside of `memory`.
    /// - [`Errno::NoEnt`] if the path is empty.
    /// - [`Errno::Perm`] if it is absolute.
    /// - [`Errno::NameTooLong`] if it is longer than [`PATH_MAX`].
    /// - [`Errno::Inval`] if it contains a NUL.
    /// - [`Errno::IlSeq`] if it is not UTF-8.
    /// - [`Errno::NoMem`] if no memory is available.
    fn read(memory: &[u8], pointer: u32, len: u32) -> Result<Self, Errno> {
        let path = slice(memory, pointer, len)?;
        match path.first() {
            None => return Err(Errno::NoEnt),
            Some(b'/') => return Err(Errno::Perm),
            Some(_) => {}
        }
        if path.len() > PATH_MAX {
            return Err(Errno::NameTooLong);
        }
        if path.contains(&0) {
            return Err(Errno::Inval);
        }
        core::str::from_utf8(path).map_err(|_| Errno::IlSeq)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(path.len().saturating_add(1)).map_err(|_| Errno::NoMem)?;
        bytes.extend_from_slice(path);
        bytes.push(0);
        Ok(Self { bytes })
    }

    fn as_c_str(&self) -> Result<&CStr, Errno> {
        CStr::from_bytes_with_nul(&self.bytes).map_err(|_| Errno::Inval)
    }

    /// Returns the place that this path names below the directory `dir`.
    fn below(&self, dir: Handle, follow: bool) -> Result<RelativePath<'_>, Errno> {
        Ok(RelativePath { dir, path: self.as_c_str()?, follow })
    }
}

/// Decodes `lookupflags`: returns true if a symbolic link at the end of the path is followed.
fn follows(flags: u32) -> Result<bool, Errno> {
    match flags {
        0 => Ok(false),
        LOOKUP_SYMLINK_FOLLOW => Ok(true),
        _ => Err(Errno::Inval),
    }
}

pub(super) fn path_create_directory<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    path: u32,
    path_len: u32,
) -> Done {
    let dir = context.fds.get_with(fd, Rights::PATH_CREATE_DIRECTORY)?.handle;
    let path = Path::read(memory, path, path_len)?;
    Ok(context.host.create_directory(path.below(dir, false)?)?)
}

pub(super) fn path_remove_directory<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    path: u32,
    path_len: u32,
) -> Done {
    let dir = context.fds.get_with(fd, Rights::PATH_REMOVE_DIRECTORY)?.handle;
    let path = Path::read(memory, path, path_len)?;
    Ok(context.host.remove_directory(path.below(dir, false)?)?)
}

pub(super) fn path_unlink_file<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    path: u32,
    path_len: u32,
) -> Done {
    let dir = context.fds.get_with(fd, Rights::PATH_UNLINK_FILE)?.handle;
    let path = Path::read(memory, path, path_len)?;
    Ok(context.host.unlink(path.below(dir, false)?)?)
}

pub(super) fn path_filestat_get<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    stat: u32,
) -> Done {
    let file = stat_path(context, memory, (fd, flags), (path, path_len))?;
    Ok(write_filestat(memory, stat, &file)?)
}

/// Returns the attributes of a file or directory, for `path_filestat_get`.
pub(super) fn stat_path<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &[u8],
    (fd, flags): (u32, u32),
    (path, path_len): (u32, u32),
) -> Result<FileStat, Failure> {
    let dir = context.fds.get_with(fd, Rights::PATH_FILESTAT_GET)?.handle;
    let path = Path::read(memory, path, path_len)?;
    Ok(context.host.stat_at(path.below(dir, follows(flags)?)?)?)
}

#[expect(clippy::too_many_arguments, reason = "the signature of preview 1")]
pub(super) fn path_filestat_set_times<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    atime: u64,
    mtime: u64,
    fst_flags: u32,
) -> Done {
    let dir = context.fds.get_with(fd, Rights::PATH_FILESTAT_SET_TIMES)?.handle;
    let path = Path::read(memory, path, path_len)?;
    let times = times(atime, mtime, fst_flags)?;
    Ok(context.host.set_times_at(path.below(dir, follows(flags)?)?, &times)?)
}

#[expect(clippy::too_many_arguments, reason = "the signature of preview 1")]
pub(super) fn path_link<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    old_fd: u32,
    old_flags: u32,
    old_path: u32,
    old_path_len: u32,
    new_fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Done {
    let old_dir = context.fds.get_with(old_fd, Rights::PATH_LINK_SOURCE)?.handle;
    let new_dir = context.fds.get_with(new_fd, Rights::PATH_LINK_TARGET)?.handle;
    let old = Path::read(memory, old_path, old_path_len)?;
    let new = Path::read(memory, new_path, new_path_len)?;
    Ok(context.host.link(old.below(old_dir, follows(old_flags)?)?, new.below(new_dir, false)?)?)
}

#[expect(clippy::too_many_arguments, reason = "the signature of preview 1")]
pub(super) fn path_rename<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    old_fd: u32,
    old_path: u32,
    old_path_len: u32,
    new_fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Done {
    let old_dir = context.fds.get_with(old_fd, Rights::PATH_RENAME_SOURCE)?.handle;
    let new_dir = context.fds.get_with(new_fd, Rights::PATH_RENAME_TARGET)?.handle;
    let old = Path::read(memory, old_path, old_path_len)?;
    let new = Path::read(memory, new_path, new_path_len)?;
    Ok(context.host.rename(old.below(old_dir, false)?, new.below(new_dir, false)?)?)
}

/// Creates a symbolic link. The target must be relative, like every path of a guest, because other
/// programs may follow the link.
pub(super) fn path_symlink<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    target: u32,
    target_len: u32,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Done {
    let dir = context.fds.get_with(fd, Rights::PATH_SYMLINK)?.handle;
    let target = Path::read(memory, target, target_len)?;
    let path = Path::read(memory, path, path_len)?;
    Ok(context.host.symlink(target.as_c_str()?, path.below(dir, false)?)?)
}

/// Reads a symbolic link. Text beyond the buffer is dropped.
#[expect(clippy::too_many_arguments, reason = "the signature of preview 1")]
pub(super) fn path_readlink<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    path: u32,
    path_len: u32,
    buf: u32,
    buf_len: u32,
    used: u32,
) -> Done {
    let dir = context.fds.get_with(fd, Rights::PATH_READLINK)?.handle;
    let path = Path::read(memory, path, path_len)?;
    slice_mut(memory, used, 4)?;
    let text = slice_mut(memory, buf, buf_len)?;
    let len = context.host.read_link(path.below(dir, false)?, text)?;
    let len = u32::try_from(len).map_err(|_| Errno::Overflow)?;
    Ok(write(memory, used, &len.min(buf_len).to_le_bytes())?)
}

/// Rights that open a file for reading.
const READING: Rights = Rights::FD_READ.with(Rights::FD_READDIR);

/// Rights that open a file for writing.
const WRITING: Rights = Rights::FD_WRITE.with(Rights::FD_ALLOCATE).with(Rights::FD_FILESTAT_SET_SIZE);

/// Opens a file or directory. Programs request every right that they may use, and get those that
/// the directory passes on. A requested right that it does not pass on is an error only if it is
/// `FD_READ` or `FD_WRITE`.
#[expect(clippy::too_many_arguments, reason = "the signature of preview 1")]
pub(super) fn path_open<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    dirflags: u32,
    path: u32,
    path_len: u32,
    how: u32,
    rights: u64,
    inheriting: u64,
    flags: u32,
    opened: u32,
) -> Done {
    let mut needed = Rights::PATH_OPEN;
    let mut host_how = 0;
    for (flag, right, host_flag) in [
        (oflags::CREAT, Rights::PATH_CREATE_FILE, open::CREATE),
        (oflags::DIRECTORY, Rights::NONE, open::DIRECTORY),
        (oflags::EXCL, Rights::NONE, open::EXCLUSIVE),
        (oflags::TRUNC, Rights::PATH_FILESTAT_SET_SIZE, open::TRUNCATE),
    ] {
        if how & flag != 0 {
            needed = needed.with(right);
            host_how |= host_flag;
        }
    }
    if how & !(oflags::CREAT | oflags::DIRECTORY | oflags::EXCL | oflags::TRUNC) != 0 {
        return Err(Errno::Inval.into());
    }
    let dir = context.fds.get_with(fd, needed)?;
    // A C library requests `FD_SYNC` without `FD_DATASYNC` for a file opened for reading.
    let requested = match Rights::from_raw_known(rights) {
        requested if requested.contains(Rights::FD_SYNC) => requested.with(Rights::FD_DATASYNC),
        requested => requested,
    };
    if !dir.inheriting.contains(requested.both(Rights::FD_READ.with(Rights::FD_WRITE))) {
        return Err(Errno::NotCapable.into());
    }
    let rights = requested.both(dir.inheriting);
    if rights.has_any(READING) {
        host_how |= open::READ;
    }
    if rights.has_any(WRITING) {
        host_how |= open::WRITE;
    }
    let path = Path::read(memory, path, path_len)?;
    let place = path.below(dir.handle, follows(dirflags)?)?;
    let flags = fdflags(flags)?;
    slice_mut(memory, opened, 4)?;
    let fd = context.fds.vacant().ok_or(End::limited(Limit::Fds))?;
    let Opened { handle, is_directory } = context.host.open(place, host_how, flags)?;
    let inheriting = Rights::from_raw_known(inheriting);
    let (inheriting, refused) = (inheriting.both(dir.inheriting), inheriting.both(dir.refused));
    let rights = if is_directory { rights.without(Rights::NOT_OF_DIRECTORIES) } else { rights };
    adopt(context, fd, Descriptor { handle, rights, inheriting, refused, preopen: None })?;
    Ok(write(memory, opened, &fd.to_le_bytes())?)
}

/// Adds `descriptor`, which the host has just opened, with the unused number `fd`.
pub(super) fn adopt<H: Host>(context: &mut WasiCtx<H>, fd: u32, descriptor: Descriptor) -> Done {
    if let Err(errno) = context.fds.insert(fd, descriptor) {
        // The guest never knew the handle, so an error of `close` is not reported.
        let _ = context.host.close(descriptor.handle);
        return Err(errno.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_text_of_bounded_length() {
        let mut memory = vec![b'a'; 8192];
        let read = |memory: &[u8], pointer, len| Path::read(memory, pointer, len).map(|path| path.bytes.len());
        assert_eq!(read(&memory, 0, 0), Err(Errno::NoEnt));
        assert_eq!(read(&memory, 0, 4095), Ok(4096));
        assert_eq!(read(&memory, 0, 4096), Err(Errno::NameTooLong));
        assert_eq!(read(&memory, 8192, 0), Err(Errno::NoEnt));
        assert_eq!(read(&memory, 8193, 0), Err(Errno::Fault));
        assert_eq!(read(&memory, 8000, 193), Err(Errno::Fault));
        memory[0] = b'/';
        memory[10] = 0;
        memory[20] = 0xff;
        assert_eq!(read(&memory, 0, 2), Err(Errno::Perm));
        assert_eq!(read(&memory, 5, 8), Err(Errno::Inval));
        assert_eq!(read(&memory, 15, 8), Err(Errno::IlSeq));
    }
}
