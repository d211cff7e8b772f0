// SPDX-License-Identifier: GPL-2.0

//! The sections of a module, before it is validated.

use wasmparser::BinaryReader;

/// The bytes in front of the first section.
pub(crate) const HEADER: usize = 8;

/// Numbers of sections, see the
/// [specification](https://webassembly.github.io/spec/core/binary/modules.html#sections).
pub(crate) mod id {
    pub(crate) const TYPE: u8 = 1;
    pub(crate) const FUNCTION: u8 = 3;
    pub(crate) const TABLE: u8 = 4;
    pub(crate) const GLOBAL: u8 = 6;
    pub(crate) const EXPORT: u8 = 7;
    pub(crate) const START: u8 = 8;
    pub(crate) const ELEMENT: u8 = 9;
    pub(crate) const CODE: u8 = 10;
    pub(crate) const DATA: u8 = 11;
}

/// A section.
pub(crate) struct Section<'a> {
    /// Its number.
    pub(crate) id: u8,
    /// Where it begins in the module, in bytes.
    pub(crate) start: usize,
    /// What is in it.
    pub(crate) contents: &'a [u8],
    /// Where it ends in the module, in bytes.
    pub(crate) end: usize,
}

/// The sections of `wasm`, as far as they can be told.
pub(crate) fn sections(wasm: &[u8]) -> impl Iterator<Item = Section<'_>> {
    let mut reader = BinaryReader::new(wasm.get(HEADER..).unwrap_or(&[]), HEADER);
    core::iter::from_fn(move || {
        let start = reader.original_position();
        let id = reader.read_u8().ok()?;
        let size = reader.read_var_u32().ok()?;
        let contents = reader.read_bytes(usize::try_from(size).ok()?).ok()?;
        Some(Section { id, start, contents, end: reader.original_position() })
    })
}
