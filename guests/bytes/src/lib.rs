// SPDX-License-Identifier: GPL-2.0

//! Searches bytes by the host, for guests of kwasmi: safe wrappers of the host functions `find` and
//! `count` of `kwasmi_bytes_1` (specification: `docs/bytes.md`).
//!
//! ```no_run
//! let lines = kwasmi_bytes::count(b"two\nlines\n", b'\n');
//! let end = kwasmi_bytes::find(b"a line\n", b'\n');
//! ```
//!
//! One host call costs as much as an interpreted search of about sixteen bytes. A program that
//! imports these functions runs only in kwasmi. On targets other than Wasm, this crate searches
//! without the host.

#![no_std]

#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "functions of the host")]
mod raw {
    #[link(wasm_import_module = "kwasmi_bytes_1")]
    unsafe extern "C" {
        pub(super) fn find(bytes: *const u8, len: usize, byte: u32, found: *mut u32) -> u32;
        pub(super) fn count(bytes: *const u8, len: usize, byte: u32, counted: *mut u32) -> u32;
    }
}

/// Returns the offset of the first `byte` in `bytes`, or `None`.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "a function of the host")]
#[inline]
#[must_use]
pub fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    let mut found = 0;
    // SAFETY: The pointer and the length are those of a live slice, which the host only reads, and
    // `found` is writable.
    let errno = unsafe { raw::find(bytes.as_ptr(), bytes.len(), u32::from(byte), &raw mut found) };
    if errno != 0 {
        return found_here(bytes, byte);
    }
    ((found as usize) < bytes.len()).then_some(found as usize)
}

/// Returns the number of bytes in `bytes` that equal `byte`.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "a function of the host")]
#[inline]
#[must_use]
pub fn count(bytes: &[u8], byte: u8) -> usize {
    let mut counted = 0;
    // SAFETY: The pointer and the length are those of a live slice, which the host only reads, and
    // `counted` is writable.
    let errno = unsafe { raw::count(bytes.as_ptr(), bytes.len(), u32::from(byte), &raw mut counted) };
    if errno == 0 { counted as usize } else { counted_here(bytes, byte) }
}

/// Returns the offset of the first `byte` in `bytes`, or `None`.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    found_here(bytes, byte)
}

/// Returns the number of bytes in `bytes` that equal `byte`.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn count(bytes: &[u8], byte: u8) -> usize {
    counted_here(bytes, byte)
}

/// Searches without the host, which fails if the guest does not export its memory as `memory`.
fn found_here(bytes: &[u8], byte: u8) -> Option<usize> {
    bytes.iter().position(|other| *other == byte)
}

/// Counts without the host, see [`found_here`].
fn counted_here(bytes: &[u8], byte: u8) -> usize {
    bytes.iter().filter(|other| **other == byte).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_and_counted() {
        assert_eq!((find(b"a line\n", b'\n'), find(b"a line", b'\n'), find(b"", b'\n')), (Some(6), None, None));
        assert_eq!((count(b"two\nlines\n", b'\n'), count(b"", b'\n')), (2, 0));
    }
}
