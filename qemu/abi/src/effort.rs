// SPDX-License-Identifier: GPL-2.0

//! How often what is left to chance is tried.

/// `full` times, or the part of it that `KWASMI_EFFORT` says in percent: a kernel that looks at everything is slow. At least
/// once.
pub(crate) fn times(full: u32) -> u32 {
    let percent = std::env::var("KWASMI_EFFORT").ok().and_then(|text| text.parse().ok()).unwrap_or(100_u64);
    u32::try_from(u64::from(full) * percent / 100).unwrap_or(u32::MAX).max(1)
}
