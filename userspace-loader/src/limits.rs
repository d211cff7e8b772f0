// SPDX-License-Identifier: GPL-2.0

//! Limits: their names, and how people write and read their values.

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

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Nanoseconds.
    Nanoseconds,
    /// Things.
    Count,
}

/// A limit: `KWASMI_LIMIT_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub u32);

/// Every limit: its number, its name, what it counts, what it is about.
const LIMITS: [(u32, &str, Unit, &str); 23] = [
    (uapi::KWASMI_LIMIT_MODULE_SIZE, "module-size", Unit::Bytes, "the module's size"),
    (uapi::KWASMI_LIMIT_FUNCTIONS, "functions", Unit::Count, "the module's functions"),
    (uapi::KWASMI_LIMIT_FUNCTION_SIZE, "function-size", Unit::Bytes, "the code of one function"),
    (uapi::KWASMI_LIMIT_LOCALS, "locals", Unit::Count, "locals of one function"),
    (uapi::KWASMI_LIMIT_ARITY, "arity", Unit::Count, "parameters of one function type, or results"),
    (uapi::KWASMI_LIMIT_GLOBALS, "globals", Unit::Count, "the module's globals"),
    (uapi::KWASMI_LIMIT_DATA_SEGMENTS, "data-segments", Unit::Count, "the module's data segments"),
    (uapi::KWASMI_LIMIT_ELEMENT_SEGMENTS, "element-segments", Unit::Count, "the module's element segments"),
    (uapi::KWASMI_LIMIT_STACK, "stack", Unit::Bytes, "the Wasm stack: values, and 64 bytes for each call"),
    (uapi::KWASMI_LIMIT_CODE, "code", Unit::Bytes, "what the engine takes for the translated module"),
    (uapi::KWASMI_LIMIT_MEMORY, "memory", Unit::Bytes, "linear memory"),
    (uapi::KWASMI_LIMIT_TABLE, "table", Unit::Count, "elements of tables"),
    (uapi::KWASMI_LIMIT_HEAP, "heap", Unit::Bytes, "what the engine takes for the guest, linear memory included"),
    (uapi::KWASMI_LIMIT_FDS, "fds", Unit::Count, "open descriptors"),
    (uapi::KWASMI_LIMIT_FUEL, "fuel", Unit::Count, "instructions, about"),
    (uapi::KWASMI_LIMIT_TIME, "time", Unit::Nanoseconds, "how long it takes"),
    (uapi::KWASMI_LIMIT_CPU_TIME, "cpu-time", Unit::Nanoseconds, "CPU time"),
    (uapi::KWASMI_LIMIT_TOTAL_HEAP, "total-heap", Unit::Bytes, "what engines take together"),
    (uapi::KWASMI_LIMIT_TOTAL_MODULES, "total-modules", Unit::Count, "modules at the same time"),
    (uapi::KWASMI_LIMIT_TOTAL_INSTANCES, "total-instances", Unit::Count, "instances at the same time"),
    (uapi::KWASMI_LIMIT_TOTAL_RUNNING, "total-running", Unit::Count, "tasks in the engine at the same time"),
    (uapi::KWASMI_LIMIT_USER_INSTANCES, "user-instances", Unit::Count, "instances of one user at the same time"),
    (uapi::KWASMI_LIMIT_USER_RUNNING, "user-running", Unit::Count, "tasks in the engine for one user's instances"),
];

/// The least Wasm stack, in bytes.
const STACK_MIN: u64 = 4096;

/// A page of linear memory, in bytes: the least that a program can make use of.
const WASM_PAGE: u64 = 65_536;

/// The body of an empty function, in bytes: no locals, and its end.
const FUNCTION_MIN: u64 = 2;

/// An empty module, in bytes: magic and version.
const MODULE_MIN: u64 = 8;

/// Less than what the engine takes for any module at all, in bytes.
const CODE_MIN: u64 = 16_384;

impl Limit {
    fn row(self) -> Option<&'static (u32, &'static str, Unit, &'static str)> {
        LIMITS.iter().find(|(number, ..)| *number == self.0)
    }

    /// The limit of this name that one call can have: none of those that all calls share.
    #[must_use]
    pub fn of_call(name: &str) -> Option<Self> {
        let row = LIMITS.iter().find(|(_, known, ..)| *known == name)?;
        Some(Self(row.0)).filter(|limit| limit.0 < uapi::KWASMI_LIMIT_TOTAL_HEAP)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().map_or("unknown", |(_, name, ..)| name)
    }

    /// The least that it can be.
    #[must_use]
    pub fn least(self) -> u64 {
        match self.0 {
            uapi::KWASMI_LIMIT_STACK => STACK_MIN,
            _ => 1,
        }
    }

    /// The least number of bytes that can be meant without a unit, and the unit that was probably meant.
    fn least_bare(self) -> (u64, &'static str) {
        match self.0 {
            uapi::KWASMI_LIMIT_MEMORY | uapi::KWASMI_LIMIT_HEAP => (WASM_PAGE, "M"),
            uapi::KWASMI_LIMIT_STACK => (STACK_MIN, "K"),
            uapi::KWASMI_LIMIT_FUNCTION_SIZE => (FUNCTION_MIN, "K"),
            uapi::KWASMI_LIMIT_CODE => (CODE_MIN, "M"),
            uapi::KWASMI_LIMIT_MODULE_SIZE => (MODULE_MIN, "M"),
            _ => (1, ""),
        }
    }

    /// What it is about.
    #[must_use]
    pub fn about(self) -> &'static str {
        self.row().map_or("", |(.., about)| about)
    }

    /// What it counts.
    #[must_use]
    pub fn unit(self) -> Unit {
        self.row().map_or(Unit::Count, |(_, _, unit, _)| *unit)
    }

    /// A value of it, as a person writes it.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn parse(self, text: &str) -> Result<NonZeroU64, String> {
        match self.unit() {
            Unit::Bytes => {
                let bytes = size::parse(text)?;
                let (least, unit) = self.least_bare();
                if size::is_bare(text) && bytes.get() < least {
                    // What is proposed is not too little, too.
                    let unit = if bytes.get().saturating_mul(1024) < least { "M" } else { unit };
                    return Err(format!(
                        "without a unit it is bytes, and less than {} cannot be meant: did you mean {text}{unit}? ({text}B \
                         is bytes)",
                        self.show(least)
                    ));
                }
                Ok(bytes)
            }
            Unit::Nanoseconds => duration::parse(text),
            Unit::Count => text.parse().map_err(|_| "a whole number is wanted, from 1 to 2^64 - 1".to_owned()),
        }
    }

    /// A value of it, for people to read.
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
    /// Which one.
    pub limit: Limit,
    /// Its value.
    pub value: u64,
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit reached: {} {}", self.limit, self.limit.show(self.value))
    }
}

/// What a kernel module says of a limit: `struct kwasmi_limit_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Known {
    /// Which one.
    pub limit: Limit,
    /// The value that counts if nothing is asked for.
    pub default: u64,
    /// The most that can be asked for.
    pub ceiling: u64,
}

/// The limits that a caller asks for, and their values.
pub type Asked = Vec<(Limit, NonZeroU64)>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_one_another() {
        for (index, (number, ..)) in (1..).zip(LIMITS) {
            assert_eq!(index, number);
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
    fn what_cannot_be_meant_gets_a_hint() {
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
            let words = format!(
                "without a unit it is bytes, and less than {least} cannot be meant: did you mean {meant}? ({text}B is bytes)"
            );
            assert_eq!(reason, words);
            // With a unit it is what it says.
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
