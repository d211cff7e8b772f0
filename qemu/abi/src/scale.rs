// SPDX-License-Identifier: GPL-2.0

//! Number of repetitions of random tests, and time limits, adjusted to the kernel that is tested.

use std::{
    path::Path,
    time::Duration, //
};

/// Factor by which time limits are longer on an instrumented kernel.
const SLOWNESS: u32 = 6;

/// Returns `full`, reduced to `KWASMI_TEST_PERCENT` percent if that variable is set (instrumented
/// kernels are slow), but at least 1.
pub(crate) fn iterations(full: u32) -> u32 {
    let percent = std::env::var("KWASMI_TEST_PERCENT").ok().and_then(|text| text.parse().ok()).unwrap_or(100_u64);
    u32::try_from(u64::from(full) * percent / 100).unwrap_or(u32::MAX).max(1)
}

/// Returns true if the kernel is instrumented: kmemleak is enabled.
pub(crate) fn is_instrumented() -> bool {
    Path::new("/sys/kernel/debug/kmemleak").exists()
}

/// Returns the time limit for this kernel of something that may take `time` on an uninstrumented
/// one.
pub(crate) fn timeout(time: Duration) -> Duration {
    if is_instrumented() { time * SLOWNESS } else { time }
}
