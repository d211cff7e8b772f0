// SPDX-License-Identifier: GPL-2.0

//! Makes the start function of a module an export.
//!
//! wasmi runs a start function in the middle of instantiation, where it can neither be paused nor resumed. So a module
//! with a start section is rewritten: the section goes, and an export of the function comes, to be called like any other.

use crate::sections::{
    id,
    sections, //
};
use alloc::vec::Vec;
use wasmparser::BinaryReader;

/// The name of the export. A module that has one of this name already is not valid once it is rewritten.
pub(crate) const EXPORT: &str = "(start)";

/// A module without its start section.
pub(crate) struct Rewritten {
    /// Its bytes.
    pub(crate) wasm: Vec<u8>,
    /// Where it begins to differ from the original, in bytes.
    from: usize,
    /// How many bytes it is longer from there on, as far as the start section.
    longer: usize,
}

impl Rewritten {
    /// Where `offset` was in the original.
    pub(crate) fn original_offset(&self, offset: usize) -> usize {
        if offset < self.from { offset } else { offset.saturating_sub(self.longer).max(self.from) }
    }
}

fn push_u32(bytes: &mut Vec<u8>, mut value: u32) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// The module `wasm` with its start section made an export; `None` if it has none, or is so broken that validation will
/// say so.
pub(crate) fn rewrite(wasm: &[u8]) -> Option<Rewritten> {
    let mut exports = None;
    let start = sections(wasm).find_map(|section| match section.id {
        id::START => Some(section),
        id::EXPORT => {
            exports = Some(section);
            None
        }
        _ => None,
    })?;
    let mut function = BinaryReader::new(start.contents, 0);
    let function_index = function.read_var_u32().ok()?;
    if !function.eof() {
        return None;
    }

    let mut list = Vec::new();
    let (count, rest) = match &exports {
        Some(section) => {
            let mut contents = BinaryReader::new(section.contents, 0);
            let count = contents.read_var_u32().ok()?;
            (count, section.contents.get(contents.original_position()..)?)
        }
        None => (0, [].as_slice()),
    };
    // Room for the numbers, each of at most 5 bytes, as well.
    list.try_reserve_exact(rest.len().checked_add(EXPORT.len())?.checked_add(16)?).ok()?;
    push_u32(&mut list, count.checked_add(1)?);
    list.extend_from_slice(rest);
    push_u32(&mut list, u32::try_from(EXPORT.len()).ok()?);
    list.extend_from_slice(EXPORT.as_bytes());
    list.push(0);
    push_u32(&mut list, function_index);

    // The exports end where the start section begins, but for custom sections in between.
    let (before, between) = match &exports {
        Some(section) => (wasm.get(..section.start)?, wasm.get(section.end..start.start)?),
        None => (wasm.get(..start.start)?, [].as_slice()),
    };
    let after = wasm.get(start.end..)?;
    let mut out = Vec::new();
    out.try_reserve_exact(wasm.len().checked_add(list.len())?.checked_add(16)?).ok()?;
    out.extend_from_slice(before);
    out.push(id::EXPORT);
    push_u32(&mut out, u32::try_from(list.len()).ok()?);
    out.extend_from_slice(&list);
    let from = out.len();
    out.extend_from_slice(between);
    out.extend_from_slice(after);
    let longer = out.len().saturating_sub(wasm.len());
    Some(Rewritten { wasm: out, from, longer })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wasm(text: &str) -> Vec<u8> {
        wat::parse_str(text).expect("valid text")
    }

    #[test]
    fn a_start_section_becomes_an_export() {
        let original = wasm(r#"(module (func $f) (func (export "_start")) (start $f))"#);
        let rewritten = rewrite(&original).expect("has one");
        let engine = wasmi::Engine::default();
        let module = wasmi::Module::new(&engine, &rewritten.wasm).expect("still valid");
        let exports: Vec<_> = module.exports().map(|export| export.name()).collect();
        assert_eq!(exports, [EXPORT, "_start"]);
        assert!(rewrite(&rewritten.wasm).is_none());
    }

    #[test]
    fn also_without_other_exports() {
        let rewritten = rewrite(&wasm("(module (func $f) (start $f))")).expect("has one");
        let engine = wasmi::Engine::default();
        assert!(wasmi::Module::new(&engine, &rewritten.wasm).is_ok());
    }

    #[test]
    fn no_prefix_of_a_module_is_a_problem() {
        let original =
            wasm(r#"(module (memory 1) (func $f) (func (export "_start")) (start $f) (data (i32.const 0) "x"))"#);
        for len in 0..original.len() {
            let _ = rewrite(&original[..len]);
        }
    }

    #[test]
    fn offsets_are_those_of_the_original() {
        let original = wasm(r#"(module (func $f) (func (export "_start") unreachable) (start $f))"#);
        let rewritten = rewrite(&original).expect("has one");
        assert_eq!(rewritten.original_offset(3), 3);
        assert_eq!(rewritten.original_offset(rewritten.wasm.len()), original.len());
    }
}
