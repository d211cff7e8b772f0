// SPDX-License-Identifier: GPL-2.0

//! Open files of a guest.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h), [`include/linux/uio.h`](srctree/include/linux/uio.h)

use super::sockets;
use crate::{
    bindings as kwasmi_bindings,
    ffi::{
        FileStat,
        Times, //
    },
};
use core::{
    mem::MaybeUninit,
    ptr::{
        self,
        NonNull, //
    },
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

/// Preview 1 `fdflags`.
pub(super) mod fdflags {
    pub(crate) const APPEND: u32 = 1 << 0;
    pub(crate) const DSYNC: u32 = 1 << 1;
    pub(crate) const NONBLOCK: u32 = 1 << 2;
    pub(crate) const RSYNC: u32 = 1 << 3;
    pub(crate) const SYNC: u32 = 1 << 4;
}

/// Linux's open flags by preview 1 `fdflags`.
const FLAGS: [(u32, u32); 4] = [
    (fdflags::APPEND, bindings::O_APPEND),
    (fdflags::NONBLOCK, bindings::O_NONBLOCK),
    (fdflags::DSYNC, bindings::O_DSYNC),
    (fdflags::SYNC | fdflags::RSYNC, bindings::O_SYNC),
];

/// Preview 1 `fstflags`.
mod fstflags {
    pub(super) const ATIM: u32 = 1 << 0;
    pub(super) const ATIM_NOW: u32 = 1 << 1;
    pub(super) const MTIM: u32 = 1 << 2;
    pub(super) const MTIM_NOW: u32 = 1 << 3;
}

/// Linux's `POSIX_FADV_*` (`include/uapi/linux/fadvise.h`) by preview 1 `advice`.
const ADVICE: [c_int; 6] = [0, 2, 1, 3, 4, 5];

/// A file, as the guest has it.
pub(super) struct Open {
    file: ARef<File>,
    /// The guest opened it, by name or by accepting a connection.
    is_own: bool,
    /// Preview 1 `fdflags`. They are the guest's own: others that have the file open do not notice when they change.
    pub(super) flags: u32,
}

impl Open {
    pub(super) fn new(file: ARef<File>) -> Self {
        let mut open = Self { file, is_own: false, flags: 0 };
        let has = open.linux_flags();
        for (flag, linux) in FLAGS {
            if has & linux == linux {
                open.flags |= flag;
            }
        }
        open
    }

    /// What the guest has opened; takes over the reference that `file` is.
    ///
    /// # Safety
    ///
    /// There is a reference, and nobody else gives it up.
    pub(super) unsafe fn own(file: NonNull<bindings::file>) -> Self {
        // SAFETY: A `File` is laid out as the file that it is; the caller guarantees the reference.
        let file = unsafe { ARef::from_raw(file.cast()) };
        Self { is_own: true, ..Self::new(file) }
    }

    /// What close(2) does before it gives up a file.
    ///
    /// # Errors
    ///
    /// What the file system says of data that it could not write.
    fn flush(&self) -> Result {
        let file = self.as_ptr();
        // SAFETY: The file is referenced; its operations do not change.
        let flush = unsafe { (*(*file).f_op).flush };
        match flush {
            // SAFETY: The file is referenced. It has no locks of the guest's, so that nobody is their owner.
            Some(flush) => to_result(unsafe { flush(file, ptr::null_mut()) }),
            None => Ok(()),
        }
    }

    /// Gives it up, as close(2) does: the other side of a pipe or socket sees it at once.
    ///
    /// # Errors
    ///
    /// Those of [`Open::flush`]. It is closed all the same.
    fn close(self) -> Result<u64> {
        let flushed = self.flush();
        // The last reference to a file is given up when the task returns to userspace, which a guest may do late. Not so
        // these. Others are what they are; one of kwasmi's own must not be released from within the engine.
        if self.is_own || matches!(self.kind(), bindings::S_IFIFO | bindings::S_IFSOCK) {
            let file = ARef::into_raw(self.file);
            // SAFETY: The reference was ours, and is no more.
            unsafe { bindings::__fput_sync(file.cast().as_ptr()) };
        }
        match flushed {
            // The call must not be made again: there is nothing to close any more.
            Err(_) if kernel::current!().signal_pending() => Ok(0),
            flushed => flushed.map(|()| 0),
        }
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::file {
        self.file.as_ptr()
    }

    /// Where it is.
    pub(super) fn path(&self) -> *const bindings::path {
        // SAFETY: The file is referenced, and so is its path.
        unsafe { &raw const (*self.as_ptr()).__bindgen_anon_1.f_path }
    }

    /// Linux's open flags of the file itself.
    pub(super) fn linux_flags(&self) -> u32 {
        // SAFETY: The file is referenced; the flags are a word, written as a whole.
        unsafe { (&raw const (*self.as_ptr()).f_flags).read_volatile() }
    }

    /// Its `FMODE_*`.
    pub(super) fn mode(&self) -> bindings::fmode_t {
        // SAFETY: The file is referenced; its mode does not change.
        unsafe { (*self.as_ptr()).f_mode }
    }

    /// Its `S_IFMT`.
    pub(super) fn kind(&self) -> u32 {
        // SAFETY: The file is referenced, and keeps its inode; the kind of an inode does not change.
        let mode = unsafe { (*(*self.as_ptr()).f_inode).i_mode };
        u32::from(mode) & bindings::S_IFMT
    }

    /// Whether it is one of `anon_inode_getfile` and its siblings.
    fn is_anonymous(&self) -> bool {
        // SAFETY: The file is referenced, and keeps its inode; this flag of an inode does not change.
        let flags = unsafe { (*(*self.as_ptr()).f_inode).i_flags };
        flags & bindings::S_ANON_INODE != 0
    }

    /// What the guest may do with it at most: whether it can be read, and written.
    pub(crate) fn access(&self) -> (bool, bool) {
        let mode = self.mode();
        (mode & kwasmi_bindings::KWASMI_CONST_FMODE_READ != 0, mode & kwasmi_bindings::KWASMI_CONST_FMODE_WRITE != 0)
    }

    /// Whether calls are not to wait.
    pub(super) fn is_nonblocking(&self) -> bool {
        self.flags & fdflags::NONBLOCK != 0
    }

    /// Whether the kernel would not wait, whatever the guest wants.
    pub(super) fn is_file_nonblocking(&self) -> bool {
        self.linux_flags() & bindings::O_NONBLOCK != 0
    }
}

/// A guest's files, by handle.
pub(crate) struct Files {
    table: KVVec<Option<Open>>,
}

impl Files {
    /// None.
    pub(crate) fn new() -> Self {
        Self { table: KVVec::new() }
    }

    /// Takes a reference to the current process's descriptor `fd`; returns the handle, and whether it can be read and
    /// written.
    ///
    /// # Errors
    ///
    /// `EBADF`, `ENOMEM`.
    pub(crate) fn open(&mut self, fd: i32) -> Result<(u32, (bool, bool))> {
        let file = LocalFile::fget(u32::try_from(fd).map_err(|_| EBADF)?)?;
        // SAFETY: This is an ioctl, which has no `fdget_pos` call going on.
        let file = unsafe { LocalFile::assume_no_fdget_pos(file) };
        let open = Open::new(file);
        let access = open.access();
        Ok((self.add(open)?, access))
    }

    /// Puts a file in the table; returns its handle.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn add(&mut self, open: Open) -> Result<u32> {
        if let Some(index) = self.table.iter().position(Option::is_none) {
            if let Some(place) = self.table.get_mut(index) {
                *place = Some(open);
            }
            return Ok(u32::try_from(index)?);
        }
        let handle = u32::try_from(self.table.len())?;
        self.table.push(Some(open), GFP_KERNEL_ACCOUNT)?;
        Ok(handle)
    }

    /// The file with this handle.
    ///
    /// # Errors
    ///
    /// `EBADF`.
    pub(super) fn get(&self, handle: u64) -> Result<&Open> {
        self.table.get(usize::try_from(handle)?).and_then(Option::as_ref).ok_or(EBADF)
    }

    /// Whether a file is a directory.
    pub(crate) fn is_directory(&self, handle: u32) -> bool {
        self.get(u64::from(handle)).is_ok_and(|open| open.kind() == bindings::S_IFDIR)
    }

    /// Whether a file is a socket.
    pub(crate) fn is_socket(&self, handle: u32) -> bool {
        self.get(u64::from(handle)).is_ok_and(|open| open.kind() == bindings::S_IFSOCK)
    }

    /// Whether other files can be on their way in a file, or registered with it: a Unix socket, or one without a name of its
    /// own, such as an io_uring.
    pub(crate) fn may_hold_files(&self, handle: u32) -> bool {
        self.get(u64::from(handle)).is_ok_and(|open| sockets::is_unix(open) || open.is_anonymous())
    }

    /// Gives a file up.
    pub(super) fn close(&mut self, handle: u64) -> Result<u64> {
        let index = usize::try_from(handle)?;
        self.table.get_mut(index).and_then(Option::take).ok_or(EBADF)?.close()
    }

    /// Gives all files up, as exit(2) does with the descriptors of a process, those that were handed over among them. An error is
    /// nobody's to know.
    pub(super) fn close_all(&mut self) {
        for open in core::mem::replace(&mut self.table, KVVec::new()).into_iter().flatten() {
            let _ = open.flush();
        }
    }

    /// Sets preview 1 `fdflags`. Calls cannot write less durably than the file was opened for.
    pub(super) fn set_flags(&mut self, handle: u64, flags: u64) -> Result<u64> {
        let index = usize::try_from(handle)?;
        let open = self.table.get_mut(index).and_then(Option::as_mut).ok_or(EBADF)?;
        let flags = u32::try_from(flags)?;
        let has = open.linux_flags();
        for (flag, linux) in FLAGS {
            let durable = linux & bindings::O_SYNC != 0;
            if durable && has & linux == linux && flags & flag == 0 {
                return Err(EOPNOTSUPP);
            }
        }
        open.flags = flags;
        Ok(0)
    }
}

/// `O_APPEND` and its siblings for preview 1 `fdflags`.
pub(super) fn linux_flags(flags: u32) -> u32 {
    FLAGS.iter().filter(|(flag, _)| flags & flag != 0).fold(0, |linux, (_, more)| linux | more)
}

impl Open {
    /// Moves the position; returns the new one.
    pub(super) fn seek(&self, offset: i64, whence: u64) -> Result<u64> {
        let whence = i32::try_from(whence)?;
        self.with_position(|_| {
            // SAFETY: The file is referenced, and its position locked.
            let position = unsafe { bindings::vfs_llseek(self.as_ptr(), offset, whence) };
            if position < 0 {
                return Err(Error::from_errno(position as i32));
            }
            Ok(position as u64)
        })
    }

    /// Describes the file in the [`FileStat`] at address `stat`.
    ///
    /// # Safety
    ///
    /// There is one.
    pub(super) unsafe fn stat(&self, stat: u64) -> Result<u64> {
        // SAFETY: The file is referenced, and so is its path.
        let mut result = unsafe { stat_path(self.path()) }?;
        let own = fdflags::APPEND | fdflags::NONBLOCK;
        result.flags = (self.linux_flags() & !linux_flags(own)) | linux_flags(self.flags);
        result.socket_type = sockets::kind(self);
        // SAFETY: The caller guarantees that it may be written.
        unsafe { (stat as *mut FileStat).write(result) };
        Ok(0)
    }

    /// Tells how a part of the file will be used.
    pub(super) fn advise(&self, offset: u64, len: u64, advice: u64) -> Result<u64> {
        let advice = ADVICE.get(usize::try_from(advice)?).copied().ok_or(EINVAL)?;
        let (offset, len) = (i64::try_from(offset)?, i64::try_from(len)?);
        // SAFETY: The file is referenced.
        to_result(unsafe { bindings::vfs_fadvise(self.as_ptr(), offset, len, advice) })?;
        Ok(0)
    }

    /// Makes sure that there is room.
    pub(super) fn allocate(&self, offset: u64, len: u64) -> Result<u64> {
        let (offset, len) = (i64::try_from(offset)?, i64::try_from(len)?);
        // SAFETY: The file is referenced.
        to_result(unsafe { bindings::vfs_fallocate(self.as_ptr(), 0, offset, len) })?;
        Ok(0)
    }

    /// Sets the size.
    pub(super) fn set_size(&self, size: u64) -> Result<u64> {
        if !self.access().1 {
            return Err(EINVAL);
        }
        // SAFETY: The path is the file's.
        to_result(unsafe { bindings::vfs_truncate(self.path(), i64::try_from(size)?) })?;
        Ok(0)
    }

    /// Puts it on its device.
    pub(super) fn sync(&self, data_only: u64) -> Result<u64> {
        // SAFETY: The file is referenced.
        to_result(unsafe { bindings::vfs_fsync(self.as_ptr(), c_int::from(data_only == 1)) })?;
        Ok(0)
    }

    /// Calls `go` with the file's position, locked as `fdget_pos` of `fs/file.c` locks it; with null where a file has none.
    #[inline(always)]
    pub(super) fn with_position<T>(&self, go: impl FnOnce(*mut bindings::loff_t) -> Result<T>) -> Result<T> {
        self.with_position_by(lock_interruptible, go)
    }

    /// The same, but does not wait for who else has it.
    ///
    /// # Errors
    ///
    /// `ENOSYS` if someone has: it takes another way.
    pub(super) fn with_position_now<T>(&self, go: impl FnOnce(*mut bindings::loff_t) -> Result<T>) -> Result<T> {
        self.with_position_by(try_lock, go)
    }

    #[inline(always)]
    fn with_position_by<T>(
        &self,
        acquire: unsafe fn(*mut bindings::mutex) -> c_int,
        go: impl FnOnce(*mut bindings::loff_t) -> Result<T>,
    ) -> Result<T> {
        let (file, mode) = (self.as_ptr(), self.mode());
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
        to_result(unsafe { acquire(lock) })?;
        let result = go(place);
        // SAFETY: We hold it.
        unsafe { bindings::mutex_unlock(lock) };
        result
    }
}

/// Describes what `path` is, but for the flags and the type of a socket.
///
/// # Safety
///
/// `path` is referenced.
pub(super) unsafe fn stat_path(path: *const bindings::path) -> Result<FileStat> {
    let mut found = MaybeUninit::<bindings::kstat>::zeroed();
    let how = bindings::AT_STATX_SYNC_AS_STAT;
    // SAFETY: Path and result are valid.
    to_result(unsafe { bindings::vfs_getattr(path, found.as_mut_ptr(), bindings::STATX_BASIC_STATS, how) })?;
    // SAFETY: `vfs_getattr` has filled it in.
    let found = unsafe { found.assume_init() };
    Ok(FileStat {
        dev: u64::from(found.dev),
        ino: found.ino,
        nlink: u64::from(found.nlink),
        size: found.size as u64,
        atime: nanoseconds(found.atime),
        mtime: nanoseconds(found.mtime),
        ctime: nanoseconds(found.ctime),
        mode: u32::from(found.mode),
        flags: 0,
        socket_type: 0,
        reserved: 0,
    })
}

/// Sets the times of what `path` is to the [`Times`] at address `times`.
///
/// # Safety
///
/// `path` is referenced, and there are [`Times`].
pub(super) unsafe fn set_times(path: *const bindings::path, times: u64) -> Result<u64> {
    // SAFETY: The caller guarantees it.
    let Times { flags, atime, mtime, .. } = unsafe { *(times as *const Times) };
    let one = |time: u64, given: u32, now: u32| {
        let per_second = u64::from(bindings::NSEC_PER_SEC);
        let (tv_sec, tv_nsec) = if flags & now != 0 {
            (0, bindings::UTIME_NOW.into())
        } else if flags & given != 0 {
            ((time / per_second) as i64, (time % per_second) as i64)
        } else {
            (0, bindings::UTIME_OMIT.into())
        };
        bindings::timespec64 { tv_sec, tv_nsec: tv_nsec as c_long }
    };
    let mut times = [one(atime, fstflags::ATIM, fstflags::ATIM_NOW), one(mtime, fstflags::MTIM, fstflags::MTIM_NOW)];
    // SAFETY: The caller guarantees the path; there are two times.
    to_result(unsafe { bindings::vfs_utimes(path, times.as_mut_ptr()) })?;
    Ok(0)
}

fn nanoseconds(time: bindings::timespec64) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(u64::from(bindings::NSEC_PER_SEC)).saturating_add(time.tv_nsec as u64)
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

/// Locks it unless it is locked, if only by this task.
///
/// # Safety
///
/// `lock` is a mutex that is initialised.
unsafe fn try_lock(lock: *mut bindings::mutex) -> c_int {
    // SAFETY: The caller guarantees it.
    let is_locked = unsafe { bindings::mutex_trylock(lock) } != 0;
    if is_locked {
        0
    } else {
        ENOSYS.to_errno()
    }
}
