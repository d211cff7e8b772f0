// SPDX-License-Identifier: GPL-2.0

//! Decimal numbers with a unit: the common part of [sizes](crate::size) and
//! [durations](crate::duration).

use std::num::NonZeroU64;

/// Upper bound of the number of digits after the point.
const FRACTION_DIGITS_MAX: usize = 18;

/// Splits `text` into a decimal number, with or without a fraction, and the unit that follows it.
#[must_use]
pub fn split(text: &str) -> (&str, &str) {
    let end = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
    text.split_at(end)
}

/// Multiplies the decimal number `number` by `factor`, exactly. `one` is the name of the product's
/// unit, in the singular.
///
/// # Errors
///
/// A message if `number` is not a decimal number (`expected` is that message), or if the product is
/// 0, not a whole number or larger than 2^64 - 1.
pub fn scale(number: &str, factor: u64, one: &str, expected: &str) -> Result<NonZeroU64, String> {
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (number, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || fraction.is_some_and(|fraction| !is_digits(fraction)) {
        return Err(expected.to_owned());
    }
    let too_large = || format!("more than 2^64 - 1 {one}s");
    let whole = whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(factor)).ok_or_else(too_large)?;
    let digits = fraction.unwrap_or_default().trim_end_matches('0');
    let mut part = 0;
    if !digits.is_empty() {
        let not_whole = || format!("not a whole number of {one}s");
        if digits.len() > FRACTION_DIGITS_MAX {
            return Err(not_whole());
        }
        let numerator = u128::from(digits.parse::<u64>().map_err(|_| not_whole())?) * u128::from(factor);
        let denominator = digits.bytes().fold(1_u128, |product, _| product * 10);
        if !numerator.is_multiple_of(denominator) {
            return Err(not_whole());
        }
        part = u64::try_from(numerator / denominator).map_err(|_| too_large())?;
    }
    let product = whole.checked_add(part).ok_or_else(too_large)?;
    NonZeroU64::new(product).ok_or_else(|| "must be more than 0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_split_from_units() {
        assert_eq!(split("64M"), ("64", "M"));
        assert_eq!(split("1.5s"), ("1.5", "s"));
        assert_eq!(split("7"), ("7", ""));
        assert_eq!(split("s"), ("", "s"));
        assert_eq!(split("-1"), ("", "-1"));
        assert_eq!(split(""), ("", ""));
    }

    #[test]
    fn products_are_exact() {
        let scale = |number, factor| scale(number, factor, "byte", "a number").map(NonZeroU64::get);
        assert_eq!(scale("1.5", 1024), Ok(1536));
        assert_eq!(scale("0.000001", 1_000_000_000), Ok(1000));
        assert_eq!(scale("1.000000000000000000000", 1), Ok(1));
        assert_eq!(scale("18446744073709551615", 1), Ok(u64::MAX));
        for number in ["", ".", "1.", ".5", "1.5.5", "1..5"] {
            assert_eq!(scale(number, 1024), Err("a number".to_owned()), "{number}");
        }
        for number in ["0", "0.0"] {
            assert_eq!(scale(number, 1024), Err("must be more than 0".to_owned()), "{number}");
        }
        for number in ["0.1", "1.0000000000000000001"] {
            assert_eq!(scale(number, 1024), Err("not a whole number of bytes".to_owned()), "{number}");
        }
        for number in ["18446744073709551616", "18014398509481984", "18014398509481983.9990234375000000001"] {
            assert!(scale(number, 1024).is_err(), "{number}");
        }
    }
}
