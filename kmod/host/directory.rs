// SPDX-License-Identifier: GPL-2.0

//! The entries of a directory, as preview 1 lays them out.

use super::{
    files::Open,
    Host, //
};
use crate::ffi::Checkpoint;
use core::ptr;
use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// Entries between two looks at whether the guest is to end.
const ENTRIES_PER_CHECK: u32 = 256;

/// Takes entries from a file system.
#[repr(C)]
struct Reader<'a> {
    /// First, so that the file system's pointer to it is one to all of this.
    context: bindings::dir_context,
    bytes: &'a mut [u8],
    used: usize,
    /// Where the last entry begins, whose cookie of the next one is not known yet.
    last: Option<usize>,
    host: &'a Host,
    entries: u32,
    stop: bool,
}

/// Preview 1 `filetype` of Linux's `DT_*`.
fn file_type(kind: c_uint) -> u8 {
    match kind {
        bindings::DT_BLK => 1,
        bindings::DT_CHR => 2,
        bindings::DT_DIR => 3,
        bindings::DT_REG => 4,
        bindings::DT_SOCK => 6,
        bindings::DT_LNK => 7,
        _ => 0,
    }
}

impl Reader<'_> {
    /// Puts as much of `bytes` behind what there is as fits.
    fn put(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(self.used..).unwrap_or_default();
        let len = room.len().min(bytes.len());
        if let (Some(room), Some(bytes)) = (room.get_mut(..len), bytes.get(..len)) {
            room.copy_from_slice(bytes);
        }
        self.used = self.used.saturating_add(len);
    }

    /// The last entry is followed by the one at `cookie`.
    fn set_next(&mut self, cookie: u64) {
        let place = self.last.take().and_then(|last| self.bytes.get_mut(last..)?.get_mut(..8));
        if let Some(place) = place {
            place.copy_from_slice(&cookie.to_le_bytes());
        }
    }

    /// Takes an entry; whether there is room for more.
    fn add(&mut self, name: &[u8], cookie: u64, inode: u64, kind: c_uint) -> bool {
        self.set_next(cookie);
        self.entries = self.entries.wrapping_add(1);
        if self.entries % ENTRIES_PER_CHECK == 0 {
            let answer = self.host.checkpoint();
            self.stop = !matches!(answer, Checkpoint::Continue | Checkpoint::Interrupt);
        }
        if self.stop || self.used >= self.bytes.len() {
            return false;
        }
        // A `dirent`: the next entry's cookie, the inode's number, the length of the name, the type and padding; the name.
        self.last = Some(self.used);
        self.put(&[0; 8]);
        self.put(&inode.to_le_bytes());
        self.put(&(name.len() as u32).to_le_bytes());
        self.put(&[file_type(kind), 0, 0, 0]);
        self.put(name);
        true
    }
}

/// Called by file systems: `filldir_t` of `include/linux/fs.h`.
///
/// # Safety
///
/// `context` is that of a [`Reader`], and `name` has `len` bytes.
unsafe extern "C" fn take(
    context: *mut bindings::dir_context,
    name: *const c_char,
    len: c_int,
    cookie: bindings::loff_t,
    inode: u64,
    kind: c_uint,
) -> bool {
    // SAFETY: The caller guarantees that the context is the first field of one, which nobody else uses now.
    let reader = unsafe { &mut *context.cast::<Reader<'_>>() };
    // SAFETY: The caller guarantees the length.
    let name = unsafe { core::slice::from_raw_parts(name.cast(), usize::try_from(len).unwrap_or(0)) };
    reader.add(name, cookie as u64, inode, kind)
}

/// Puts the entries from `cookie` on into `bytes`; returns how many bytes.
///
/// # Errors
///
/// `ENOTDIR`, `EINTR` if the guest is to end, those of the file system.
pub(super) fn read(open: &Open, bytes: &mut [u8], cookie: u64, host: &Host) -> Result<u64> {
    let file = open.as_ptr();
    if open.kind() != bindings::S_IFDIR {
        return Err(ENOTDIR);
    }
    let cookie = i64::try_from(cookie)?;
    open.with_position(|_| {
        // SAFETY: The file is referenced, and its position locked.
        let position = unsafe { bindings::vfs_llseek(file, cookie, bindings::SEEK_SET as c_int) };
        if position < 0 {
            return Err(Error::from_errno(position as i32));
        }
        let mut reader = Reader {
            context: bindings::dir_context { actor: Some(take), ..Default::default() },
            bytes,
            used: 0,
            last: None,
            host,
            entries: 0,
            stop: false,
        };
        // SAFETY: The file is referenced, and its position locked; the context is that of a reader.
        to_result(unsafe { bindings::iterate_dir(file, ptr::from_mut(&mut reader).cast()) })?;
        if reader.stop {
            return Err(EINTR);
        }
        let next = reader.context.pos as u64;
        reader.set_next(next);
        Ok(reader.used as u64)
    })
}
