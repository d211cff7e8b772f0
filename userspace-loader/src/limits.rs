// SPDX-License-Identifier: GPL-2.0

//! Limits: names, units, and their values as text.

use crate::{
    duration,
    size,
    uapi, //
};
use serde::{
    Serialize,
    Serializer, //
};
use std::{
    fmt,
    num::NonZeroU64, //
};

#[path = "../../engine/src/limit_table.rs"]
mod limit_table;

/// Unit of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Nanoseconds.
    Nanoseconds,
    /// A number of items.
    Count,
}

/// A limit: `KWASMI_LIMIT_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub u32);

/// Row of the table of limits.
struct Row {
    number: u32,
    name: &'static str,
    unit: Unit,
    minimum: u64,
    about: &'static str,
}

macro_rules! limits {
    ($(
        $limit:ident = $number:literal: $id:ident, $name:literal, $unit:ident, $parameter:ident,
            $default:expr, $minimum:expr, $ceiling:expr, $text:literal;
    )*) => {
        /// All limits. The order is that of the numbers, which start at 1.
        const LIMITS: &[Row] = &[$(
            Row { number: uapi::$id, name: $name, unit: Unit::$unit, minimum: $minimum, about: $text },
        )*];

        // The numbers of the header.
        const _: () = {
            $(assert!(uapi::$id == $number, concat!(stringify!($id), " has another number in kwasmi.h"));)*
        };
    };
}

limit_table::limit_table!(limits);

/// Size of a page of linear memory, in bytes.
const WASM_PAGE: u64 = 65_536;

/// Size of the body of an empty function, in bytes: no locals, and the end opcode.
const FUNCTION_MIN: u64 = 2;

/// Size of an empty module, in bytes: magic and version.
const MODULE_MIN: u64 = 8;

/// Lower bound of the engine memory for any module, in bytes.
const CODE_MIN: u64 = 16_384;

impl Limit {
    fn row(self) -> Option<&'static Row> {
        LIMITS.iter().find(|row| row.number == self.0)
    }

    /// Returns the limit with this name, if a call can set it; `None` for the limits that all calls
    /// share.
    #[must_use]
    pub fn of_call(name: &str) -> Option<Self> {
        LIMITS.iter().find(|row| row.name == name && row.minimum > 0).map(|row| Self(row.number))
    }

    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().map_or("unknown", |row| row.name)
    }

    /// Returns the minimum of the limit.
    #[must_use]
    pub fn minimum(self) -> u64 {
        self.row().map_or(1, |row| row.minimum.max(1))
    }

    /// Returns the smallest number of bytes that is accepted without a unit, and the unit that a
    /// smaller number probably lacks.
    fn minimum_bare(self) -> (u64, &'static str) {
        match self.0 {
            uapi::KWASMI_LIMIT_MEMORY | uapi::KWASMI_LIMIT_HEAP => (WASM_PAGE, "M"),
            uapi::KWASMI_LIMIT_STACK => (self.minimum(), "K"),
            uapi::KWASMI_LIMIT_FUNCTION_SIZE => (FUNCTION_MIN, "K"),
            uapi::KWASMI_LIMIT_CODE => (CODE_MIN, "M"),
            uapi::KWASMI_LIMIT_MODULE_SIZE => (MODULE_MIN, "M"),
            _ => (1, ""),
        }
    }

    /// Returns the description.
    #[must_use]
    pub fn about(self) -> &'static str {
        self.row().map_or("", |row| row.about)
    }

    /// Returns the unit.
    #[must_use]
    pub fn unit(self) -> Unit {
        self.row().map_or(Unit::Count, |row| row.unit)
    }

    /// Parses a value of this limit from the command line or a manifest.
    ///
    /// # Errors
    ///
    /// A message if `text` is not a valid value, or is a number of bytes without a unit that is too
    /// small to be meant.
    pub fn parse(self, text: &str) -> Result<NonZeroU64, String> {
        match self.unit() {
            Unit::Bytes => {
                let bytes = size::parse(text)?;
                let (minimum, unit) = self.minimum_bare();
                if size::is_bare(text) && bytes.get() < minimum {
                    // Suggest a unit that makes the value large enough.
                    let unit = if bytes.get().saturating_mul(1024) < minimum { "M" } else { unit };
                    return Err(format!(
                        "a value below {} needs a unit: did you mean {text}{unit}? ({text}B \
                         means bytes)",
                        self.show(minimum)
                    ));
                }
                Ok(bytes)
            }
            Unit::Nanoseconds => duration::parse(text),
            Unit::Count => text.parse().map_err(|_| "expected a whole number from 1 to 2^64 - 1".to_owned()),
        }
    }

    /// Formats a value of this limit, with the largest unit that divides it.
    #[must_use]
    pub fn show(self, value: u64) -> String {
        if value == u64::MAX {
            return "unlimited".to_owned();
        }
        let (unit, steps) = match self.unit() {
            Unit::Count => return value.to_string(),
            Unit::Bytes => (" bytes", [("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)]),
            Unit::Nanoseconds => {
                (" ns", [("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)])
            }
        };
        match steps.into_iter().find(|(_, step)| value != 0 && value.is_multiple_of(*step)) {
            Some((name, step)) => format!("{}{name}", value / step),
            None => format!("{value}{unit}"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A limit that was reached, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Limit.
    pub limit: Limit,
    /// Value of the limit.
    pub value: u64,
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit reached: {} {}", self.limit, self.limit.show(self.value))
    }
}

/// Default and ceiling of a limit: `struct kwasmi_limit_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LimitInfo {
    /// Limit.
    pub limit: Limit,
    /// Value if the caller requests none.
    pub default: u64,
    /// Largest value that a caller can request.
    pub ceiling: u64,
}

/// Limits that a caller requests, with their values.
pub type RequestedLimits = Vec<(Limit, NonZeroU64)>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_consecutive() {
        for (index, row) in (1..).zip(LIMITS) {
            assert_eq!(index, row.number);
        }
    }

    #[test]
    fn values_are_read_and_shown() {
        let memory = Limit(uapi::KWASMI_LIMIT_MEMORY);
        for (text, value) in [("64M", 64 << 20), ("3K", 3 << 10), ("2G", 2 << 30)] {
            assert_eq!(memory.parse(text).map(NonZeroU64::get), Ok(value));
            assert_eq!(memory.show(value), text);
        }
        assert_eq!(memory.show(65_535), "65535 bytes");
        let time = Limit(uapi::KWASMI_LIMIT_TIME);
        for (text, value) in [("300ms", 300_000_000), ("2s", 2_000_000_000), ("3m", 180_000_000_000)] {
            assert_eq!(time.parse(text).map(NonZeroU64::get), Ok(value));
            assert_eq!(time.show(value), text);
        }
        assert_eq!(time.show(u64::MAX), "unlimited");
        let fuel = Limit(uapi::KWASMI_LIMIT_FUEL);
        assert!(fuel.parse("0").is_err() && fuel.parse("1K").is_err());
        assert_eq!(Reached { limit: fuel, value: 1_000_000 }.to_string(), "limit reached: fuel 1000000");
        assert_eq!(Limit(99).name(), "unknown");
    }

    #[test]
    fn a_small_value_without_a_unit_gets_a_hint() {
        let cases = [
            (uapi::KWASMI_LIMIT_MEMORY, "1", "64K", "1M"),
            (uapi::KWASMI_LIMIT_MEMORY, "65535", "64K", "65535M"),
            (uapi::KWASMI_LIMIT_HEAP, "64", "64K", "64M"),
            (uapi::KWASMI_LIMIT_STACK, "256", "4K", "256K"),
            (uapi::KWASMI_LIMIT_STACK, "1", "4K", "1M"),
            (uapi::KWASMI_LIMIT_CODE, "32", "16K", "32M"),
            (uapi::KWASMI_LIMIT_MODULE_SIZE, "1", "8 bytes", "1M"),
            (uapi::KWASMI_LIMIT_FUNCTION_SIZE, "1", "2 bytes", "1K"),
        ];
        for (limit, text, least, meant) in cases {
            let reason = Limit(limit).parse(text).expect_err(text);
            let words = format!("a value below {least} needs a unit: did you mean {meant}? ({text}B means bytes)");
            assert_eq!(reason, words);
            // With a unit, the value is accepted as it is.
            for unit in ["B", "K"] {
                assert!(Limit(limit).parse(&format!("{text}{unit}")).is_ok(), "{text}{unit}");
            }
        }
        assert_eq!(Limit(uapi::KWASMI_LIMIT_MEMORY).parse("65536").map(NonZeroU64::get), Ok(65_536));
        assert_eq!(Limit(uapi::KWASMI_LIMIT_STACK).parse("4096").map(NonZeroU64::get), Ok(4096));
    }

    #[test]
    fn names_are_looked_up() {
        assert_eq!(Limit::of_call("memory"), Some(Limit(uapi::KWASMI_LIMIT_MEMORY)));
        assert_eq!(Limit::of_call("cpu-time"), Some(Limit(uapi::KWASMI_LIMIT_CPU_TIME)));
        for name in ["", "Memory", "unknown", "total-heap", "total-running", "user-running"] {
            assert_eq!(Limit::of_call(name), None, "{name}");
        }
    }
}
