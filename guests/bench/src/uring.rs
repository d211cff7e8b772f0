// SPDX-License-Identifier: GPL-2.0

//! The same work by io_uring, as it is meant to be used: what does not depend on each other is submitted at once, and one system
//! call submits and waits.

mod buffers;
mod files;
mod serve;

use crate::Work;
use io_uring::{
    IoUring,
    squeue::Entry, //
};
use std::io;

/// What is measured by io_uring, by name.
pub(crate) const WORKS: [(&str, Work); 7] = [
    ("selfpipe-uring", files::selfpipe),
    ("scan-uring", files::scan),
    ("files-uring", files::small),
    ("echo-uring", serve::echo),
    ("http-uring", serve::http),
    ("http-close-uring", serve::http_close),
    ("kv-uring", serve::kv),
];

/// A ring for this thread alone, in which what completes is looked at when this thread waits; an older kernel has none such.
fn ring(entries: usize) -> io::Result<IoUring> {
    let entries = u32::try_from(entries).map_err(io::Error::other)?;
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun();
    builder.build(entries).or_else(|_| IoUring::new(entries))
}

/// Puts `entries` into the queue.
///
/// # Safety
///
/// What the entries point to stays, and nobody else uses it, until they are done.
#[allow(unsafe_code, reason = "passes on what the caller guarantees")]
unsafe fn queue(ring: &mut IoUring, entries: &[Entry]) -> io::Result<()> {
    // SAFETY: The caller guarantees it.
    unsafe { ring.submission().push_multiple(entries) }.map_err(io::Error::other)
}

/// What an operation came to.
fn checked(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.saturating_neg()))
}
