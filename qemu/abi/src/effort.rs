// SPDX-License-Identifier: GPL-2.0

//! How often what is left to chance is tried, and how long what takes long may take.

use std::{
    path::Path,
    time::Duration, //
};

/// How many times as long as another a kernel takes that looks at everything.
const SLOWNESS: u32 = 6;

/// `full` times, or the part of it that `KWASMI_EFFORT` says in percent: a kernel that looks at everything is slow. At least
/// once.
pub(crate) fn times(full: u32) -> u32 {
    let percent = std::env::var("KWASMI_EFFORT").ok().and_then(|text| text.parse().ok()).unwrap_or(100_u64);
    u32::try_from(u64::from(full) * percent / 100).unwrap_or(u32::MAX).max(1)
}

/// Whether the kernel is one that looks at everything.
pub(crate) fn is_instrumented() -> bool {
    Path::new("/sys/kernel/debug/kmemleak").exists()
}

/// How long this kernel may take for what may take so long on another.
pub(crate) fn patience(time: Duration) -> Duration {
    if is_instrumented() { time * SLOWNESS } else { time }
}
