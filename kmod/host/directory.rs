// SPDX-License-Identifier: GPL-2.0

//! Directory entries, in the layout of WASI preview 1 `dirent`.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    files::Open,
    Host, //
};
use crate::{
    ffi::Checkpoint,
    preview1::FileType, //
};
use core::ptr;
use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// Number of entries between two checkpoints.
const ENTRIES_PER_CHECK: u32 = 256;

/// Receiver of the entries that a file system reports.
#[repr(C)]
struct Reader<'a> {
    /// Must be the first field: the file system passes a pointer to it, which [`take`] casts to the
    /// `Reader`.
    context: bindings::dir_context,
    bytes: &'a mut [u8],
    used: usize,
    /// Offset in `bytes` of the last entry, while its `d_next` cookie is unknown.
    last: Option<usize>,
    host: &'a Host,
    entries: u32,
    stop: bool,
}

/// Returns the preview 1 `filetype` of Linux's `DT_*`.
fn file_type(kind: c_uint) -> FileType {
    match kind {
        bindings::DT_BLK => FileType::BlockDevice,
        bindings::DT_CHR => FileType::CharacterDevice,
        bindings::DT_DIR => FileType::Directory,
        bindings::DT_REG => FileType::RegularFile,
        bindings::DT_SOCK => FileType::SocketStream,
        bindings::DT_LNK => FileType::SymbolicLink,
        _ => FileType::Unknown,
    }
}

impl Reader<'_> {
    /// Appends `bytes` to the output, cut off at the end of the buffer.
    fn put(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(self.used..).unwrap_or_default();
        let len = room.len().min(bytes.len());
        if let (Some(room), Some(bytes)) = (room.get_mut(..len), bytes.get(..len)) {
            room.copy_from_slice(bytes);
        }
        self.used = self.used.saturating_add(len);
    }

    /// Stores `cookie` as the `d_next` cookie of the last entry.
    fn set_next(&mut self, cookie: u64) {
        let place = self
            .last
            .take()
            .and_then(|last| self.bytes.get_mut(last..)?.get_mut(..8));
        if let Some(place) = place {
            place.copy_from_slice(&cookie.to_le_bytes());
        }
    }

    /// Appends an entry. Returns true if the buffer has room for more.
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
        // Layout of a `dirent`: cookie of the next entry, inode number, length of the name, type,
        // padding. The name follows.
        self.last = Some(self.used);
        self.put(&[0; 8]);
        self.put(&inode.to_le_bytes());
        self.put(&(name.len() as u32).to_le_bytes());
        self.put(&[file_type(kind) as u8, 0, 0, 0]);
        self.put(name);
        true
    }
}

/// Receives one entry from a file system: `filldir_t` of `include/linux/fs.h`.
///
/// # Safety
///
/// - `context` must point to the `context` field of a [`Reader`] that nothing else uses during the
///   call.
/// - `name` must point to `len` readable bytes.
unsafe extern "C" fn take(
    context: *mut bindings::dir_context,
    name: *const c_char,
    len: c_int,
    cookie: bindings::loff_t,
    inode: u64,
    kind: c_uint,
) -> bool {
    // SAFETY: `context` points to the first field of a `Reader`, which is `repr(C)`, by this
    // function's safety requirements; nothing else uses that `Reader` now.
    let reader = unsafe { &mut *context.cast::<Reader<'_>>() };
    // SAFETY: `name` points to `len` readable bytes by this function's safety requirements.
    let name =
        unsafe { core::slice::from_raw_parts(name.cast(), usize::try_from(len).unwrap_or(0)) };
    reader.add(name, cookie as u64, inode, kind)
}

/// Writes the entries from `cookie` on to `bytes`. Returns the number of bytes written.
///
/// # Errors
///
/// `ENOTDIR` if the file is not a directory; `EINTR` if the guest must stop; errors of the file
/// system.
pub(super) fn read(open: &Open, bytes: &mut [u8], cookie: u64, host: &Host) -> Result<u64> {
    let file = open.as_ptr();
    if open.kind() != bindings::S_IFDIR {
        return Err(ENOTDIR);
    }
    let cookie = i64::try_from(cookie)?;
    open.with_position(|_| {
        // SAFETY: `vfs_llseek` requires a valid file. `open` holds a reference to it.
        // `with_position` holds the lock of the position.
        let position = unsafe { bindings::vfs_llseek(file, cookie, bindings::SEEK_SET as c_int) };
        if position < 0 {
            return Err(Error::from_errno(position as i32));
        }
        let mut reader = Reader {
            context: bindings::dir_context {
                actor: Some(take),
                ..Default::default()
            },
            bytes,
            used: 0,
            last: None,
            host,
            entries: 0,
            stop: false,
        };
        // SAFETY: `iterate_dir` requires a valid file and a context that its actor accepts. `open`
        // holds a reference to the file. The context is the first field of a `Reader`, as `take`
        // requires, and the file system calls `take` only during this call.
        to_result(unsafe { bindings::iterate_dir(file, ptr::from_mut(&mut reader).cast()) })?;
        if reader.stop {
            return Err(EINTR);
        }
        let next = reader.context.pos as u64;
        reader.set_next(next);
        Ok(reader.used as u64)
    })
}
