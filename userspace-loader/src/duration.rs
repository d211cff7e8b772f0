// SPDX-License-Identifier: GPL-2.0

//! Durations on the command line and in manifests.

use crate::quantity;
use std::num::NonZeroU64;

/// Units, and their lengths in nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("", 1_000_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
];

const EXPECTED: &str =
    "expected a duration such as 1.5s or 500ms: a number with an optional unit (ns, us, ms, s, m, h)";

/// Parses a number with a unit (`ns`, `us`, `ms`, `s`, `m`, `h`) into nanoseconds. Without a unit
/// it is in seconds, as for timeout(1).
///
/// # Errors
///
/// A message if `text` is not a number, has an unknown unit, or is 0, not a whole number of
/// nanoseconds or more than 2^64 - 1 nanoseconds.
pub fn parse(text: &str) -> Result<NonZeroU64, String> {
    let (number, unit) = quantity::split(text);
    let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(EXPECTED)?;
    quantity::scale(number, *nanoseconds, "nanosecond", EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [
            ("1ns", 1),
            ("10us", 10_000),
            ("500ms", 500_000_000),
            ("2s", 2_000_000_000),
            ("2", 2_000_000_000),
            ("3m", 180_000_000_000),
            ("1h", 3_600_000_000_000),
            ("1.5s", 1_500_000_000),
            ("0.5", 500_000_000),
            ("0.25ms", 250_000),
            ("1.5m", 90_000_000_000),
        ];
        for (text, nanoseconds) in cases {
            assert_eq!(parse(text).map(NonZeroU64::get), Ok(nanoseconds), "{text}");
        }
    }

    #[test]
    fn not_durations() {
        for text in [
            "",
            "s",
            "-1s",
            "1.s",
            ".5s",
            "1.5ns",
            "1,5s",
            "1 s",
            "1S",
            "1min",
            "0",
            "0ms",
            "18446744073709551616ns",
            "18446744073710",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
