// SPDX-License-Identifier: GPL-2.0

//! Encoder of modules that also writes what other encoders refuse.

/// Section ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Section {
    Custom = 0,
    Type,
    Import,
    Function,
    Table,
    Memory,
    Global,
    Export,
    Start,
    Element,
    Code,
    Data,
    DataCount,
}

/// Function type without parameters and results: type 0 of every [`Module::program`].
pub(crate) const PLAIN: &[u8] = &[0x60, 0, 0];

/// Number types.
pub(crate) const I32: u8 = 0x7f;
pub(crate) const I64: u8 = 0x7e;

/// Encodes an unsigned number in LEB128.
pub(crate) fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low & 0x7f);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Encodes a signed number in LEB128.
pub(crate) fn signed(mut value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        let is_last = (value == 0 && low & 0x40 == 0) || (value == -1 && low & 0x40 != 0);
        bytes.push(if is_last { low } else { low | 0x80 });
        if is_last {
            return bytes;
        }
    }
}

/// Returns `bytes` with their length in front.
pub(crate) fn sized(bytes: &[u8]) -> Vec<u8> {
    [number(bytes.len()), bytes.to_vec()].concat()
}

/// Returns `count` copies of `item`, with the count in front.
pub(crate) fn vector(count: usize, item: &[u8]) -> Vec<u8> {
    [number(count), item.repeat(count)].concat()
}

/// Returns `items` with their number in front.
pub(crate) fn list<T: AsRef<[u8]>>(items: &[T]) -> Vec<u8> {
    let mut bytes = number(items.len());
    for item in items {
        bytes.extend_from_slice(item.as_ref());
    }
    bytes
}

/// Encodes a function type.
pub(crate) fn function_type(params: &[u8], results: &[u8]) -> Vec<u8> {
    [vec![0x60], sized(params), sized(results)].concat()
}

/// Encodes a function's body: groups of locals, and instructions without the final `end`.
pub(crate) fn body(locals: &[(usize, u8)], code: &[u8]) -> Vec<u8> {
    let mut bytes = number(locals.len());
    for (count, ty) in locals {
        bytes.extend(number(*count));
        bytes.push(*ty);
    }
    bytes.extend_from_slice(code);
    bytes.push(0x0b);
    sized(&bytes)
}

/// Encodes an export of the function with this index.
pub(crate) fn export(name: &[u8], function: usize) -> Vec<u8> {
    [sized(name), vec![0], number(function)].concat()
}

/// Encodes an import of a function of this type.
pub(crate) fn import(module: &[u8], name: &[u8], ty: usize) -> Vec<u8> {
    [sized(module), sized(name), vec![0], number(ty)].concat()
}

/// Encodes `i32.const`.
pub(crate) fn i32_const(value: i32) -> Vec<u8> {
    [vec![0x41], signed(value.into())].concat()
}

/// Module that is being built.
#[derive(Clone, Debug)]
pub(crate) struct Module(Vec<u8>);

impl Module {
    /// Makes a module of magic and version.
    pub(crate) fn new() -> Self {
        Self(b"\0asm\x01\0\0\0".to_vec())
    }

    /// Makes a module of these bytes.
    pub(crate) fn bare(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Appends a section.
    pub(crate) fn section(self, section: Section, contents: &[u8]) -> Self {
        self.raw(&[section as u8]).raw(&sized(contents))
    }

    /// Appends these bytes.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Returns the bytes of the module.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    /// Makes a program with these sections. By default `_start` is function 0, of type 0, and does
    /// nothing.
    pub(crate) fn program(others: &[(Section, Vec<u8>)]) -> Self {
        let plain = [
            (Section::Type, list(&[PLAIN])),
            (Section::Function, list(&[[0]])),
            (Section::Export, list(&[export(b"_start", 0)])),
            (Section::Code, list(&[body(&[], &[])])),
        ];
        // Sections are in the order of the specification. A given section replaces the default one.
        let order = |section: Section| match section {
            Section::DataCount => 2 * Section::Code as u8 - 1,
            section => 2 * section as u8,
        };
        let mut sections = others.to_vec();
        for (section, contents) in plain {
            if others.iter().all(|(other, _)| *other != section) {
                sections.push((section, contents));
            }
        }
        sections.sort_by_key(|(section, _)| order(*section));
        sections.into_iter().fold(Self::new(), |module, (section, contents)| module.section(section, &contents))
    }

    /// Makes a program whose `_start` has these locals and this code. `types` are numbered from 1.
    pub(crate) fn code(types: &[Vec<u8>], locals: &[(usize, u8)], code: &[u8]) -> Self {
        let types = [&[PLAIN.to_vec()], types].concat();
        Self::program(&[(Section::Type, list(&types)), (Section::Code, list(&[body(locals, code)]))])
    }
}
