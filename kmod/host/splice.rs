// SPDX-License-Identifier: GPL-2.0

//! Copy between two files without an intermediate buffer: the pages of the page cache are passed
//! on, as sendfile(2) does.
//!
//! C headers: [`include/linux/splice.h`](srctree/include/linux/splice.h),
//! [`include/linux/pipe_fs_i.h`](srctree/include/linux/pipe_fs_i.h)

use super::{
    files::Open,
    readiness, signal, sockets,
    transfer::{
        iterator,
        Direction, //
    },
};
use crate::{
    bindings as kwasmi_bindings,
    ffi::{
        poll,
        IoVec, //
    },
};
use core::{
    mem::{
        offset_of,
        MaybeUninit, //
    },
    ptr, //
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// Number of pages passed on at a time: the default capacity of a pipe, which the task's internal
/// pipe has.
const PAGES: usize = 16;

/// Moves at most `len` bytes from `from` to `to`, at the positions of both. Waits until at least
/// one byte can be moved. Returns the number of bytes; 0 at the end of `from`.
///
/// # Errors
///
/// `ENOSYS` if these files need a copy through a buffer; nothing was moved then. `EINTR` if a
/// signal is pending; errors of both files.
pub(super) fn splice(from: &Open, to: &Open, len: u64) -> Result<u64> {
    if !is_source(from) || !is_target(to, from) {
        return Err(ENOSYS);
    }
    let len = usize::try_from(len)?;
    loop {
        let mut is_full = false;
        let moved = from.with_position(|source| {
            let mut go = |position| {
                let mut target = Target {
                    open: to,
                    position,
                    is_full: &mut is_full,
                };
                // SAFETY: `fill` requires null or a valid position, which `with_position` passes.
                unsafe { target.fill(from, source, len) }
            };
            if to.kind() == bindings::S_IFREG {
                // Waiting for the second position while holding the first one could deadlock.
                to.with_position_now(go)
            } else {
                go(ptr::null_mut())
            }
        });
        match moved {
            // Wait with the position unlocked, so that others can use it.
            Err(_) if is_full => readiness::wait(to, poll::WRITE)?,
            // The file system does not support this, or there is no memory for the internal pipe.
            Err(error) if [EINVAL, EOPNOTSUPP, ENOMEM].contains(&error) => return Err(ENOSYS),
            moved => return moved,
        }
        // A file may report readiness and still accept nothing: check for signals, or this loop may
        // never end.
        if kernel::current!().signal_pending() {
            return Err(EINTR);
        }
        signal::yield_now();
    }
}

/// Returns true if the file can be read by pages, and read again if not all of a read is taken: a
/// seekable regular file. An empty file is excluded, because files whose content is generated at
/// each read, such as those of procfs, have size 0.
fn is_source(open: &Open) -> bool {
    let file = open.as_ptr();
    // SAFETY: `open` holds a reference to the file, and `f_op` does not change after the file is
    // opened.
    let splice_read = unsafe { (*(*file).f_op).splice_read };
    // SAFETY: `open` holds a reference to the file, which references its inode. The kernel stores
    // `i_size` as one word.
    let size = unsafe { (&raw const (*(*file).f_inode).i_size).read_volatile() };
    open.kind() == bindings::S_IFREG
        && open.mode() & kwasmi_bindings::KWASMI_CONST_FMODE_LSEEK != 0
        && splice_read.is_some()
        && size > 0
}

/// Returns true if the file accepts pages, and can be written without waiting for its reader.
fn is_target(open: &Open, from: &Open) -> bool {
    match open.kind() {
        bindings::S_IFSOCK => sockets::kind(open) == bindings::sock_type_SOCK_STREAM,
        bindings::S_IFIFO => {
            open.mode() & kwasmi_bindings::KWASMI_CONST_FMODE_NOWAIT != 0
                || open.is_file_nonblocking()
        }
        bindings::S_IFREG => inode(open) != inode(from),
        _ => false,
    }
}

fn inode(open: &Open) -> *mut bindings::inode {
    // SAFETY: `open` holds a reference to the file, which references its inode.
    unsafe { (*open.as_ptr()).f_inode }
}

/// Destination of a move.
struct Target<'a> {
    open: &'a Open,
    /// Pointer to the position in the file; null if it has none.
    position: *mut bindings::loff_t,
    /// Set if the file would have to wait.
    is_full: &'a mut bool,
}

impl Target<'_> {
    /// Moves at most `len` bytes of `from`, from the position `source` on, and advances the
    /// position. Returns the number of bytes.
    ///
    /// # Safety
    ///
    /// `source` must be null, or point to a position that is locked during the call.
    unsafe fn fill(
        &mut self,
        from: &Open,
        source: *mut bindings::loff_t,
        len: usize,
    ) -> Result<u64> {
        if source.is_null() {
            return Err(ENOSYS);
        }
        let file = from.as_ptr();
        // SAFETY: `rw_verify_area` requires a valid file, to which `from` holds a reference, and a
        // valid position, which `source` is by this function's safety requirement, as it is not
        // null.
        to_result(unsafe { bindings::rw_verify_area(bindings::READ as c_int, file, source, len) })?;
        let mut how = kwasmi_bindings::splice_desc {
            total_len: len,
            len: u32::try_from(len).unwrap_or(u32::MAX),
            u: kwasmi_bindings::splice_desc__bindgen_ty_1 {
                data: (&raw mut *self).cast(),
            },
            // SAFETY: `source` points to a locked position by this function's safety requirement.
            pos: unsafe { source.read() },
            ..Default::default()
        };
        // SAFETY: `splice_direct_to_actor` requires a valid file, to which `from` holds a
        // reference, and a descriptor that the actor accepts: `u.data` points to this `Target`, as
        // `take` requires.
        let moved = unsafe { kwasmi_bindings::splice_direct_to_actor(file, &mut how, Some(take)) };
        if moved < 0 {
            return Err(Error::from_errno(moved as i32));
        }
        if moved > 0 {
            // SAFETY: `source` points to a locked position by this function's safety requirement.
            unsafe { source.write(how.pos) };
            note_access(from);
        }
        Ok(moved as u64)
    }

    /// Writes `pages`, which hold `bytes` bytes, to the destination. Returns the number of bytes
    /// written.
    fn take(&mut self, pages: &[bindings::bio_vec], bytes: usize) -> Result<usize> {
        let mut iter = MaybeUninit::<bindings::iov_iter>::uninit();
        let (way, count) = (bindings::ITER_SOURCE, pages.len());
        // SAFETY: `iov_iter_bvec` requires room for an iterator and `count` vectors that outlive
        // it. `pages` has `count` elements and outlives `iter`.
        unsafe { bindings::iov_iter_bvec(iter.as_mut_ptr(), way, pages.as_ptr(), count, bytes) };
        // SAFETY: `iov_iter_bvec` initialised the iterator.
        let iter = unsafe { iter.assume_init() };
        let taken = if self.open.kind() == bindings::S_IFSOCK {
            self.send(iter)
        } else {
            self.write(iter)
        };
        match taken {
            Ok(0) => Err(EIO),
            Err(error) => {
                *self.is_full = error == EAGAIN;
                Err(error)
            }
            taken => taken,
        }
    }

    fn send(&self, iter: bindings::iov_iter) -> Result<usize> {
        let socket = sockets::socket(self.open)?;
        let msg_flags =
            bindings::MSG_SPLICE_PAGES | bindings::MSG_NOSIGNAL | bindings::MSG_DONTWAIT;
        let mut message = bindings::msghdr {
            msg_iter: iter,
            msg_flags,
            ..Default::default()
        };
        // SAFETY: `sock_sendmsg` requires a valid socket, which the file behind `self.open` keeps,
        // and a message with an initialised iterator, which `iter` is.
        let bytes = unsafe { bindings::sock_sendmsg(socket.as_ptr(), &mut message) };
        to_result(bytes)?;
        Ok(bytes as usize)
    }

    fn write(&self, mut iter: bindings::iov_iter) -> Result<usize> {
        let mut rwf = self.open.rwf(Direction::Write);
        if self.position.is_null() && !self.open.is_file_nonblocking() {
            rwf |= kwasmi_bindings::KWASMI_CONST_RWF_NOWAIT;
        }
        // SAFETY: `vfs_iter_write` requires a valid file, to which `self.open` holds a reference,
        // an initialised iterator, and null or a valid position. `self.position` is null or locked
        // during this call.
        let bytes =
            unsafe { bindings::vfs_iter_write(self.open.as_ptr(), &mut iter, self.position, rwf) };
        if bytes < 0 {
            return Err(Error::from_errno(bytes as i32));
        }
        Ok(bytes as usize)
    }
}

/// Updates the access time and notifies watchers of the file by a read of 0 bytes.
fn note_access(open: &Open) {
    let nothing: [IoVec; 0] = [];
    // SAFETY: `iterator` requires vectors that are valid for the direction; there are none.
    if let Ok(mut iter) = unsafe { iterator(&nothing, Direction::Read) } {
        // SAFETY: `vfs_iter_read` requires a valid file, to which `open` holds a reference, and an
        // initialised iterator. It accepts a null position.
        unsafe { bindings::vfs_iter_read(open.as_ptr(), &mut iter, ptr::null_mut(), 0) };
    }
}

/// Writes the content of the pipe to the [`Target`] of `how`: `splice_direct_actor` of
/// `include/linux/splice.h`. Returns the number of bytes written, or a negative error number.
/// `splice_direct_to_actor` releases buffers that are left in the pipe.
///
/// # Safety
///
/// - `pipe` must be valid, and nothing else may use it during the call.
/// - `how` must point to a descriptor whose `u.data` points to a [`Target`] that nothing else uses
///   during the call.
unsafe extern "C" fn take(
    pipe: *mut kwasmi_bindings::pipe_inode_info,
    how: *mut kwasmi_bindings::splice_desc,
) -> c_int {
    // SAFETY: `u.data` of `how` points to a `Target` that nothing else uses, by this function's
    // safety requirements.
    let target = unsafe { &mut *(*how).u.data.cast::<Target<'_>>() };
    // SAFETY: `how` is valid by this function's safety requirements.
    let wanted = unsafe { (*how).total_len };
    let mut pages = [bindings::bio_vec::default(); PAGES];
    let (mut count, mut bytes) = (0, 0);
    // SAFETY: `pipe` is valid and not used by anything else, by this function's safety
    // requirements.
    for (page, buffer) in pages.iter_mut().zip(unsafe { buffers(pipe) }) {
        // SAFETY: `pipe` is valid and not used by anything else, by this function's safety
        // requirements. `buffers` returns buffers of the pipe that are in use.
        let confirmed = unsafe { confirm(pipe, buffer) };
        if let Err(error) = confirmed {
            if count == 0 {
                return error.to_errno();
            }
            break;
        }
        // SAFETY: `buffer` points to a buffer of the pipe that is in use, as `buffers` returns no
        // others.
        let kwasmi_bindings::pipe_buffer {
            page: bv_page,
            offset,
            len,
            ..
        } = unsafe { *buffer };
        *page = bindings::bio_vec {
            bv_page,
            bv_len: len,
            bv_offset: offset,
        };
        count += 1;
        bytes += len as usize;
    }
    let taken = match target.take(pages.get(..count).unwrap_or_default(), bytes) {
        Ok(taken) => taken,
        Err(error) => return error.to_errno(),
    };
    if taken >= wanted {
        // SAFETY: `pipe` is valid and not used by anything else, by this function's safety
        // requirements.
        unsafe { clear(pipe) };
    }
    taken as c_int
}

// Checks that bindgen laid out the fields behind the anonymous union as C does.
const _: () = assert!(
    offset_of!(kwasmi_bindings::pipe_inode_info, bufs) == kwasmi_bindings::KWASMI_CONST_PIPE_BUFS,
    "layout differs from C"
);

/// Returns the address of the head and tail indices of a pipe.
fn index(pipe: *mut kwasmi_bindings::pipe_inode_info) -> *mut kwasmi_bindings::pipe_index {
    pipe.wrapping_byte_add(kwasmi_bindings::KWASMI_CONST_PIPE_INDEX)
        .cast()
}

/// Returns the buffers of a pipe that are in use, from the oldest to the newest.
///
/// # Safety
///
/// `pipe` must be valid, and nothing else may use it while the result exists.
unsafe fn buffers(
    pipe: *mut kwasmi_bindings::pipe_inode_info,
) -> impl Iterator<Item = *mut kwasmi_bindings::pipe_buffer> {
    // SAFETY: `pipe` is valid and not used by anything else, by this function's safety requirement.
    let index = unsafe { (*index(pipe)).__bindgen_anon_1 };
    // SAFETY: `pipe` is valid and not used by anything else, by this function's safety requirement.
    let (first, size) = unsafe { ((*pipe).bufs, (*pipe).ring_size) };
    let number = index.head.wrapping_sub(index.tail);
    // `ring_size` is a power of two.
    let place = move |nth| index.tail.wrapping_add(nth) & size.wrapping_sub(1);
    (0..number).map(move |nth| first.wrapping_add(place(nth) as usize))
}

/// Waits until the content of a buffer is available: `pipe_buf_confirm` of
/// `include/linux/pipe_fs_i.h`.
///
/// # Safety
///
/// - `pipe` must be valid, and nothing else may use it during the call.
/// - `buffer` must point to a buffer of `pipe` that is in use.
unsafe fn confirm(
    pipe: *mut kwasmi_bindings::pipe_inode_info,
    buffer: *mut kwasmi_bindings::pipe_buffer,
) -> Result {
    // SAFETY: `buffer` is in use by this function's safety requirements; a buffer in use has
    // operations.
    match unsafe { (*(*buffer).ops).confirm } {
        // SAFETY: `confirm` requires a pipe and one of its buffers in use, by this function's
        // safety requirements.
        Some(confirm) => to_result(unsafe { confirm(pipe, buffer) }),
        None => Ok(()),
    }
}

/// Empties a pipe: `pipe_buf_release` of `include/linux/pipe_fs_i.h` for each buffer in use.
///
/// # Safety
///
/// `pipe` must be valid, and nothing else may use it during the call.
unsafe fn clear(pipe: *mut kwasmi_bindings::pipe_inode_info) {
    // SAFETY: `pipe` is valid and not used by anything else, by this function's safety requirement.
    for buffer in unsafe { buffers(pipe) } {
        // SAFETY: `buffer` points to a buffer of the pipe that is in use, as `buffers` returns no
        // others.
        let operations = unsafe { (&raw mut (*buffer).ops).replace(ptr::null()) };
        // SAFETY: A buffer in use has operations, which are static.
        if let Some(release) = unsafe { (*operations).release } {
            // SAFETY: `release` requires a pipe and a buffer that was not released yet. Its
            // operations were replaced by null above, so nothing releases it again.
            unsafe { release(pipe, buffer) };
        }
    }
    // SAFETY: `pipe` is valid and not used by anything else, by this function's safety requirement.
    let index = unsafe { &mut (*index(pipe)).__bindgen_anon_1 };
    index.tail = index.head;
}
