// SPDX-License-Identifier: GPL-2.0

//! Input and output of the current call of a reactor, for guests of kwasmi: safe wrappers of the
//! host functions `input` and `output` of `kwasmi_call_1` (specification: `docs/calls.md`).
//!
//! ```no_run
//! #[unsafe(no_mangle)]
//! extern "C" fn count_lines() -> u32 {
//!     let mut buffer = [0; 4096];
//!     let (mut lines, mut offset) = (0, 0);
//!     while let Ok(bytes) = kwasmi_call::input(offset, &mut buffer) {
//!         if bytes.is_empty() {
//!             break;
//!         }
//!         lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u32;
//!         offset += bytes.len() as u32;
//!     }
//!     lines
//! }
//! ```
//!
//! A module that imports these functions runs only in kwasmi. On targets other than Wasm, the
//! functions of this crate fail with [`Error::OUTSIDE`].

#![no_std]

#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "functions of the host")]
mod raw {
    #[link(wasm_import_module = "kwasmi_call_1")]
    unsafe extern "C" {
        pub(super) fn input(buf: *mut u8, buf_len: usize, offset: u32, size: *mut u32) -> u32;
        pub(super) fn output(buf: *const u8, buf_len: usize) -> u32;
    }
}

/// Error of a host function: an `errno` of WASI preview 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(pub u32);

impl Error {
    /// `nobufs`: the output does not fit in the caller's buffer.
    pub const FULL: Self = Self(42);
    /// `notconn`: the function is called outside of a call.
    pub const OUTSIDE: Self = Self(53);
}

/// Returns the length of the call's input, in bytes.
///
/// # Errors
///
/// [`Error::OUTSIDE`] outside of a call.
pub fn input_size() -> Result<u32, Error> {
    copy(0, &mut []).map(|(size, _)| size)
}

/// Copies the call's input from `offset` on into `buffer`. Returns the copied bytes: none at the
/// end of the input.
///
/// # Errors
///
/// [`Error::OUTSIDE`] outside of a call.
pub fn input(offset: u32, buffer: &mut [u8]) -> Result<&[u8], Error> {
    let (size, buffer) = copy(offset, buffer)?;
    let len = buffer.len().min(size.saturating_sub(offset) as usize);
    Ok(buffer.get(..len).unwrap_or_default())
}

/// Copies the input; returns the length of the whole input, and `buffer`.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "a function of the host")]
fn copy(offset: u32, buffer: &mut [u8]) -> Result<(u32, &[u8]), Error> {
    let mut size = 0;
    // SAFETY: The pointer and the length are those of a live slice, which the host writes, and
    // `size` is writable.
    let errno = unsafe { raw::input(buffer.as_mut_ptr(), buffer.len(), offset, &raw mut size) };
    if errno == 0 { Ok((size, buffer)) } else { Err(Error(errno)) }
}

/// Appends `bytes` to the call's output.
///
/// # Errors
///
/// [`Error::FULL`] if the bytes do not fit in the caller's buffer; then none is appended.
/// [`Error::OUTSIDE`] outside of a call.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "a function of the host")]
pub fn output(bytes: &[u8]) -> Result<(), Error> {
    // SAFETY: The pointer and the length are those of a live slice, which the host only reads.
    let errno = unsafe { raw::output(bytes.as_ptr(), bytes.len()) };
    if errno == 0 { Ok(()) } else { Err(Error(errno)) }
}

/// Fails: there is no call on this target.
#[cfg(not(target_family = "wasm"))]
fn copy(_offset: u32, _buffer: &mut [u8]) -> Result<(u32, &[u8]), Error> {
    Err(Error::OUTSIDE)
}

/// Fails with [`Error::OUTSIDE`]: there is no call on this target.
///
/// # Errors
///
/// [`Error::OUTSIDE`].
#[cfg(not(target_family = "wasm"))]
pub fn output(_bytes: &[u8]) -> Result<(), Error> {
    Err(Error::OUTSIDE)
}
