// SPDX-License-Identifier: GPL-2.0

//! Open files of a guest: the handle table, and operations on one open file.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/uio.h`](srctree/include/linux/uio.h)

use super::sockets;
use crate::{
    bindings as kwasmi_bindings,
    ffi::{
        FileStat,
        Times, //
    },
    preview1::{
        fdflags,
        fstflags, //
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

/// Linux open flag of each preview 1 `fdflags` bit.
const FLAGS: [(u32, u32); 4] = [
    (fdflags::APPEND, bindings::O_APPEND),
    (fdflags::NONBLOCK, bindings::O_NONBLOCK),
    (fdflags::DSYNC, bindings::O_DSYNC),
    (fdflags::SYNC | fdflags::RSYNC, bindings::O_SYNC),
];

/// Linux `POSIX_FADV_*` (`include/uapi/linux/fadvise.h`) of each preview 1 `advice`, by index.
const ADVICE: [c_int; 6] = [0, 2, 1, 3, 4, 5];

/// File that a guest has open.
pub(super) struct Open {
    file: ARef<File>,
    /// Set if the guest opened the file, by path or by accepting a connection; not set if the
    /// process passed it to the guest.
    is_own: bool,
    /// Preview 1 `fdflags`. They apply to this guest only: changing them does not change the file's
    /// own flags.
    pub(super) flags: u32,
}

impl Open {
    pub(super) fn new(file: ARef<File>) -> Self {
        let mut open = Self {
            file,
            is_own: false,
            flags: 0,
        };
        let has = open.linux_flags();
        for (flag, linux) in FLAGS {
            if has & linux == linux {
                open.flags |= flag;
            }
        }
        open
    }

    /// Wraps a file that the guest opened.
    ///
    /// # Safety
    ///
    /// `file` must be valid, and the caller must pass a reference to it, which the returned value
    /// then owns.
    pub(super) unsafe fn own(file: NonNull<bindings::file>) -> Self {
        // SAFETY: `ARef::from_raw` requires a valid object and a reference that it may take over;
        // both hold by this function's safety requirement. `File` is a transparent wrapper of
        // `struct file`.
        let file = unsafe { ARef::from_raw(file.cast()) };
        Self {
            is_own: true,
            ..Self::new(file)
        }
    }

    /// Flushes the file as close(2) does before it drops the reference: `flush` of `struct
    /// file_operations`.
    ///
    /// # Errors
    ///
    /// The error of the file system if it cannot write cached data.
    fn flush(&self) -> Result {
        let file = self.as_ptr();
        // SAFETY: `self.file` is a reference to the file, and `f_op` does not change after the file
        // is opened.
        let flush = unsafe { (*(*file).f_op).flush };
        match flush {
            // SAFETY: `flush` requires a valid file, to which `self.file` is a reference. It
            // accepts any lock owner; null owns no locks, and a guest cannot take file locks.
            Some(flush) => to_result(unsafe { flush(file, ptr::null_mut()) }),
            None => Ok(()),
        }
    }

    /// Closes the file as close(2) does: the other end of a pipe or socket notices at once.
    ///
    /// # Errors
    ///
    /// Errors of [`Open::flush`]. The file is closed nevertheless.
    fn close(self) -> Result<u64> {
        let flushed = self.flush();
        // fput() defers the release of a file until the task returns to userspace, which a guest
        // may delay. So files that the guest opened, pipes and sockets are released here. Other
        // files keep fput(): an instance fd of kwasmi must not be released from inside the engine.
        if self.is_own || matches!(self.kind(), bindings::S_IFIFO | bindings::S_IFSOCK) {
            let file = ARef::into_raw(self.file);
            // SAFETY: `__fput_sync` requires a reference, which it consumes. `ARef::into_raw`
            // released the one of `self.file` without dropping it.
            unsafe { bindings::__fput_sync(file.cast().as_ptr()) };
        }
        match flushed {
            // The error must not restart the call: the file is closed already.
            Err(_) if kernel::current!().signal_pending() => Ok(0),
            flushed => flushed.map(|()| 0),
        }
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::file {
        self.file.as_ptr()
    }

    /// Returns the path of the file, which is valid while `self` is.
    pub(super) fn path(&self) -> *const bindings::path {
        // SAFETY: `self.file` is a reference to the file; this only computes the address of a
        // field.
        unsafe { &raw const (*self.as_ptr()).__bindgen_anon_1.f_path }
    }

    /// Returns the Linux open flags of the file itself.
    pub(super) fn linux_flags(&self) -> u32 {
        // SAFETY: `self.file` is a reference to the file. The kernel stores `f_flags` as one word.
        unsafe { (&raw const (*self.as_ptr()).f_flags).read_volatile() }
    }

    /// Returns the `FMODE_*` bits of the file.
    pub(super) fn mode(&self) -> bindings::fmode_t {
        // SAFETY: `self.file` is a reference to the file. The bits of `f_mode` that kwasmi uses do
        // not change after open.
        unsafe { (*self.as_ptr()).f_mode }
    }

    /// Returns the file type: the `S_IFMT` bits of its inode.
    pub(super) fn kind(&self) -> u32 {
        // SAFETY: `self.file` is a reference to the file, which references its inode. The type of
        // an inode does not change.
        let mode = unsafe { (*(*self.as_ptr()).f_inode).i_mode };
        u32::from(mode) & bindings::S_IFMT
    }

    /// Returns true if the file has an anonymous inode, as those of `anon_inode_getfile` do.
    fn is_anonymous(&self) -> bool {
        // SAFETY: `self.file` is a reference to the file, which references its inode.
        // `S_ANON_INODE` does not change while the inode exists.
        let flags = unsafe { (*(*self.as_ptr()).f_inode).i_flags };
        flags & bindings::S_ANON_INODE != 0
    }

    /// Returns the access mode of the file: if it is open for reading, and if for writing.
    pub(crate) fn access(&self) -> (bool, bool) {
        let mode = self.mode();
        (
            mode & kwasmi_bindings::KWASMI_CONST_FMODE_READ != 0,
            mode & kwasmi_bindings::KWASMI_CONST_FMODE_WRITE != 0,
        )
    }

    /// Returns true if the guest set `NONBLOCK`: its calls must not wait.
    pub(super) fn is_nonblocking(&self) -> bool {
        self.flags & fdflags::NONBLOCK != 0
    }

    /// Returns true if the file itself is `O_NONBLOCK`, so that the kernel does not wait, whatever
    /// the guest set.
    pub(super) fn is_file_nonblocking(&self) -> bool {
        self.linux_flags() & bindings::O_NONBLOCK != 0
    }
}

/// Table of a guest's files; a handle is an index of it.
pub(crate) struct Files {
    table: KVVec<Option<Open>>,
}

impl Files {
    /// Creates an empty table.
    pub(crate) fn new() -> Self {
        Self {
            table: KVVec::new(),
        }
    }

    /// Takes a reference to the descriptor `fd` of the current process. Returns its handle, and its
    /// access mode as [`Open::access`] does.
    ///
    /// # Errors
    ///
    /// `EBADF` if `fd` is not open; `ENOMEM` if the table cannot grow.
    pub(crate) fn open(&mut self, fd: i32) -> Result<(u32, (bool, bool))> {
        let open = Open::new(referenced(fd)?);
        let access = open.access();
        Ok((self.add(open)?, access))
    }

    /// Adds a file to the table. Returns its handle.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the table cannot grow.
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

    /// Returns the file with this handle.
    ///
    /// # Errors
    ///
    /// `EBADF` if no file has this handle.
    pub(super) fn get(&self, handle: u64) -> Result<&Open> {
        self.table
            .get(usize::try_from(handle)?)
            .and_then(Option::as_ref)
            .ok_or(EBADF)
    }

    /// Returns true if the file with this handle is a directory.
    pub(crate) fn is_directory(&self, handle: u32) -> bool {
        self.get(u64::from(handle))
            .is_ok_and(|open| open.kind() == bindings::S_IFDIR)
    }

    /// Returns true if the file with this handle is a socket.
    pub(crate) fn is_socket(&self, handle: u32) -> bool {
        self.get(u64::from(handle))
            .is_ok_and(|open| open.kind() == bindings::S_IFSOCK)
    }

    /// Returns true if the file with this handle can hold references to other files: a Unix socket
    /// with files in flight, or a file with an anonymous inode, such as an io_uring with registered
    /// files.
    pub(crate) fn may_hold_files(&self, handle: u32) -> bool {
        self.get(u64::from(handle))
            .is_ok_and(|open| sockets::is_unix(open) || open.is_anonymous())
    }

    /// Closes the file with this handle.
    ///
    /// # Errors
    ///
    /// `EBADF` if no file has this handle; errors of [`Open::close`].
    pub(super) fn close(&mut self, handle: u64) -> Result<u64> {
        let index = usize::try_from(handle)?;
        self.table
            .get_mut(index)
            .and_then(Option::take)
            .ok_or(EBADF)?
            .close()
    }

    /// Closes all files, as exit(2) closes the descriptors of a process, including those that the
    /// process passed. Errors of the file systems are ignored.
    pub(super) fn close_all(&mut self) {
        for open in core::mem::replace(&mut self.table, KVVec::new())
            .into_iter()
            .flatten()
        {
            let _ = open.close();
        }
    }

    /// Sets the preview 1 `fdflags` of a handle.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if a flag would be cleared for writing synchronously that the file itself was
    /// opened with; `EBADF` if no file has this handle.
    pub(super) fn set_flags(&mut self, handle: u64, flags: u64) -> Result<u64> {
        let index = usize::try_from(handle)?;
        let open = self
            .table
            .get_mut(index)
            .and_then(Option::as_mut)
            .ok_or(EBADF)?;
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

/// Returns a reference to the descriptor `fd` of the current process.
///
/// # Errors
///
/// `EBADF` if `fd` is not open.
fn referenced(fd: i32) -> Result<ARef<File>> {
    let file = LocalFile::fget(u32::try_from(fd).map_err(|_| EBADF)?)?;
    // SAFETY: `assume_no_fdget_pos` requires that no `fdget_pos` call is active on this task. This
    // is an ioctl, which uses `fdget` only.
    Ok(unsafe { LocalFile::assume_no_fdget_pos(file) })
}

/// Returns a reference to the descriptor `fd` of the current process, which must be a regular file:
/// such a file holds no references to other files.
///
/// # Errors
///
/// `EBADF` if `fd` is not open; `EINVAL` if it is another kind of file.
pub(crate) fn regular_file(fd: i32) -> Result<ARef<File>> {
    let open = Open::new(referenced(fd)?);
    if open.kind() == bindings::S_IFREG && !open.is_anonymous() {
        Ok(open.file)
    } else {
        Err(EINVAL)
    }
}

/// Returns the Linux open flags of preview 1 `fdflags`.
pub(super) fn linux_flags(flags: u32) -> u32 {
    FLAGS
        .iter()
        .filter(|(flag, _)| flags & flag != 0)
        .fold(0, |linux, (_, more)| linux | more)
}

impl Open {
    /// Moves the position as lseek(2) does. Returns the new position.
    pub(super) fn seek(&self, offset: i64, whence: u64) -> Result<u64> {
        let whence = i32::try_from(whence)?;
        self.with_position(|_| {
            // SAFETY: `vfs_llseek` requires a valid file, to which `self.file` is a reference.
            // `with_position` holds the lock of the position.
            let position = unsafe { bindings::vfs_llseek(self.as_ptr(), offset, whence) };
            if position < 0 {
                return Err(Error::from_errno(position as i32));
            }
            Ok(position as u64)
        })
    }

    /// Returns the attributes of the file.
    pub(super) fn stat(&self) -> Result<FileStat> {
        // SAFETY: `stat_path` requires a referenced path. `self.file` is a reference to the file,
        // which references its path.
        let mut result = unsafe { stat_path(self.path()) }?;
        let own = fdflags::APPEND | fdflags::NONBLOCK;
        result.flags = (self.linux_flags() & !linux_flags(own)) | linux_flags(self.flags);
        result.socket_type = sockets::kind(self);
        Ok(result)
    }

    /// Announces the access pattern of a part of the file, as posix_fadvise(2) does; `advice` is a
    /// preview 1 `advice`.
    pub(super) fn advise(&self, offset: u64, len: u64, advice: u64) -> Result<u64> {
        let advice = ADVICE
            .get(usize::try_from(advice)?)
            .copied()
            .ok_or(EINVAL)?;
        let (offset, len) = (i64::try_from(offset)?, i64::try_from(len)?);
        // SAFETY: `vfs_fadvise` requires a valid file, to which `self.file` is a reference.
        to_result(unsafe { bindings::vfs_fadvise(self.as_ptr(), offset, len, advice) })?;
        Ok(0)
    }

    /// Reserves disk space for `len` bytes at `offset`, as fallocate(2) does.
    pub(super) fn allocate(&self, offset: u64, len: u64) -> Result<u64> {
        let (offset, len) = (i64::try_from(offset)?, i64::try_from(len)?);
        // SAFETY: `vfs_fallocate` requires a valid file, to which `self.file` is a reference.
        to_result(unsafe { bindings::vfs_fallocate(self.as_ptr(), 0, offset, len) })?;
        Ok(0)
    }

    /// Sets the size of the file, as ftruncate(2) does.
    pub(super) fn set_size(&self, size: u64) -> Result<u64> {
        if !self.access().1 {
            return Err(EINVAL);
        }
        // SAFETY: `vfs_truncate` requires a referenced path. `self.file` is a reference to the
        // file, which references its path.
        to_result(unsafe { bindings::vfs_truncate(self.path(), i64::try_from(size)?) })?;
        Ok(0)
    }

    /// Writes cached data to the device: fdatasync(2) if `data_only` is 1, else fsync(2).
    pub(super) fn sync(&self, data_only: u64) -> Result<u64> {
        // SAFETY: `vfs_fsync` requires a valid file, to which `self.file` is a reference.
        to_result(unsafe { bindings::vfs_fsync(self.as_ptr(), c_int::from(data_only == 1)) })?;
        Ok(0)
    }

    /// Calls `go` with a pointer to the file's position, locked as `fdget_pos` of `fs/file.c` locks
    /// it. The pointer is null if the file has no position.
    #[inline(always)]
    pub(super) fn with_position<T>(
        &self,
        go: impl FnOnce(*mut bindings::loff_t) -> Result<T>,
    ) -> Result<T> {
        self.with_position_by(lock_interruptible, go)
    }

    /// Calls `go` as [`Open::with_position`] does, but does not wait for the lock.
    ///
    /// # Errors
    ///
    /// `ENOSYS` if the lock is held: the caller must fall back to copying. Errors of `go`.
    pub(super) fn with_position_now<T>(
        &self,
        go: impl FnOnce(*mut bindings::loff_t) -> Result<T>,
    ) -> Result<T> {
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
        // SAFETY: `self.file` is a reference to the file; this only computes the address of a
        // field.
        let place = unsafe { &raw mut (*file).f_pos };
        if mode & kwasmi_bindings::KWASMI_CONST_FMODE_ATOMIC_POS == 0 {
            return go(place);
        }
        // SAFETY: `self.file` is a reference to the file. The union holds `f_pos_lock`, as
        // `FMODE_ATOMIC_POS` is set; this only computes its address.
        let lock = unsafe { &raw mut (*file).__bindgen_anon_2.f_pos_lock };
        // SAFETY: `acquire` requires an initialised mutex: `init_file` initialises `f_pos_lock`. It
        // may sleep: host calls run in process context. This task does not hold the lock, or
        // `acquire` is `try_lock`.
        to_result(unsafe { acquire(lock) })?;
        let result = go(place);
        // SAFETY: `mutex_unlock` requires that this task holds the lock; `acquire` returned 0.
        unsafe { bindings::mutex_unlock(lock) };
        result
    }
}

/// Returns the attributes of the file at `path`, without open flags and socket type.
///
/// # Safety
///
/// `path` must point to a path that stays referenced during the call.
pub(super) unsafe fn stat_path(path: *const bindings::path) -> Result<FileStat> {
    let mut found = MaybeUninit::<bindings::kstat>::zeroed();
    let how = bindings::AT_STATX_SYNC_AS_STAT;
    // SAFETY: `vfs_getattr` requires a referenced path, which `path` is by this function's safety
    // requirement, and room for a `kstat`, which `found` has.
    to_result(unsafe {
        bindings::vfs_getattr(path, found.as_mut_ptr(), bindings::STATX_BASIC_STATS, how)
    })?;
    // SAFETY: `vfs_getattr` succeeded, so it filled in `found`. It was zeroed before, which is
    // valid for all fields.
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

/// Sets the times of the file at `path`.
///
/// # Safety
///
/// `path` must point to a path that stays referenced during the call.
pub(super) unsafe fn set_times(path: *const bindings::path, times: &Times) -> Result<u64> {
    let Times {
        flags,
        atime,
        mtime,
        ..
    } = *times;
    let one = |time: u64, given: u32, now: u32| {
        let per_second = u64::from(bindings::NSEC_PER_SEC);
        let (tv_sec, tv_nsec) = if flags & now != 0 {
            (0, bindings::UTIME_NOW.into())
        } else if flags & given != 0 {
            ((time / per_second) as i64, (time % per_second) as i64)
        } else {
            (0, bindings::UTIME_OMIT.into())
        };
        bindings::timespec64 {
            tv_sec,
            tv_nsec: tv_nsec as c_long,
        }
    };
    let mut times = [
        one(atime, fstflags::ATIM, fstflags::ATIM_NOW),
        one(mtime, fstflags::MTIM, fstflags::MTIM_NOW),
    ];
    // SAFETY: `vfs_utimes` requires a referenced path, which `path` is by this function's safety
    // requirements, and two times, which the array has.
    to_result(unsafe { bindings::vfs_utimes(path, times.as_mut_ptr()) })?;
    Ok(0)
}

fn nanoseconds(time: bindings::timespec64) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(u64::from(bindings::NSEC_PER_SEC))
        .saturating_add(time.tv_nsec as u64)
}

/// Locks a mutex: `mutex_lock_interruptible` of `include/linux/mutex.h`, which is a macro if
/// lockdep is configured.
///
/// # Safety
///
/// `lock` must point to an initialised mutex that the current task does not hold.
unsafe fn lock_interruptible(lock: *mut bindings::mutex) -> c_int {
    #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
    // SAFETY: `lock` is initialised and not held by this task, by this function's safety
    // requirement.
    return unsafe { bindings::mutex_lock_interruptible_nested(lock, 0) };
    #[cfg(not(CONFIG_DEBUG_LOCK_ALLOC))]
    // SAFETY: `lock` is initialised and not held by this task, by this function's safety
    // requirement.
    return unsafe { bindings::mutex_lock_interruptible(lock) };
}

/// Locks a mutex if it is free. Returns 0, or `ENOSYS` as a negative number if it is held, be it by
/// this task.
///
/// # Safety
///
/// `lock` must point to an initialised mutex.
unsafe fn try_lock(lock: *mut bindings::mutex) -> c_int {
    // SAFETY: `mutex_trylock` requires an initialised mutex, which `lock` is by this function's
    // safety requirement.
    let is_locked = unsafe { bindings::mutex_trylock(lock) } != 0;
    if is_locked {
        0
    } else {
        ENOSYS.to_errno()
    }
}
