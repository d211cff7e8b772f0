// SPDX-License-Identifier: GPL-2.0

//! Open files that a guest was handed.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h), [`include/linux/uio.h`](srctree/include/linux/uio.h)

use crate::{
    bindings as kwasmi_bindings,
    ffi::{
        FileStat,
        IoVec,
        AT_POSITION,
        IOVECS_MAX, //
    },
};
use core::{
    mem::MaybeUninit,
    ptr, //
};
use kernel::{
    bindings,
    error::to_result,
    fs::{
        File,
        LocalFile, //
    },
    prelude::*,
    sync::aref::ARef, //
};

/// The most bytes of one transfer: `MAX_RW_COUNT` of `include/linux/fs.h`.
const TRANSFER_MAX: usize = (i32::MAX as usize) & !(kernel::page::PAGE_SIZE - 1);

/// `O_APPEND`, `O_NONBLOCK`, `O_DSYNC` and `O_SYNC` by preview 1 `fdflags`.
const FLAGS: [(u64, u32); 4] = [
    (1 << 0, bindings::O_APPEND),
    (1 << 2, bindings::O_NONBLOCK),
    (1 << 1, bindings::O_DSYNC),
    (1 << 4, bindings::O_SYNC & !bindings::O_DSYNC),
];

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the file to the guest.
    Read,
    /// From the guest to the file.
    Write,
}

/// A guest's files, by handle.
pub(crate) struct Files {
    table: KVVec<Option<ARef<File>>>,
}

impl Files {
    /// None.
    pub(crate) fn new() -> Self {
        Self { table: KVVec::new() }
    }

    /// Takes a reference to the current process's descriptor `fd`; returns the handle.
    ///
    /// # Errors
    ///
    /// `EBADF`, `ENOMEM`.
    pub(crate) fn open(&mut self, fd: i32) -> Result<u32> {
        let file = LocalFile::fget(u32::try_from(fd).map_err(|_| EBADF)?)?;
        // SAFETY: This is an ioctl, which has no `fdget_pos` call going on.
        let file = unsafe { LocalFile::assume_no_fdget_pos(file) };
        let handle = u32::try_from(self.table.len())?;
        self.table.push(Some(file), GFP_KERNEL_ACCOUNT)?;
        Ok(handle)
    }

    fn get(&self, handle: u64) -> Result<*mut bindings::file> {
        let index = usize::try_from(handle)?;
        let file = self.table.get(index).and_then(Option::as_ref).ok_or(EBADF)?;
        Ok(file.as_ptr())
    }

    /// Gives a file up.
    pub(super) fn close(&mut self, handle: u64) -> Result<u64> {
        let index = usize::try_from(handle)?;
        let file = self.table.get_mut(index).and_then(Option::take).ok_or(EBADF)?;
        drop(file);
        Ok(0)
    }

    /// Reads or writes; returns the number of bytes.
    ///
    /// # Safety
    ///
    /// `vectors` is address and number of [`IoVec`]s, which describe memory that can be used in this direction.
    pub(super) unsafe fn transfer(
        &self,
        handle: u64,
        vectors: (u64, u64),
        at: u64,
        direction: Direction,
    ) -> Result<u64> {
        let file = self.get(handle)?;
        let (addr, count) = (vectors.0 as *const IoVec, usize::try_from(vectors.1)?);
        if count > IOVECS_MAX {
            return Err(EINVAL);
        }
        // SAFETY: The caller guarantees it.
        let slice = unsafe { core::slice::from_raw_parts(addr, count) };
        let bytes = slice.iter().fold(0, |sum: usize, vector| sum.saturating_add(vector.len)).min(TRANSFER_MAX);
        let mut iter = MaybeUninit::<bindings::iov_iter>::uninit();
        let way = match direction {
            Direction::Read => bindings::ITER_DEST,
            Direction::Write => bindings::ITER_SOURCE,
        };
        // An `IoVec` is laid out as a `struct kvec`.
        // SAFETY: The vectors outlive the iterator.
        unsafe { bindings::iov_iter_kvec(iter.as_mut_ptr(), way, addr.cast(), count, bytes) };

        let mut go = |position: *mut bindings::loff_t| {
            let done = match direction {
                // SAFETY: The file is referenced, the iterator is set up, the position valid or null.
                Direction::Read => unsafe { bindings::vfs_iter_read(file, iter.as_mut_ptr(), position, 0) },
                // SAFETY: As above.
                Direction::Write => unsafe { bindings::vfs_iter_write(file, iter.as_mut_ptr(), position, 0) },
            };
            if done < 0 {
                return Err(Error::from_errno(done as i32));
            }
            Ok(done as u64)
        };
        if at == AT_POSITION {
            return with_position(file, go);
        }
        // SAFETY: The file is referenced; its mode does not change.
        let mode = unsafe { (*file).f_mode };
        let positioned = match direction {
            Direction::Read => kwasmi_bindings::KWASMI_CONST_FMODE_PREAD,
            Direction::Write => kwasmi_bindings::KWASMI_CONST_FMODE_PWRITE,
        };
        if mode & positioned == 0 {
            return Err(ESPIPE);
        }
        let mut position = i64::try_from(at)?;
        go(&mut position)
    }

    /// Moves the position; returns the new one.
    pub(super) fn seek(&self, handle: u64, offset: i64, whence: u64) -> Result<u64> {
        let file = self.get(handle)?;
        let whence = i32::try_from(whence)?;
        with_position(file, |_| {
            // SAFETY: The file is referenced, and its position locked.
            let position = unsafe { bindings::vfs_llseek(file, offset, whence) };
            if position < 0 {
                return Err(Error::from_errno(position as i32));
            }
            Ok(position as u64)
        })
    }

    /// Describes a file in the [`FileStat`] at address `stat`.
    ///
    /// # Safety
    ///
    /// There is one.
    pub(super) unsafe fn stat(&self, handle: u64, stat: u64) -> Result<u64> {
        let file = self.get(handle)?;
        let mut found = MaybeUninit::<bindings::kstat>::zeroed();
        // SAFETY: The file is referenced, and so is its path.
        let path = unsafe { &raw const (*file).__bindgen_anon_1.f_path };
        let how = bindings::AT_STATX_SYNC_AS_STAT;
        // SAFETY: Path and result are valid.
        to_result(unsafe { bindings::vfs_getattr(path, found.as_mut_ptr(), bindings::STATX_BASIC_STATS, how) })?;
        // SAFETY: `vfs_getattr` has filled it in.
        let found = unsafe { found.assume_init() };
        // SAFETY: The file is referenced; the flags are a word, written as a whole.
        let flags = unsafe { (&raw const (*file).f_flags).read_volatile() };
        let result = FileStat {
            dev: u64::from(found.dev),
            ino: found.ino,
            nlink: u64::from(found.nlink),
            size: found.size as u64,
            atime: nanoseconds(found.atime),
            mtime: nanoseconds(found.mtime),
            ctime: nanoseconds(found.ctime),
            mode: u32::from(found.mode),
            flags,
            socket_type: socket_type(file),
            reserved: 0,
        };
        // SAFETY: The caller guarantees that it may be written.
        unsafe { (stat as *mut FileStat).write(result) };
        Ok(0)
    }

    /// Sets preview 1 `fdflags`. The kernel exports no way to change those of an open file, so only the ones that it has
    /// already can be set.
    pub(super) fn set_flags(&self, handle: u64, fdflags: u64) -> Result<u64> {
        let file = self.get(handle)?;
        // SAFETY: The file is referenced; the flags are a word, written as a whole.
        let has = unsafe { (&raw const (*file).f_flags).read_volatile() };
        for (fdflag, flag) in FLAGS {
            if (fdflags & fdflag != 0) != (has & flag != 0) {
                return Err(EOPNOTSUPP);
            }
        }
        Ok(0)
    }
}

/// Calls `go` with the file's position, locked as `fdget_pos` of `fs/file.c` locks it; with null where a file has none.
fn with_position(file: *mut bindings::file, go: impl FnOnce(*mut bindings::loff_t) -> Result<u64>) -> Result<u64> {
    // SAFETY: The file is referenced; its mode does not change.
    let mode = unsafe { (*file).f_mode };
    if mode & kwasmi_bindings::KWASMI_CONST_FMODE_STREAM != 0 {
        return go(ptr::null_mut());
    }
    // SAFETY: The file is referenced.
    let place = unsafe { &raw mut (*file).f_pos };
    if mode & kwasmi_bindings::KWASMI_CONST_FMODE_ATOMIC_POS == 0 {
        return go(place);
    }
    // SAFETY: The file is referenced; one whose position is atomic has the lock in this place.
    let lock = unsafe { &raw mut (*file).__bindgen_anon_2.f_pos_lock };
    // SAFETY: The lock is initialised, and we may sleep.
    to_result(unsafe { lock_interruptible(lock) })?;
    let result = go(place);
    // SAFETY: We hold it.
    unsafe { bindings::mutex_unlock(lock) };
    result
}

fn nanoseconds(time: bindings::timespec64) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(u64::from(bindings::NSEC_PER_SEC)).saturating_add(time.tv_nsec as u64)
}

/// The type of a socket (`SOCK_*`); 0 for another file.
fn socket_type(file: *mut bindings::file) -> u32 {
    // SAFETY: The file is referenced.
    let socket = unsafe { bindings::sock_from_file(file) };
    if socket.is_null() {
        return 0;
    }
    // SAFETY: The file keeps its socket.
    let kind = unsafe { (*socket).type_ };
    u32::try_from(kind).unwrap_or(0)
}

/// `mutex_lock_interruptible` of `include/linux/mutex.h`, which is a macro where locks are tracked.
///
/// # Safety
///
/// `lock` is a mutex that is initialised, and the task does not hold it.
unsafe fn lock_interruptible(lock: *mut bindings::mutex) -> c_int {
    #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
    // SAFETY: The caller guarantees it.
    return unsafe { bindings::mutex_lock_interruptible_nested(lock, 0) };
    #[cfg(not(CONFIG_DEBUG_LOCK_ALLOC))]
    // SAFETY: The caller guarantees it.
    return unsafe { bindings::mutex_lock_interruptible(lock) };
}
