// SPDX-License-Identifier: GPL-2.0

//! Workloads with io_uring: independent operations are submitted together, and one system call
//! submits and waits.

mod buffers;
mod files;
mod serve;

use crate::Work;
use io_uring::{
    IoUring,
    squeue::Entry, //
};
use std::io;

/// Workloads by name.
pub(crate) const WORKS: [(&str, Work); 7] = [
    ("selfpipe-uring", files::selfpipe),
    ("scan-uring", files::scan),
    ("files-uring", files::small),
    ("echo-uring", serve::echo),
    ("http-uring", serve::http),
    ("http-close-uring", serve::http_close),
    ("kv-uring", serve::kv),
];

/// Makes a ring for a single thread that processes completions when it waits; on an older kernel,
/// an ordinary ring.
fn ring(entries: usize) -> io::Result<IoUring> {
    let entries = u32::try_from(entries).map_err(io::Error::other)?;
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun();
    builder.build(entries).or_else(|_| IoUring::new(entries))
}

/// Adds `entries` to the submission queue.
///
/// # Safety
///
/// The memory that the entries refer to must stay valid, and must not be used otherwise, until they
/// are complete.
#[allow(unsafe_code, reason = "the entries contain addresses")]
unsafe fn queue(ring: &mut IoUring, entries: &[Entry]) -> io::Result<()> {
    // SAFETY: The memory of the entries is valid until they are complete, by this function's safety
    // requirement.
    unsafe { ring.submission().push_multiple(entries) }.map_err(io::Error::other)
}

/// Converts the result of an operation.
fn checked(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.saturating_neg()))
}
