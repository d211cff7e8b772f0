// SPDX-License-Identifier: GPL-2.0

//! Bytes between a guest's memory and its files.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h), [`include/linux/uio.h`](srctree/include/linux/uio.h)

use super::{
    files::{
        fdflags,
        Open, //
    },
    ready,
    signal,
    sockets, //
};
use crate::{
    bindings as kwasmi_bindings,
    ffi::{
        poll,
        IoVec,
        AT_POSITION,
        AT_POSITION_NOW,
        IOVECS_MAX, //
    },
};
use core::mem::MaybeUninit;
use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// The most bytes of one transfer: `MAX_RW_COUNT` of `include/linux/fs.h`.
const TRANSFER_MAX: usize = (i32::MAX as usize) & !(kernel::page::PAGE_SIZE - 1);

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the file to the guest.
    Read,
    /// From the guest to the file.
    Write,
}

impl Open {
    /// Reads or writes; returns the number of bytes.
    ///
    /// # Safety
    ///
    /// `vectors` is address and number of [`IoVec`]s, which describe memory that can be used in this direction.
    #[inline]
    pub(super) unsafe fn transfer(&self, vectors: (u64, u64), at: u64, direction: Direction) -> Result<u64> {
        if direction == Direction::Write && self.kind() == bindings::S_IFSOCK {
            // SAFETY: The caller guarantees it.
            return unsafe { sockets::send(self, vectors, at == AT_POSITION_NOW) };
        }
        let events = if direction == Direction::Read { poll::READ } else { poll::WRITE };
        let nonblocking = at == AT_POSITION_NOW || self.is_nonblocking();
        // SAFETY: The caller guarantees it.
        match unsafe { self.transfer_once(vectors, at, direction, nonblocking) } {
            Err(error) if error == EAGAIN && !nonblocking => {
                self.waiting_after(events, error, |nonblocking| {
                    // SAFETY: As above.
                    unsafe { self.transfer_once(vectors, at, direction, nonblocking) }
                })
            }
            result => result,
        }
    }

    /// Whether it may have nothing to read for a while, or no room.
    fn is_stream(&self) -> bool {
        !matches!(self.kind(), bindings::S_IFREG | bindings::S_IFDIR | bindings::S_IFBLK)
    }

    /// # Safety
    ///
    /// As for [`Open::transfer`].
    #[inline(always)]
    unsafe fn transfer_once(
        &self,
        vectors: (u64, u64),
        at: u64,
        direction: Direction,
        nonblocking: bool,
    ) -> Result<u64> {
        let mut rwf = self.rwf(direction);
        if nonblocking && self.is_stream() && !self.is_file_nonblocking() {
            if self.mode() & kwasmi_bindings::KWASMI_CONST_FMODE_NOWAIT != 0 {
                rwf |= kwasmi_bindings::KWASMI_CONST_RWF_NOWAIT;
            } else {
                let events = if direction == Direction::Read { poll::READ } else { poll::WRITE };
                if !ready::is_ready(self, events) {
                    return Err(EAGAIN);
                }
            }
        }
        let file = self.as_ptr();
        let mut iter = MaybeUninit::uninit();
        // SAFETY: The caller guarantees it.
        let iter = unsafe { set_up(&mut iter, vectors, direction) }?;
        let mut go = |position: *mut bindings::loff_t| {
            let done = match direction {
                // SAFETY: The file is referenced, the iterator is set up, the position valid or null.
                Direction::Read => unsafe { bindings::vfs_iter_read(file, &mut *iter, position, rwf) },
                // SAFETY: As above.
                Direction::Write => unsafe { bindings::vfs_iter_write(file, &mut *iter, position, rwf) },
            };
            if done < 0 {
                return self.transfer_otherwise(&mut *iter, position, direction, Error::from_errno(done as i32));
            }
            Ok(done as u64)
        };
        if matches!(at, AT_POSITION | AT_POSITION_NOW) {
            return self.with_position(go);
        }
        let positioned = match direction {
            Direction::Read => kwasmi_bindings::KWASMI_CONST_FMODE_PREAD,
            Direction::Write => kwasmi_bindings::KWASMI_CONST_FMODE_PWRITE,
        };
        if self.mode() & positioned == 0 {
            return Err(ESPIPE);
        }
        let mut position = i64::try_from(at)?;
        go(&mut position)
    }

    /// Goes on with [`Open::transfer_once`] after `error`: the file may have no function for iterators.
    #[cold]
    fn transfer_otherwise(
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
        // SAFETY: The file is referenced; its operations do not change.
        let operations = unsafe { &*(*self.as_ptr()).f_op };
        match direction {
            Direction::Read if operations.read_iter.is_none() => {
                let Some(read) = operations.read else {
                    return Err(error);
                };
                if read as usize != bindings::seq_read as usize || position.is_null() {
                    // It wants an address of userspace.
                    return Err(EOPNOTSUPP);
                }
                self.read_sequence(iter, position)
            }
            Direction::Write if operations.write_iter.is_none() && operations.write.is_some() => {
                Err(if self.is_full_device() { ENOSPC } else { EOPNOTSUPP })
            }
            _ => Err(error),
        }
    }

    /// What `seq_read` of `fs/seq_file.c`, which is the file's `read`, does with an iterator over memory of userspace.
    fn read_sequence(&self, iter: &mut bindings::iov_iter, position: *mut bindings::loff_t) -> Result<u64> {
        let file = self.as_ptr();
        if !self.access().0 {
            return Err(EBADF);
        }
        // The length only matters for the sum of it and the position, which these files do not look at.
        // SAFETY: The file is referenced, the position valid.
        to_result(unsafe { bindings::rw_verify_area(bindings::READ as c_int, file, position, 1) })?;
        // SAFETY: The position is valid.
        let ki_pos = unsafe { position.read() };
        let mut call = bindings::kiocb { ki_filp: file, ki_pos, ..Default::default() };
        // SAFETY: The file's `read` is `seq_read`, so that it is one of `seq_open`; the iterator is set up.
        let done = unsafe { bindings::seq_read_iter(&mut call, iter) };
        if done < 0 {
            return Err(Error::from_errno(done as i32));
        }
        // SAFETY: The position is valid.
        unsafe { position.write(call.ki_pos) };
        Ok(done as u64)
    }

    /// Whether it is `/dev/full`, whose `write` always fails for lack of space.
    fn is_full_device(&self) -> bool {
        const NUMBER: bindings::dev_t = 1 << 20 | 7;
        // SAFETY: The file is referenced, and keeps its inode; the number of a device does not change.
        let number = unsafe { (*(*self.as_ptr()).f_inode).i_rdev };
        self.kind() == bindings::S_IFCHR && number == NUMBER
    }

    /// Calls `go`, which waits unless it is asked not to, as `now` or the guest's flags do; its argument says so. Waits for
    /// `events` where the file itself would not wait and the guest wants to.
    #[inline]
    pub(super) fn waiting<T>(&self, events: u32, now: bool, mut go: impl FnMut(bool) -> Result<T>) -> Result<T> {
        let nonblocking = now || self.is_nonblocking();
        match go(nonblocking) {
            Err(error) if error == EAGAIN && !nonblocking => self.waiting_after(events, error, go),
            result => result,
        }
    }

    /// Goes on with [`Open::waiting`] after `go` has failed.
    #[cold]
    fn waiting_after<T>(&self, events: u32, mut error: Error, mut go: impl FnMut(bool) -> Result<T>) -> Result<T> {
        while error == EAGAIN && self.is_file_nonblocking() {
            ready::wait(self, events)?;
            // Whoever is ready and yet has nothing would have us here for ever.
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

    /// `RWF_*` for what the guest wants and the file itself does not do.
    pub(super) fn rwf(&self, direction: Direction) -> bindings::rwf_t {
        let (wants, has) = (self.flags, self.linux_flags());
        let mut rwf = 0;
        if direction == Direction::Write {
            // A pipe that nobody reads is the guest's to know: the process that runs it may have more to do.
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

/// An iterator over [`IoVec`]s.
///
/// # Safety
///
/// `vectors` is address and number of [`IoVec`]s, which describe memory that can be used in this direction, and outlive the
/// iterator.
pub(super) unsafe fn iterator(vectors: (u64, u64), direction: Direction) -> Result<bindings::iov_iter> {
    let mut iter = MaybeUninit::uninit();
    // SAFETY: The caller guarantees it.
    unsafe { set_up(&mut iter, vectors, direction) }?;
    // SAFETY: It was just set up.
    Ok(unsafe { iter.assume_init() })
}

/// The same, where it is to be.
///
/// # Safety
///
/// As for [`iterator`].
#[inline]
unsafe fn set_up(
    iter: &mut MaybeUninit<bindings::iov_iter>,
    vectors: (u64, u64),
    direction: Direction,
) -> Result<&mut bindings::iov_iter> {
    let (addr, count) = (vectors.0 as *const IoVec, usize::try_from(vectors.1)?);
    if count > IOVECS_MAX {
        return Err(EINVAL);
    }
    // SAFETY: The caller guarantees it.
    let slice = unsafe { core::slice::from_raw_parts(addr, count) };
    let bytes = match slice {
        [vector] => vector.len,
        vectors => vectors.iter().fold(0, |sum: usize, vector| sum.saturating_add(vector.len)),
    };
    let way = match direction {
        Direction::Read => bindings::ITER_DEST,
        Direction::Write => bindings::ITER_SOURCE,
    };
    // An `IoVec` is laid out as a `struct kvec`.
    // SAFETY: The vectors outlive the iterator.
    unsafe { bindings::iov_iter_kvec(iter.as_mut_ptr(), way, addr.cast(), count, bytes.min(TRANSFER_MAX)) };
    // SAFETY: It was just set up.
    Ok(unsafe { iter.assume_init_mut() })
}
