// SPDX-License-Identifier: GPL-2.0

//! Other engines to compare with: each runs a program in the plainest way that it has.

pub(crate) mod wasmi;
pub(crate) mod wasmtime;

use std::collections::BTreeMap;

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It returned.
    Finished,
    /// With a trap, in words.
    Trapped(String),
    /// It was not instantiated, or its start function did not return.
    Failed(String),
    /// In a way that differs between engines: fuel, stack, memory.
    NotComparable,
}

/// What an export holds at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// A global, and whether it is null if it is a reference.
    Global(u64),
    /// A table: which elements are null.
    Table(Vec<bool>),
    /// A memory.
    Memory(Vec<u8>),
}

impl Left {
    /// Where they are not the same, in words.
    pub(crate) fn difference(&self, other: &Self) -> String {
        match (self, other) {
            (Self::Memory(ours), Self::Memory(others)) if ours.len() == others.len() => {
                let at = ours.iter().zip(others).position(|(our, other)| our != other);
                at.map_or_else(String::new, |at| {
                    let end = ours.len().min(at + 16);
                    format!("at {at}: {:x?} and {:x?}", &ours[at..end], &others[at..end])
                })
            }
            (Self::Memory(ours), Self::Memory(others)) => format!("{} bytes and {} bytes", ours.len(), others.len()),
            _ => format!("{self:x?} and {other:x?}"),
        }
    }
}

/// How a program ended, and what it left behind.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) end: End,
    /// Fuel that it took, where that can be compared.
    pub(crate) fuel: Option<u64>,
    /// Exports by name.
    pub(crate) left: BTreeMap<String, Left>,
}

impl From<End> for Ended {
    fn from(end: End) -> Self {
        Self { end, fuel: None, left: BTreeMap::new() }
    }
}
