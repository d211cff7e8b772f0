// SPDX-License-Identifier: GPL-2.0

//! Counters of an object, `struct kwasmi_counter`: names, units and values (`docs/stats.md`).

use crate::uapi;
use serde::{
    Serialize,
    Serializer,
    ser::SerializeMap as _, //
};
use std::{
    collections::BTreeMap,
    fmt, //
};

#[path = "../../kmod/watch/counter_table.rs"]
mod counter_table;

/// Unit of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Nanoseconds.
    Nanoseconds,
    /// A number of items.
    Count,
}

/// Behaviour of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The value never decreases.
    Total,
    /// The value goes up and down.
    Gauge,
    /// The values are numbers of events, which never decrease. Each has the upper bound of a size,
    /// in the unit of the row, or `+Inf` as its label.
    Histogram,
}

/// Row of the table of counters.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// `KWASMI_COUNTER_*`.
    pub number: u32,
    /// Name in JSON and in fdinfo.
    pub name: &'static str,
    /// Unit of the value.
    pub unit: Unit,
    /// Behaviour of the value.
    pub kind: Kind,
    /// Name of what distinguishes several counters of this number; empty if there is one.
    pub label: &'static str,
    /// Description.
    pub about: &'static str,
}

macro_rules! counters {
    ($(
        $counter:ident = $number:literal: $id:ident, $name:literal, $unit:ident, $kind:ident, $label:literal,
            $text:literal;
    )*) => {
        /// All counters, in ascending order of their numbers.
        pub const COUNTERS: &[Row] = &[$(
            Row {
                number: uapi::$id,
                name: $name,
                unit: Unit::$unit,
                kind: Kind::$kind,
                label: $label,
                about: $text,
            },
        )*];

        // The numbers of the header.
        const _: () = {
            $(assert!(uapi::$id == $number, concat!(stringify!($id), " has another number in kwasmi.h"));)*
        };
    };
}

counter_table::counter_table!(counters);

/// Value of a counter: `struct kwasmi_counter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// `KWASMI_COUNTER_*`.
    pub counter: u32,
    /// Name of what distinguishes it from others of its number; empty if it is the only one.
    pub label: String,
    /// Value.
    pub value: u64,
}

/// Counters of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(pub Vec<Value>);

impl Counters {
    /// Returns the value of the counter without a label that has this number; 0 if there is none.
    #[must_use]
    pub fn get(&self, counter: u32) -> u64 {
        self.of(counter).next().map_or(0, |value| value.value)
    }

    /// Returns the counters with this number.
    pub fn of(&self, counter: u32) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |value| value.counter == counter)
    }

    /// Returns the rows of the table of which the object has counters. Counters that this command
    /// does not know are left out.
    fn rows(&self) -> impl Iterator<Item = &'static Row> {
        COUNTERS.iter().filter(|row| self.of(row.number).next().is_some())
    }
}

impl Serialize for Counters {
    /// A map from names to numbers; from names to maps from labels to numbers, if there are labels.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for row in self.rows() {
            if row.label.is_empty() {
                map.serialize_entry(row.name, &self.get(row.number))?;
            } else {
                let values: BTreeMap<_, _> =
                    self.of(row.number).map(|value| (value.label.as_str(), value.value)).collect();
                map.serialize_entry(row.name, &values)?;
            }
        }
        map.end()
    }
}

impl fmt::Display for Counters {
    /// A line for each counter: name and value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in self.rows() {
            for Value { label, value, .. } in self.of(row.number) {
                let label = label.escape_debug();
                if row.label.is_empty() {
                    writeln!(f, "  {}: {value}", row.name)?;
                } else {
                    writeln!(f, "  {}[{label}]: {value}", row.name)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns counters of a service.
    pub(crate) fn example() -> Counters {
        let value = |counter, label: &str, value| Value { counter, label: label.to_owned(), value };
        Counters(vec![
            value(uapi::KWASMI_COUNTER_RUNS, "", 1),
            value(uapi::KWASMI_COUNTER_FUNCTION_CALLS, "wasi_snapshot_preview1.fd_write", 7),
            value(uapi::KWASMI_COUNTER_FUNCTION_CALLS, "wasi_snapshot_preview1.fd_read", 2),
            value(uapi::KWASMI_COUNTER_CPU_TIME, "", 1_500_000_001),
            value(u32::MAX, "", 5),
        ])
    }

    #[test]
    fn counters_are_json() {
        assert_eq!(
            serde_json::to_string(&example()).expect("is plain data"),
            r#"{"runs":1,"function_calls":{"wasi_snapshot_preview1.fd_read":2,"wasi_snapshot_preview1.fd_write":7},"cpu_time_ns":1500000001}"#
        );
        assert_eq!(example().get(uapi::KWASMI_COUNTER_MEMORY), 0);
    }

    #[test]
    fn counters_are_lines() {
        assert_eq!(
            example().to_string(),
            "  runs: 1\n  function_calls[wasi_snapshot_preview1.fd_write]: 7\n  \
             function_calls[wasi_snapshot_preview1.fd_read]: 2\n  cpu_time_ns: 1500000001\n"
        );
    }

    #[test]
    fn the_document_has_every_counter() {
        let document = include_str!("../../docs/stats.md");
        let rows = document.lines().skip_while(|line| !line.starts_with("| `runs`"));
        let named: Vec<_> =
            rows.map_while(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect();
        assert_eq!(named, COUNTERS.iter().map(|row| row.name).collect::<Vec<_>>());
    }
}
