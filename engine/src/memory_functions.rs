// SPDX-License-Identifier: GPL-2.0

//! Splits large fills and copies into pieces, with a checkpoint after each piece.
//!
//! One instruction of a guest can fill or copy gigabytes. The linker's option `--wrap` redirects
//! all uses of these functions in the engine to this file (see `scripts/build-kmod`).

use crate::border::poll;

/// Size of a piece in bytes. A piece takes about a tenth of a millisecond at native speed.
const PIECE: usize = 1 << 20;

unsafe extern "C" {
    fn __real_memset(to: *mut u8, byte: i32, len: usize) -> *mut u8;
    fn __real_memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
    fn __real_memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
}

/// Returns the offsets and lengths of the pieces of `len` bytes, in ascending order.
fn pieces(len: usize) -> impl DoubleEndedIterator<Item = (usize, usize)> {
    (0..len.div_ceil(PIECE)).map(move |index| {
        let start = index.wrapping_mul(PIECE);
        (start, PIECE.min(len.wrapping_sub(start)))
    })
}

/// C's `memset`, with checkpoints.
///
/// # Safety
///
/// The requirements of C's `memset`: `to` points to `len` writable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    if len <= PIECE {
        // SAFETY: `to` points to `len` writable bytes by this function's safety requirement.
        return unsafe { __real_memset(to, byte, len) };
    }
    for (start, len) in pieces(len) {
        // SAFETY: The piece lies inside of the `len` writable bytes at `to`.
        unsafe { __real_memset(to.wrapping_add(start), byte, len) };
        poll();
    }
    to
}

/// C's `memcpy`, with checkpoints.
///
/// # Safety
///
/// The requirements of C's `memcpy`: `to` points to `len` writable bytes, `from` to `len` readable
/// bytes, and the two do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if len <= PIECE {
        // SAFETY: Both ranges are valid and do not overlap, by this function's safety requirement.
        return unsafe { __real_memcpy(to, from, len) };
    }
    for (start, len) in pieces(len) {
        // SAFETY: The pieces lie inside of the two ranges, which are valid and do not overlap.
        unsafe { __real_memcpy(to.wrapping_add(start), from.wrapping_add(start), len) };
        poll();
    }
    to
}

/// C's `memmove`, with checkpoints.
///
/// # Safety
///
/// The requirements of C's `memmove`: `to` points to `len` writable bytes, and `from` to `len`
/// readable bytes. The two may overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if len <= PIECE {
        // SAFETY: Both ranges are valid by this function's safety requirement.
        return unsafe { __real_memmove(to, from, len) };
    }
    let piece = |(start, len): (usize, usize)| {
        // SAFETY: The pieces lie inside of the two ranges. The order of the pieces never overwrites
        // bytes that are still to be copied.
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
