// SPDX-License-Identifier: GPL-2.0

//! Rewrites a module so that its start function becomes an export.
//!
//! wasmi runs a start function during instantiation, where it can neither be paused nor resumed.
//! The rewritten module has no start section and exports the function instead, to be called like
//! any other.

use crate::sections::{
    id,
    sections, //
};
use alloc::vec::Vec;
use wasmparser::BinaryReader;

/// Name of the export. A module that already exports this name fails validation after the rewrite.
pub(crate) const EXPORT: &str = "(start)";

/// Module whose start section was replaced by an export.
pub(crate) struct Rewritten {
    /// Bytes of the module.
    pub(crate) wasm: Vec<u8>,
    /// Offset from which unchanged sections are shifted, in bytes of the rewritten module.
    from: usize,
    /// Number of bytes by which the module grew.
    longer: usize,
}

impl Rewritten {
    /// Returns the offset in the original module that `offset` in the rewritten module corresponds
    /// to.
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

/// Returns `wasm` with its start section turned into an export. Returns `None` if it has no start
/// section, or is malformed in a way that validation reports.
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
    // 16 more bytes hold the three LEB128 numbers, of at most 5 bytes each, and the export kind.
    list.try_reserve_exact(rest.len().checked_add(EXPORT.len())?.checked_add(16)?).ok()?;
    push_u32(&mut list, count.checked_add(1)?);
    list.extend_from_slice(rest);
    push_u32(&mut list, u32::try_from(EXPORT.len()).ok()?);
    list.extend_from_slice(EXPORT.as_bytes());
    list.push(0);
    push_u32(&mut list, function_index);

    // Only custom sections can lie between the export section and the start section.
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
        let rewritten = rewrite(&original).expect("a start section");
        let engine = wasmi::Engine::default();
        let module = wasmi::Module::new(&engine, &rewritten.wasm).expect("still valid");
        let exports: Vec<_> = module.exports().map(|export| export.name()).collect();
        assert_eq!(exports, [EXPORT, "_start"]);
        assert!(rewrite(&rewritten.wasm).is_none());
    }

    #[test]
    fn a_start_section_becomes_an_export_in_a_module_without_exports() {
        let rewritten = rewrite(&wasm("(module (func $f) (start $f))")).expect("a start section");
        let engine = wasmi::Engine::default();
        assert!(wasmi::Module::new(&engine, &rewritten.wasm).is_ok());
    }

    #[test]
    fn truncated_modules_are_rewritten_without_a_panic() {
        let original =
            wasm(r#"(module (memory 1) (func $f) (func (export "_start")) (start $f) (data (i32.const 0) "x"))"#);
        for len in 0..original.len() {
            let _ = rewrite(&original[..len]);
        }
    }

    #[test]
    fn offsets_are_mapped_to_the_original_module() {
        let original = wasm(r#"(module (func $f) (func (export "_start") unreachable) (start $f))"#);
        let rewritten = rewrite(&original).expect("a start section");
        assert_eq!(rewritten.original_offset(3), 3);
        assert_eq!(rewritten.original_offset(rewritten.wasm.len()), original.len());
    }
}
