// SPDX-License-Identifier: GPL-2.0

//! Reference engines. Each runs a program in its simplest mode.

pub(crate) mod wasmi;
#[cfg(feature = "targets")]
pub(crate) mod wasmtime;

use std::collections::BTreeMap;

/// End of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The program returned.
    Finished,
    /// The program trapped, with this message.
    Trapped(String),
    /// Instantiation failed, or the start function trapped, with this message.
    Failed(String),
    /// The program reached a limit of fuel, stack or memory, which differ between engines.
    NotComparable,
}

/// Returns the message of a program that threw an exception which nothing caught, with the name
/// under which its tag is exported.
pub(crate) fn uncaught(tag: Option<&str>) -> String {
    format!("uncaught exception {}", tag.unwrap_or("with a tag that is not exported"))
}

/// Final contents of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Bits of a global. For a reference, 1 if it is null.
    Global(u128),
    /// Table: set for each null element.
    Table(Vec<bool>),
    /// Contents of a memory.
    Memory(Vec<u8>),
}

impl Left {
    /// Describes the first difference.
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

/// End of a program, with its final state.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) end: End,
    /// Fuel used, if it can be compared.
    pub(crate) fuel: Option<u64>,
    /// Exports by name.
    pub(crate) left: BTreeMap<String, Left>,
}

impl From<End> for Ended {
    fn from(end: End) -> Self {
        Self { end, fuel: None, left: BTreeMap::new() }
    }
}
