// SPDX-License-Identifier: GPL-2.0

//! Iterates over the sections of a module that is not validated yet.

use wasmparser::BinaryReader;

/// Size of the preamble in front of the first section, in bytes.
pub(crate) const HEADER: usize = 8;

/// Section ids, see the
/// [specification](https://webassembly.github.io/spec/core/binary/modules.html#sections).
pub(crate) mod id {
    pub(crate) const TYPE: u8 = 1;
    pub(crate) const IMPORT: u8 = 2;
    pub(crate) const FUNCTION: u8 = 3;
    pub(crate) const TABLE: u8 = 4;
    pub(crate) const GLOBAL: u8 = 6;
    pub(crate) const EXPORT: u8 = 7;
    pub(crate) const START: u8 = 8;
    pub(crate) const ELEMENT: u8 = 9;
    pub(crate) const CODE: u8 = 10;
    pub(crate) const DATA: u8 = 11;
}

/// Section of a module.
pub(crate) struct Section<'a> {
    /// Section id.
    pub(crate) id: u8,
    /// Offset of the section's first byte in the module.
    pub(crate) start: usize,
    /// Contents, without id and size.
    pub(crate) contents: &'a [u8],
    /// Offset of the first byte after the section in the module.
    pub(crate) end: usize,
}

/// Returns the sections of `wasm`, up to the first that is malformed.
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

/// Number of items between two calls of [`crate::poll`].
const ITEMS_PER_POLL: usize = 1024;

/// Returns `items`, and lets the host end a long operation now and then.
pub(crate) fn polled<T>(items: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
    items.into_iter().enumerate().map(|(index, item)| {
        if index % ITEMS_PER_POLL == ITEMS_PER_POLL - 1 {
            crate::poll();
        }
        item
    })
}
