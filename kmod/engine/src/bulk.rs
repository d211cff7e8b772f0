// SPDX-License-Identifier: GPL-2.0

//! Large fills and copies, in pieces: between two of them the host lets others run, and may end the guest.
//!
//! One instruction of a guest can fill or copy gigabytes. The linker's `--wrap` makes every use of these functions in the
//! engine come here (see `scripts/build-kmod`).

use crate::host_call::poll;

/// A piece, in bytes: about a tenth of a millisecond at native speed.
const PIECE: usize = 1 << 20;

unsafe extern "C" {
    fn __real_memset(to: *mut u8, byte: i32, len: usize) -> *mut u8;
    fn __real_memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
    fn __real_memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
}

/// Offsets and lengths of the pieces of `len` bytes, from the first on.
fn pieces(len: usize) -> impl DoubleEndedIterator<Item = (usize, usize)> {
    (0..len.div_ceil(PIECE)).map(move |index| {
        let start = index.wrapping_mul(PIECE);
        (start, PIECE.min(len.wrapping_sub(start)))
    })
}

/// C's `memset`.
///
/// # Safety
///
/// As of `memset`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    if len <= PIECE {
        // SAFETY: The caller guarantees it.
        return unsafe { __real_memset(to, byte, len) };
    }
    for (start, len) in pieces(len) {
        // SAFETY: The piece is a part of what the caller guarantees.
        unsafe { __real_memset(to.wrapping_add(start), byte, len) };
        poll();
    }
    to
}

/// C's `memcpy`.
///
/// # Safety
///
/// As of `memcpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if len <= PIECE {
        // SAFETY: The caller guarantees it.
        return unsafe { __real_memcpy(to, from, len) };
    }
    for (start, len) in pieces(len) {
        // SAFETY: The piece is a part of what the caller guarantees.
        unsafe { __real_memcpy(to.wrapping_add(start), from.wrapping_add(start), len) };
        poll();
    }
    to
}

/// C's `memmove`.
///
/// # Safety
///
/// As of `memmove`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if len <= PIECE {
        // SAFETY: The caller guarantees it.
        return unsafe { __real_memmove(to, from, len) };
    }
    let piece = |(start, len): (usize, usize)| {
        // SAFETY: The piece is a part of what the caller guarantees; the order leaves what is not copied yet as it is.
        unsafe { __real_memmove(to.wrapping_add(start), from.wrapping_add(start), len) };
        poll();
    };
    if to.cast_const() < from {
        pieces(len).for_each(piece);
    } else {
        pieces(len).rev().for_each(piece);
    }
    to
}
