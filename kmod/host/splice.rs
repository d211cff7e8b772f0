// SPDX-License-Identifier: GPL-2.0

//! What is in one file goes to another without a buffer in between: the pages of the page cache are handed on, as sendfile(2)
//! does.
//!
//! C headers: [`include/linux/splice.h`](srctree/include/linux/splice.h),
//! [`include/linux/pipe_fs_i.h`](srctree/include/linux/pipe_fs_i.h)

use super::{
    files::Open,
    ready, signal, sockets,
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

/// The pages that are handed on at a time: as many as the pipe has room for that a task keeps for this.
const PAGES: usize = 16;

/// Moves at most `len` bytes from `from` to `to`, at the positions of both, and waits until some can be. Returns their number; 0
/// at the end of `from`.
///
/// # Errors
///
/// `ENOSYS` where it takes a buffer; nothing was done.
pub(super) fn splice(from: &Open, to: &Open, len: u64) -> Result<u64> {
    if !is_source(from) || !is_target(to, from) {
        return Err(ENOSYS);
    }
    let len = usize::try_from(len)?;
    loop {
        let mut is_full = false;
        let moved = from.with_position(|source| {
            let mut go = |position| {
                let mut target = Target { open: to, position, is_full: &mut is_full };
                target.fill(from, source, len)
            };
            if to.kind() == bindings::S_IFREG {
                // Nobody waits for one position while he has the other.
                to.with_position_now(go)
            } else {
                go(ptr::null_mut())
            }
        });
        match moved {
            // The position is not locked meanwhile: others may want to read.
            Err(_) if is_full => ready::wait(to, poll::WRITE)?,
            // A file system that cannot, or no memory for the pipe in between.
            Err(error) if [EINVAL, EOPNOTSUPP, ENOMEM].contains(&error) => return Err(ENOSYS),
            moved => return moved,
        }
        // Whoever is ready and yet takes nothing would have us here for ever.
        if kernel::current!().signal_pending() {
            return Err(EINTR);
        }
        signal::yield_now();
    }
}

/// Whether it can be read in pages, and over again if not all is taken: what is in a file. One that says that it is empty may
/// make up what is read from it, as those of procfs do.
fn is_source(open: &Open) -> bool {
    let file = open.as_ptr();
    // SAFETY: The file is referenced; its operations do not change.
    let splice_read = unsafe { (*(*file).f_op).splice_read };
    // SAFETY: The file is referenced, and keeps its inode; the size is a word, written as a whole.
    let size = unsafe { (&raw const (*(*file).f_inode).i_size).read_volatile() };
    open.kind() == bindings::S_IFREG
        && open.mode() & kwasmi_bindings::KWASMI_CONST_FMODE_LSEEK != 0
        && splice_read.is_some()
        && size > 0
}

/// Whether it takes pages, and can be asked not to wait for its reader.
fn is_target(open: &Open, from: &Open) -> bool {
    match open.kind() {
        bindings::S_IFSOCK => sockets::kind(open) == bindings::sock_type_SOCK_STREAM,
        bindings::S_IFIFO => {
            open.mode() & kwasmi_bindings::KWASMI_CONST_FMODE_NOWAIT != 0 || open.is_file_nonblocking()
        }
        bindings::S_IFREG => inode(open) != inode(from),
        _ => false,
    }
}

fn inode(open: &Open) -> *mut bindings::inode {
    // SAFETY: The file is referenced, and keeps its inode.
    unsafe { (*open.as_ptr()).f_inode }
}

/// Where pages go.
struct Target<'a> {
    open: &'a Open,
    /// Where in it, if it has a position.
    position: *mut bindings::loff_t,
    /// It would have to wait.
    is_full: &'a mut bool,
}

impl Target<'_> {
    /// Takes at most `len` bytes of `from`, from `source` on, which moves; returns their number.
    fn fill(&mut self, from: &Open, source: *mut bindings::loff_t, len: usize) -> Result<u64> {
        if source.is_null() {
            return Err(ENOSYS);
        }
        let file = from.as_ptr();
        // SAFETY: The file is referenced, the position locked.
        to_result(unsafe { bindings::rw_verify_area(bindings::READ as c_int, file, source, len) })?;
        let mut how = kwasmi_bindings::splice_desc {
            total_len: len,
            len: u32::try_from(len).unwrap_or(u32::MAX),
            u: kwasmi_bindings::splice_desc__bindgen_ty_1 { data: (&raw mut *self).cast() },
            // SAFETY: The position is locked.
            pos: unsafe { source.read() },
            ..Default::default()
        };
        // SAFETY: The file is referenced; `take` finds the target where it looks.
        let moved = unsafe { kwasmi_bindings::splice_direct_to_actor(file, &mut how, Some(take)) };
        if moved < 0 {
            return Err(Error::from_errno(moved as i32));
        }
        if moved > 0 {
            // SAFETY: The position is locked.
            unsafe { source.write(how.pos) };
            note_access(from);
        }
        Ok(moved as u64)
    }

    /// Takes the pages; returns how many bytes of them.
    fn take(&mut self, pages: &[bindings::bio_vec], bytes: usize) -> Result<usize> {
        let mut iter = MaybeUninit::<bindings::iov_iter>::uninit();
        let (way, count) = (bindings::ITER_SOURCE, pages.len());
        // SAFETY: The pages outlive the iterator.
        unsafe { bindings::iov_iter_bvec(iter.as_mut_ptr(), way, pages.as_ptr(), count, bytes) };
        // SAFETY: It was just set up.
        let iter = unsafe { iter.assume_init() };
        let taken = if self.open.kind() == bindings::S_IFSOCK { self.send(iter) } else { self.write(iter) };
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
        let msg_flags = bindings::MSG_SPLICE_PAGES | bindings::MSG_NOSIGNAL | bindings::MSG_DONTWAIT;
        let mut message = bindings::msghdr { msg_iter: iter, msg_flags, ..Default::default() };
        // SAFETY: The file keeps its socket; the message is set up.
        let bytes = unsafe { bindings::sock_sendmsg(socket.as_ptr(), &mut message) };
        to_result(bytes)?;
        Ok(bytes as usize)
    }

    fn write(&self, mut iter: bindings::iov_iter) -> Result<usize> {
        let mut rwf = self.open.rwf(Direction::Write);
        if self.position.is_null() && !self.open.is_file_nonblocking() {
            rwf |= kwasmi_bindings::KWASMI_CONST_RWF_NOWAIT;
        }
        // SAFETY: The file is referenced, the iterator is set up, the position locked or null.
        let bytes = unsafe { bindings::vfs_iter_write(self.open.as_ptr(), &mut iter, self.position, rwf) };
        if bytes < 0 {
            return Err(Error::from_errno(bytes as i32));
        }
        Ok(bytes as usize)
    }
}

/// Tells whoever watches it that the file was read: a read of nothing does.
fn note_access(open: &Open) {
    let nothing: [IoVec; 0] = [];
    // SAFETY: There are as many vectors.
    if let Ok(mut iter) = unsafe { iterator((nothing.as_ptr() as u64, 0), Direction::Read) } {
        // SAFETY: The file is referenced, the iterator is set up; no position is looked at.
        unsafe { bindings::vfs_iter_read(open.as_ptr(), &mut iter, ptr::null_mut(), 0) };
    }
}

/// Hands on what is in the pipe to the [`Target`] that `how` names; returns the number of bytes. What is not taken the caller
/// takes out of the pipe.
///
/// # Safety
///
/// For `splice_direct_to_actor` to call, which alone uses the pipe.
unsafe extern "C" fn take(
    pipe: *mut kwasmi_bindings::pipe_inode_info,
    how: *mut kwasmi_bindings::splice_desc,
) -> c_int {
    // SAFETY: It is what `fill` has passed, and names a target.
    let target = unsafe { &mut *(*how).u.data.cast::<Target<'_>>() };
    // SAFETY: As above.
    let wanted = unsafe { (*how).total_len };
    let mut pages = [bindings::bio_vec::default(); PAGES];
    let (mut count, mut bytes) = (0, 0);
    // SAFETY: The caller guarantees the pipe.
    for (page, buffer) in pages.iter_mut().zip(unsafe { buffers(pipe) }) {
        // SAFETY: The caller guarantees the pipe; the buffer is in use.
        let confirmed = unsafe { confirm(pipe, buffer) };
        if let Err(error) = confirmed {
            if count == 0 {
                return error.to_errno();
            }
            break;
        }
        // SAFETY: The buffer is in use.
        let kwasmi_bindings::pipe_buffer { page: bv_page, offset, len, .. } = unsafe { *buffer };
        *page = bindings::bio_vec { bv_page, bv_len: len, bv_offset: offset };
        count += 1;
        bytes += len as usize;
    }
    let taken = match target.take(pages.get(..count).unwrap_or_default(), bytes) {
        Ok(taken) => taken,
        Err(error) => return error.to_errno(),
    };
    if taken >= wanted {
        // SAFETY: The caller guarantees the pipe, of which all was taken.
        unsafe { clear(pipe) };
    }
    taken as c_int
}

// That bindgen has found everything else in its place.
const _: () =
    assert!(offset_of!(kwasmi_bindings::pipe_inode_info, bufs) == kwasmi_bindings::KWASMI_CONST_PIPE_BUFS, "as in C");

/// Where a pipe has its head and tail.
fn index(pipe: *mut kwasmi_bindings::pipe_inode_info) -> *mut kwasmi_bindings::pipe_index {
    pipe.wrapping_byte_add(kwasmi_bindings::KWASMI_CONST_PIPE_INDEX).cast()
}

/// What is in a pipe, in its order.
///
/// # Safety
///
/// Nobody else uses it.
unsafe fn buffers(
    pipe: *mut kwasmi_bindings::pipe_inode_info,
) -> impl Iterator<Item = *mut kwasmi_bindings::pipe_buffer> {
    // SAFETY: The caller guarantees it.
    let index = unsafe { (*index(pipe)).__bindgen_anon_1 };
    // SAFETY: As above.
    let (first, size) = unsafe { ((*pipe).bufs, (*pipe).ring_size) };
    let number = index.head.wrapping_sub(index.tail);
    // The size is a power of two.
    let place = move |nth| index.tail.wrapping_add(nth) & size.wrapping_sub(1);
    (0..number).map(move |nth| first.wrapping_add(place(nth) as usize))
}

/// Waits until what is in a buffer is there: `pipe_buf_confirm`.
///
/// # Safety
///
/// Nobody else uses the pipe; the buffer is one of its, in use.
unsafe fn confirm(pipe: *mut kwasmi_bindings::pipe_inode_info, buffer: *mut kwasmi_bindings::pipe_buffer) -> Result {
    // SAFETY: A buffer in use has operations.
    match unsafe { (*(*buffer).ops).confirm } {
        // SAFETY: The caller guarantees it.
        Some(confirm) => to_result(unsafe { confirm(pipe, buffer) }),
        None => Ok(()),
    }
}

/// Empties a pipe: `pipe_buf_release` of all that is in it.
///
/// # Safety
///
/// Nobody else uses it.
unsafe fn clear(pipe: *mut kwasmi_bindings::pipe_inode_info) {
    // SAFETY: The caller guarantees it.
    for buffer in unsafe { buffers(pipe) } {
        // SAFETY: The buffer is in use.
        let operations = unsafe { (&raw mut (*buffer).ops).replace(ptr::null()) };
        // SAFETY: A buffer in use has operations.
        if let Some(release) = unsafe { (*operations).release } {
            // SAFETY: It is released once: nobody finds its operations any more.
            unsafe { release(pipe, buffer) };
        }
    }
    // SAFETY: The caller guarantees it.
    let index = unsafe { &mut (*index(pipe)).__bindgen_anon_1 };
    index.tail = index.head;
}
