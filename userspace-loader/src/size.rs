// SPDX-License-Identifier: GPL-2.0

//! Sizes as a person writes them.

use std::num::NonZeroU64;

/// Letters and the powers of two that they stand for.
const UNITS: [(&str, u32); 4] = [("K", 10), ("M", 20), ("G", 30), ("T", 40)];

/// Bytes, from a number with or without `K`, `M`, `G` or `T` (powers of 1024, in either case, `KiB` and the like too).
///
/// # Errors
///
/// In words: not a number, unknown unit, zero, more than 64 bits hold.
pub fn parse(text: &str) -> Result<NonZeroU64, String> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let letter = unit.to_ascii_uppercase();
    let letter = letter.strip_suffix("IB").unwrap_or(&letter);
    let shift = match UNITS.iter().find(|(name, _)| *name == letter) {
        Some((_, shift)) => *shift,
        None if unit.is_empty() => 0,
        None => return Err("a number is wanted, with or without K, M, G or T".to_owned()),
    };
    if number.is_empty() {
        return Err("a number is wanted, with or without K, M, G or T".to_owned());
    }
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    match bytes.map(NonZeroU64::new) {
        Some(Some(bytes)) => Ok(bytes),
        Some(None) => Err("must be more than 0".to_owned()),
        None => Err("too large".to_owned()),
    }
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
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse(text).map(NonZeroU64::get), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn not_sizes() {
        for text in
            ["", "K", "-1", "1.5M", "1X", "1KM", "iB", "64 M", "1iB", "0", "0M", "18446744073709551616", "16777216T"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
