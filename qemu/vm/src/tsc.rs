// SPDX-License-Identifier: GPL-2.0

//! Frequency of the host's time stamp counter (TSC), which QEMU's emulated processors have, too.
//!
//! A kernel measures the frequency against an emulated timer. On a busy host, one measured 209 MHz
//! in place of 2596 MHz: its clock then ran twelve times too fast, so that time-outs and stall
//! detectors of the kernel fired early. A measurement on the host is not disturbed: it takes the
//! readings that were quickest.

#![expect(unsafe_code, reason = "the standard library has no safe function that reads the TSC")]

use std::{
    sync::OnceLock,
    thread,
    time::{
        Duration,
        Instant, //
    },
};

/// Time between the two readings of a measurement.
const INTERVAL: Duration = Duration::from_millis(20);

/// Number of attempts at a reading.
const ATTEMPTS: usize = 50;

/// Returns the frequency of the TSC in kHz. `None` on hosts with another processor.
pub(crate) fn khz() -> Option<u64> {
    static KHZ: OnceLock<Option<u64>> = OnceLock::new();
    *KHZ.get_or_init(|| {
        let (began, first) = reading()?;
        thread::sleep(INTERVAL);
        let (ended, last) = reading()?;
        let nanoseconds = u64::try_from(ended.duration_since(began).as_nanos()).ok()?;
        last.checked_sub(first)?.checked_mul(1_000_000)?.checked_div(nanoseconds)
    })
}

/// Reads the clock and the TSC at the same time: in the attempt in which the TSC advanced least.
fn reading() -> Option<(Instant, u64)> {
    let attempts = (0..ATTEMPTS).map(|_| Some((counter()?, Instant::now(), counter()?)));
    let (before, now, after) = attempts
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .min_by_key(|(before, _, after)| after.wrapping_sub(*before))?;
    Some((now, before.midpoint(after)))
}

/// Returns the TSC.
#[cfg(target_arch = "x86_64")]
fn counter() -> Option<u64> {
    // SAFETY: `_rdtsc` requires a processor with the instruction RDTSC, which every x86-64
    // processor has.
    Some(unsafe { std::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_measurements_agree() {
        let Some(khz) = khz() else { return };
        assert!((100_000..10_000_000).contains(&khz), "{khz}");
        let (began, first) = reading().expect("there is a TSC");
        thread::sleep(INTERVAL);
        let (ended, last) = reading().expect("there is a TSC");
        let expected = ended.duration_since(began).as_secs_f64() * 1e3 * khz as f64;
        let ratio = (last - first) as f64 / expected;
        assert!((0.99..1.01).contains(&ratio), "{ratio}");
    }
}
