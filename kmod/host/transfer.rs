// SPDX-License-Identifier: GPL-2.0

//! Reads and writes between a guest's memory and its files.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/uio.h`](srctree/include/linux/uio.h)

use super::{
    files::{
        Open, //
    },
    readiness,
    signal,
    sockets, //
};
use crate::{
    bindings as kwasmi_bindings,
    ffi::{
        poll,
        IoVec,
        Position,
        IOVECS_MAX, //
    },
    preview1::fdflags,
};
use core::mem::MaybeUninit;
use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// Upper bound of one transfer, in bytes: `MAX_RW_COUNT` of `include/linux/fs.h`.
const TRANSFER_MAX: usize = (i32::MAX as usize) & !(kernel::page::PAGE_SIZE - 1);

/// Direction of a transfer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the file to the guest.
    Read,
    /// From the guest to the file.
    Write,
}

impl Open {
    /// Reads or writes the [`IoVec`]s. `at` is an offset in the file, [`Position::CURRENT`] or
    /// [`Position::CURRENT_NOW`]. Returns the number of bytes.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if the call would wait and `at` is [`Position::CURRENT_NOW`] or the guest set
    /// `NONBLOCK`; `ESPIPE` if the file has no offsets; `EOPNOTSUPP` if the file can only be used
    /// from userspace; `EINTR` if a signal is pending; errors of the file system.
    ///
    /// # Safety
    ///
    /// Each of `vectors` must describe memory that is writable for [`Direction::Read`], or readable
    /// for [`Direction::Write`].
    #[inline]
    pub(super) unsafe fn transfer(
        &self,
        vectors: &[IoVec],
        at: Position,
        direction: Direction,
    ) -> Result<u64> {
        if direction == Direction::Write && self.kind() == bindings::S_IFSOCK {
            // SAFETY: `vectors` is valid for this direction by this function's safety requirement.
            return unsafe { sockets::send(self, vectors, at == Position::CURRENT_NOW) };
        }
        let events = if direction == Direction::Read {
            poll::READ
        } else {
            poll::WRITE
        };
        let nonblocking = at == Position::CURRENT_NOW || self.is_nonblocking();
        // SAFETY: `vectors` is valid for this direction by this function's safety requirement.
        match unsafe { self.transfer_once(vectors, at, direction, nonblocking) } {
            Err(error) if error == EAGAIN && !nonblocking => {
                self.waiting_after(events, error, |nonblocking| {
                    // SAFETY: `vectors` is valid for this direction by this function's safety
                    // requirement.
                    unsafe { self.transfer_once(vectors, at, direction, nonblocking) }
                })
            }
            result => result,
        }
    }

    /// Returns true if a transfer may have to wait for another party: for data, or for room.
    fn is_stream(&self) -> bool {
        !matches!(
            self.kind(),
            bindings::S_IFREG | bindings::S_IFDIR | bindings::S_IFBLK
        )
    }

    /// Transfers once, without waiting for readiness of an `O_NONBLOCK` file.
    ///
    /// # Safety
    ///
    /// `vectors` must be valid for `direction`, as [`Open::transfer`] requires.
    #[inline(always)]
    unsafe fn transfer_once(
        &self,
        vectors: &[IoVec],
        at: Position,
        direction: Direction,
        nonblocking: bool,
    ) -> Result<u64> {
        let mut rwf = self.rwf(direction);
        if nonblocking && self.is_stream() && !self.is_file_nonblocking() {
            if self.mode() & kwasmi_bindings::KWASMI_CONST_FMODE_NOWAIT != 0 {
                rwf |= kwasmi_bindings::KWASMI_CONST_RWF_NOWAIT;
            } else {
                let events = if direction == Direction::Read {
                    poll::READ
                } else {
                    poll::WRITE
                };
                if !readiness::is_ready(self, events) {
                    return Err(EAGAIN);
                }
            }
        }
        let file = self.as_ptr();
        let mut iter = MaybeUninit::uninit();
        // SAFETY: `vectors` is valid for `direction` by this function's safety requirement, and
        // outlives the iterator.
        let iter = unsafe { set_up(&mut iter, vectors, direction) }?;
        let mut go = |position: *mut bindings::loff_t| {
            let done = match direction {
                // SAFETY: `vfs_iter_read` requires a valid file, to which `self` holds a reference,
                // an initialised iterator, and null or a valid position, as the callers of `go`
                // pass.
                Direction::Read => unsafe {
                    bindings::vfs_iter_read(file, &mut *iter, position, rwf)
                },
                // SAFETY: `vfs_iter_write` requires a valid file, to which `self` holds a
                // reference, an initialised iterator, and null or a valid position, as the callers
                // of `go` pass.
                Direction::Write => unsafe {
                    bindings::vfs_iter_write(file, &mut *iter, position, rwf)
                },
            };
            if done < 0 {
                let error = Error::from_errno(done as i32);
                // SAFETY: The callers of `go` pass null or a valid position.
                return unsafe { self.transfer_otherwise(&mut *iter, position, direction, error) };
            }
            Ok(done as u64)
        };
        if matches!(at, Position::CURRENT | Position::CURRENT_NOW) {
            return self.with_position(go);
        }
        let positioned = match direction {
            Direction::Read => kwasmi_bindings::KWASMI_CONST_FMODE_PREAD,
            Direction::Write => kwasmi_bindings::KWASMI_CONST_FMODE_PWRITE,
        };
        if self.mode() & positioned == 0 {
            return Err(ESPIPE);
        }
        let mut position = i64::try_from(at.0)?;
        go(&mut position)
    }

    /// Continues [`Open::transfer_once`] after `error`: handles files that have no `read_iter` or
    /// `write_iter`.
    ///
    /// # Safety
    ///
    /// `position` must be null, or valid for reads and writes.
    #[cold]
    unsafe fn transfer_otherwise(
        &self,
        iter: &mut bindings::iov_iter,
        position: *mut bindings::loff_t,
        direction: Direction,
        error: Error,
    ) -> Result<u64> {
        if error != EINVAL {
            return Err(error);
        }
        if self.kind() == bindings::S_IFDIR {
            return Err(EISDIR);
        }
        // SAFETY: `self` holds a reference to the file, and `f_op` does not change after the file
        // is opened.
        let operations = unsafe { &*(*self.as_ptr()).f_op };
        match direction {
            Direction::Read if operations.read_iter.is_none() => {
                let Some(read) = operations.read else {
                    return Err(error);
                };
                if read as usize != bindings::seq_read as usize || position.is_null() {
                    // Other `read` functions require an address of userspace.
                    return Err(EOPNOTSUPP);
                }
                // SAFETY: `position` is not null, so it is valid by this function's safety
                // requirement.
                unsafe { self.read_sequence(iter, position) }
            }
            Direction::Write if operations.write_iter.is_none() && operations.write.is_some() => {
                Err(if self.is_full_device() {
                    ENOSPC
                } else {
                    EOPNOTSUPP
                })
            }
            _ => Err(error),
        }
    }

    /// Reads a file whose `read` is `seq_read` of `fs/seq_file.c` to an iterator, as `seq_read`
    /// does for an iterator over userspace memory.
    ///
    /// # Safety
    ///
    /// `position` must be valid for reads and writes.
    unsafe fn read_sequence(
        &self,
        iter: &mut bindings::iov_iter,
        position: *mut bindings::loff_t,
    ) -> Result<u64> {
        let file = self.as_ptr();
        if !self.access().0 {
            return Err(EBADF);
        }
        // The length matters only for the check that position plus length does not overflow, which
        // seq files do not need.
        // SAFETY: `rw_verify_area` requires a valid file, to which `self` holds a reference, and a
        // valid position, which `position` is by this function's safety requirement.
        to_result(unsafe { bindings::rw_verify_area(bindings::READ as c_int, file, position, 1) })?;
        // SAFETY: `read` requires a pointer that is valid for reads, which `position` is by this
        // function's safety requirement.
        let ki_pos = unsafe { position.read() };
        let mut call = bindings::kiocb {
            ki_filp: file,
            ki_pos,
            ..Default::default()
        };
        // SAFETY: `seq_read_iter` requires a file of `seq_open`, which the file is, as its `read`
        // is `seq_read`, and an initialised iterator.
        let done = unsafe { bindings::seq_read_iter(&mut call, iter) };
        if done < 0 {
            return Err(Error::from_errno(done as i32));
        }
        // SAFETY: `write` requires a pointer that is valid for writes, which `position` is by this
        // function's safety requirement.
        unsafe { position.write(call.ki_pos) };
        Ok(done as u64)
    }

    /// Returns true if the file is `/dev/full`, which fails each write with `ENOSPC`.
    fn is_full_device(&self) -> bool {
        const NUMBER: bindings::dev_t = 1 << 20 | 7;
        // SAFETY: `self` holds a reference to the file, which references its inode. The device
        // number of an inode does not change.
        let number = unsafe { (*(*self.as_ptr()).f_inode).i_rdev };
        self.kind() == bindings::S_IFCHR && number == NUMBER
    }

    /// Calls `go`. Its argument is true if it must not wait: if `now` is set, or the guest set
    /// `NONBLOCK`. If the guest wants to wait but the file itself is `O_NONBLOCK`, this waits for
    /// `events` and calls `go` again.
    #[inline]
    pub(super) fn waiting<T>(
        &self,
        events: u32,
        now: bool,
        mut go: impl FnMut(bool) -> Result<T>,
    ) -> Result<T> {
        let nonblocking = now || self.is_nonblocking();
        match go(nonblocking) {
            Err(error) if error == EAGAIN && !nonblocking => self.waiting_after(events, error, go),
            result => result,
        }
    }

    /// Continues [`Open::waiting`] after `go` failed with `error`.
    #[cold]
    fn waiting_after<T>(
        &self,
        events: u32,
        mut error: Error,
        mut go: impl FnMut(bool) -> Result<T>,
    ) -> Result<T> {
        while error == EAGAIN && self.is_file_nonblocking() {
            readiness::wait(self, events)?;
            // A file may report readiness and still fail with EAGAIN: check for signals, or this
            // loop may never end.
            if kernel::current!().signal_pending() {
                return Err(EINTR);
            }
            signal::yield_now();
            match go(false) {
                Err(again) => error = again,
                done => return done,
            }
        }
        Err(error)
    }

    /// Returns the `RWF_*` flags for the preview 1 `fdflags` that the guest set and the file itself
    /// does not have.
    pub(super) fn rwf(&self, direction: Direction) -> bindings::rwf_t {
        let (wants, has) = (self.flags, self.linux_flags());
        let mut rwf = 0;
        if direction == Direction::Write {
            // A write to a pipe without a reader must not raise SIGPIPE in the process, which may
            // do other work than this guest.
            rwf |= kwasmi_bindings::KWASMI_CONST_RWF_NOSIGNAL;
            if wants & fdflags::APPEND != 0 && has & bindings::O_APPEND == 0 {
                rwf |= kwasmi_bindings::KWASMI_CONST_RWF_APPEND;
            }
            if wants & fdflags::APPEND == 0 && has & bindings::O_APPEND != 0 {
                rwf |= kwasmi_bindings::KWASMI_CONST_RWF_NOAPPEND;
            }
            if wants & fdflags::DSYNC != 0 {
                rwf |= kwasmi_bindings::KWASMI_CONST_RWF_DSYNC;
            }
            if wants & (fdflags::SYNC | fdflags::RSYNC) != 0 {
                rwf |= kwasmi_bindings::KWASMI_CONST_RWF_SYNC;
            }
        }
        rwf
    }
}

/// Creates an iterator over [`IoVec`]s.
///
/// # Errors
///
/// `EINVAL` if there are more than [`IOVECS_MAX`].
///
/// # Safety
///
/// `vectors` must be valid for `direction`, as [`Open::transfer`] requires, and must outlive the
/// iterator.
pub(super) unsafe fn iterator(
    vectors: &[IoVec],
    direction: Direction,
) -> Result<bindings::iov_iter> {
    let mut iter = MaybeUninit::uninit();
    // SAFETY: `vectors` is valid for `direction` and outlives the iterator, by this function's
    // safety requirement.
    unsafe { set_up(&mut iter, vectors, direction) }?;
    // SAFETY: `set_up` succeeded, so it initialised the iterator.
    Ok(unsafe { iter.assume_init() })
}

/// Initialises `iter` as [`iterator`] does, in place.
///
/// # Safety
///
/// `vectors` must be valid for `direction`, as [`Open::transfer`] requires, and must outlive the
/// iterator.
#[inline]
unsafe fn set_up<'a>(
    iter: &'a mut MaybeUninit<bindings::iov_iter>,
    vectors: &[IoVec],
    direction: Direction,
) -> Result<&'a mut bindings::iov_iter> {
    if vectors.len() > IOVECS_MAX {
        return Err(EINVAL);
    }
    let bytes = match vectors {
        [vector] => vector.len,
        vectors => vectors
            .iter()
            .fold(0, |sum: usize, vector| sum.saturating_add(vector.len)),
    };
    let way = match direction {
        Direction::Read => bindings::ITER_DEST,
        Direction::Write => bindings::ITER_SOURCE,
    };
    // SAFETY: `iov_iter_kvec` requires room for an iterator and vectors of type `struct kvec`, as
    // which `IoVec` is laid out. They outlive the iterator by this function's safety requirement.
    unsafe {
        bindings::iov_iter_kvec(
            iter.as_mut_ptr(),
            way,
            vectors.as_ptr().cast(),
            vectors.len(),
            bytes.min(TRANSFER_MAX),
        )
    };
    // SAFETY: `iov_iter_kvec` initialised the iterator.
    Ok(unsafe { iter.assume_init_mut() })
}
