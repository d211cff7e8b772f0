// SPDX-License-Identifier: GPL-2.0

//! The functions of `wasi_unstable`, which is preview 0, whose types differ from those of preview
//! 1: `whence`, `filestat` and `subscription`, see the
//! [definition](https://github.com/WebAssembly/WASI/blob/main/legacy/preview0/docs.md).

use super::{
    Done, WasiCtx,
    abi::{
        Errno,
        Rights,
        Whence, //
    },
    files::{
        file_type,
        seek, //
    },
    memory::write,
    paths::stat_path,
    poll,
};
use crate::{
    ffi::FileStat,
    host::Host, //
};

pub(super) fn unstable_fd_filestat_get<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    stat: u32,
) -> Done {
    let descriptor = context.fds.get_with(fd, Rights::FD_FILESTAT_GET)?;
    let file = context.host.stat(descriptor.handle)?;
    Ok(write_filestat(memory, stat, &file)?)
}

pub(super) fn unstable_path_filestat_get<H: Host>(
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

/// Writes a preview 0 `filestat`, whose number of links has 32 bits, to `place`.
fn write_filestat(memory: &mut [u8], place: u32, file: &FileStat) -> Result<(), Errno> {
    let mut fields = [0; 56];
    let links = u32::try_from(file.nlink).unwrap_or(u32::MAX);
    let type_and_links = u64::from(links) << 32 | u64::from(file_type(file) as u8);
    let numbers = [file.dev, file.ino, type_and_links, file.size, file.atime, file.mtime, file.ctime];
    for (field, number) in fields.chunks_exact_mut(8).zip(numbers) {
        field.copy_from_slice(&number.to_le_bytes());
    }
    write(memory, place, &fields)
}

pub(super) fn unstable_fd_seek<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    offset: u64,
    whence: u32,
    position: u32,
) -> Done {
    let whence = match whence {
        0 => Whence::Cur,
        1 => Whence::End,
        2 => Whence::Set,
        _ => return Err(Errno::Inval.into()),
    };
    seek(context, memory, fd, (offset.cast_signed(), whence), position)
}

pub(super) fn unstable_poll_oneoff<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    subscriptions: u32,
    events: u32,
    count: u32,
    nevents: u32,
) -> Done {
    poll::oneoff(context, memory, (subscriptions, count, &poll::PREVIEW_0), events, nevents)
}
