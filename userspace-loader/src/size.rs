// SPDX-License-Identifier: GPL-2.0

//! Sizes on the command line and in manifests.

use crate::quantity;
use std::num::NonZeroU64;

/// Units, and their sizes in bytes.
const UNITS: [(&str, u64); 4] = [("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40)];

const EXPECTED: &str = "expected a size such as 64M: a number with an optional unit (B, K, M, G, T)";

/// Parses a number with an optional unit into bytes: `K`, `M`, `G` or `T` (powers of 1024, in
/// either case, also `KiB` and so on), or `B` for bytes. Without a unit it is in bytes.
///
/// # Errors
///
/// A message if `text` is not a number, has an unknown unit, or is 0, not a whole number of bytes
/// or more than 2^64 - 1 bytes.
pub fn parse(text: &str) -> Result<NonZeroU64, String> {
    let (number, unit) = quantity::split(text);
    let unit = unit.to_ascii_uppercase();
    let letter = unit.strip_suffix("IB").unwrap_or(&unit);
    let bytes = match UNITS.iter().find(|(name, _)| *name == letter) {
        Some((_, bytes)) => *bytes,
        None if unit.is_empty() || unit == "B" => 1,
        None => return Err(EXPECTED.to_owned()),
    };
    quantity::scale(number, bytes, "byte", EXPECTED)
}

/// Returns true if `text` is a number without a unit.
#[must_use]
pub fn is_bare(text: &str) -> bool {
    quantity::split(text).1.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("1", 1),
            ("4096", 4096),
            ("256K", 256 << 10),
            ("64M", 64 << 20),
            ("64m", 64 << 20),
            ("64MiB", 64 << 20),
            ("2G", 2 << 30),
            ("1T", 1 << 40),
            ("1.5K", 1536),
            ("0.5M", 1 << 19),
            ("1B", 1),
            ("512b", 512),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse(text).map(NonZeroU64::get), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn not_sizes() {
        for text in [
            "",
            "K",
            "-1",
            "1.5",
            "0.1K",
            "1.M",
            "1X",
            "1KM",
            "64MB",
            "iB",
            "64 M",
            "1iB",
            "0",
            "0M",
            "18446744073709551616",
            "16777216T",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
