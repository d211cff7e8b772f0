// SPDX-License-Identifier: GPL-2.0

//! Directory entries in the layout of preview 1.

use super::{
    Result,
    files::Open, //
};
use crate::preview1;
use rustix::{
    fs::{
        FileType,
        RawDir,
        SeekFrom, //
    },
    io::Errno, //
};
use std::mem::MaybeUninit;

/// Size of the buffer for getdents64(2), in bytes.
const ENTRIES_BYTES: usize = 64 * 1024;

/// Returns the preview 1 `filetype` of an entry.
fn file_type(kind: FileType) -> preview1::FileType {
    match kind {
        FileType::BlockDevice => preview1::FileType::BlockDevice,
        FileType::CharacterDevice => preview1::FileType::CharacterDevice,
        FileType::Directory => preview1::FileType::Directory,
        FileType::RegularFile => preview1::FileType::RegularFile,
        FileType::Socket => preview1::FileType::SocketStream,
        FileType::Symlink => preview1::FileType::SymbolicLink,
        _ => preview1::FileType::Unknown,
    }
}

/// Copies the entries from `cookie` on into `bytes`, of which the last may be truncated. Returns
/// the number of bytes.
pub(super) fn read(open: &Open, bytes: &mut [u8], cookie: u64) -> Result {
    rustix::fs::seek(open, SeekFrom::Start(cookie))?;
    let mut buffer = vec![MaybeUninit::uninit(); ENTRIES_BYTES];
    let mut directory = RawDir::new(open, &mut buffer);
    let mut taken = Vec::new();
    while taken.len() < bytes.len() {
        let Some(entry) = directory.next() else { break };
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        taken.extend_from_slice(&entry.next_entry_cookie().to_le_bytes());
        taken.extend_from_slice(&entry.ino().to_le_bytes());
        taken.extend_from_slice(&u32::try_from(name.len()).map_err(|_| Errno::OVERFLOW)?.to_le_bytes());
        taken.extend_from_slice(&[file_type(entry.file_type()) as u8, 0, 0, 0]);
        taken.extend_from_slice(name);
    }
    let len = taken.len().min(bytes.len());
    bytes[..len].copy_from_slice(&taken[..len]);
    Ok(len as u64)
}
