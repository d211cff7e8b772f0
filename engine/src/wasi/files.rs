// SPDX-License-Identifier: GPL-2.0

//! Preview 1 functions for open files and directories.

use super::{
    Done, WasiCtx,
    abi::{
        Advice,
        Errno,
        FdFlags,
        FileType,
        Rights,
        Whence,
        fstflags, //
    },
    memory::{
        slice_mut,
        write, //
    },
};
use crate::{
    ffi::{
        FileStat,
        Times, //
    },
    host::{
        Fail,
        Handle,
        Host, //
    },
};

/// Closes a handle whose descriptor has been removed: the call cannot be repeated.
pub(super) fn close<H: Host>(context: &mut WasiCtx<H>, handle: Handle) -> Done {
    match context.host.close(handle) {
        Err(Fail::Interrupted) => Err(Errno::Intr.into()),
        done => Ok(done?),
    }
}

/// Returns the flags that `raw` stands for.
///
/// # Errors
///
/// [`Errno::Inval`] if one of them is unknown.
pub(super) fn fdflags(raw: u32) -> Result<FdFlags, Errno> {
    u16::try_from(raw).ok().and_then(FdFlags::from_raw).ok_or(Errno::Inval)
}

/// Implements `fd_seek` for an offset from `whence`.
pub(super) fn seek<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    (offset, whence): (i64, Whence),
    position: u32,
) -> Done {
    let rights =
        if whence == Whence::Cur && offset == 0 { Rights::FD_TELL } else { Rights::FD_SEEK.with(Rights::FD_TELL) };
    let descriptor = context.file(fd, rights, Errno::BadF)?;
    slice_mut(memory, position, 8)?;
    let now = context.host.seek(descriptor.handle, offset, whence)?;
    Ok(write(memory, position, &now.to_le_bytes())?)
}

/// Returns the preview 1 `filetype` of a file.
pub(super) fn file_type(stat: &FileStat) -> FileType {
    match stat.mode & 0o170_000 {
        0o020_000 => FileType::CharacterDevice,
        0o040_000 => FileType::Directory,
        0o060_000 => FileType::BlockDevice,
        0o100_000 => FileType::RegularFile,
        0o120_000 => FileType::SymbolicLink,
        0o140_000 if stat.socket_type == 2 => FileType::SocketDgram,
        0o140_000 => FileType::SocketStream,
        _ => FileType::Unknown,
    }
}

pub(super) fn fd_filestat_get<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], fd: u32, stat: u32) -> Done {
    let descriptor = context.fds.get_with(fd, Rights::FD_FILESTAT_GET)?;
    let file = context.host.stat(descriptor.handle)?;
    Ok(write_filestat(memory, stat, &file)?)
}

/// Writes a preview 1 `filestat` to `place`.
pub(super) fn write_filestat(memory: &mut [u8], place: u32, file: &FileStat) -> Result<(), Errno> {
    let mut fields = [0; 64];
    let numbers = [
        file.dev,
        file.ino,
        u64::from(file_type(file) as u8),
        file.nlink,
        file.size,
        file.atime,
        file.mtime,
        file.ctime,
    ];
    for (field, number) in fields.chunks_exact_mut(8).zip(numbers) {
        field.copy_from_slice(&number.to_le_bytes());
    }
    write(memory, place, &fields)
}

/// Checks a file offset or length: it must not be negative as Linux's `loff_t`.
pub(super) fn file_size(size: u64) -> Result<u64, Errno> {
    i64::try_from(size).map_err(|_| Errno::Inval)?;
    Ok(size)
}

pub(super) fn fd_advise<H: Host>(
    context: &mut WasiCtx<H>,
    _memory: &mut [u8],
    fd: u32,
    offset: u64,
    len: u64,
    advice: u32,
) -> Done {
    let advice = u8::try_from(advice).ok().and_then(Advice::from_raw).ok_or(Errno::Inval)?;
    let descriptor = context.file(fd, Rights::FD_ADVISE, Errno::BadF)?;
    Ok(context.host.advise(descriptor.handle, file_size(offset)?, file_size(len)?, advice)?)
}

pub(super) fn fd_allocate<H: Host>(
    context: &mut WasiCtx<H>,
    _memory: &mut [u8],
    fd: u32,
    offset: u64,
    len: u64,
) -> Done {
    let descriptor = context.file(fd, Rights::FD_ALLOCATE, Errno::BadF)?;
    Ok(context.host.allocate(descriptor.handle, file_size(offset)?, file_size(len)?)?)
}

pub(super) fn fd_datasync<H: Host>(context: &mut WasiCtx<H>, _memory: &mut [u8], fd: u32) -> Done {
    let descriptor = context.fds.get_with(fd, Rights::FD_DATASYNC)?;
    Ok(context.host.sync(descriptor.handle, true)?)
}

pub(super) fn fd_sync<H: Host>(context: &mut WasiCtx<H>, _memory: &mut [u8], fd: u32) -> Done {
    let descriptor = context.fds.get_with(fd, Rights::FD_SYNC)?;
    Ok(context.host.sync(descriptor.handle, false)?)
}

pub(super) fn fd_filestat_set_size<H: Host>(context: &mut WasiCtx<H>, _memory: &mut [u8], fd: u32, size: u64) -> Done {
    let descriptor = context.file(fd, Rights::FD_FILESTAT_SET_SIZE, Errno::BadF)?;
    Ok(context.host.set_size(descriptor.handle, file_size(size)?)?)
}

/// Checks `fstflags` and returns the times to set.
pub(super) fn times(atime: u64, mtime: u64, flags: u32) -> Result<Times, Errno> {
    let both = |a, b| flags & a != 0 && flags & b != 0;
    let all = fstflags::ATIM | fstflags::ATIM_NOW | fstflags::MTIM | fstflags::MTIM_NOW;
    if flags & !all != 0 || both(fstflags::ATIM, fstflags::ATIM_NOW) || both(fstflags::MTIM, fstflags::MTIM_NOW) {
        return Err(Errno::Inval);
    }
    Ok(Times { flags, reserved: 0, atime, mtime })
}

pub(super) fn fd_filestat_set_times<H: Host>(
    context: &mut WasiCtx<H>,
    _memory: &mut [u8],
    fd: u32,
    atime: u64,
    mtime: u64,
    flags: u32,
) -> Done {
    let descriptor = context.fds.get_with(fd, Rights::FD_FILESTAT_SET_TIMES)?;
    Ok(context.host.set_times(descriptor.handle, &times(atime, mtime, flags)?)?)
}

pub(super) fn fd_readdir<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    buf: u32,
    buf_len: u32,
    cookie: u64,
    used: u32,
) -> Done {
    let descriptor = context.fds.get_with(fd, Rights::FD_READDIR)?;
    slice_mut(memory, used, 4)?;
    let entries = slice_mut(memory, buf, buf_len)?;
    let bytes = context.host.read_directory(descriptor.handle, entries, file_size(cookie)?)?;
    context.count_moved(bytes);
    let bytes = u32::try_from(bytes).map_err(|_| Errno::Overflow)?;
    Ok(write(memory, used, &bytes.min(buf_len).to_le_bytes())?)
}
