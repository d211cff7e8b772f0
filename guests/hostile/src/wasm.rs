// SPDX-License-Identifier: GPL-2.0

//! Modules, byte by byte: what an encoder would refuse to write is what is wanted here.

/// Sections, by their ids.
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

/// The type of functions without parameters and results: type 0 of every [`Module::program`].
pub(crate) const PLAIN: &[u8] = &[0x60, 0, 0];

/// Number types.
pub(crate) const I32: u8 = 0x7f;
pub(crate) const I64: u8 = 0x7e;

/// An unsigned number in LEB128.
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

/// A signed number in LEB128.
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

/// `bytes` with their length in front.
pub(crate) fn sized(bytes: &[u8]) -> Vec<u8> {
    [number(bytes.len()), bytes.to_vec()].concat()
}

/// `item` so many times, with the count in front.
pub(crate) fn vector(count: usize, item: &[u8]) -> Vec<u8> {
    [number(count), item.repeat(count)].concat()
}

/// `items` with their count in front.
pub(crate) fn list<T: AsRef<[u8]>>(items: &[T]) -> Vec<u8> {
    let mut bytes = number(items.len());
    for item in items {
        bytes.extend_from_slice(item.as_ref());
    }
    bytes
}

/// A function type.
pub(crate) fn function_type(params: &[u8], results: &[u8]) -> Vec<u8> {
    [vec![0x60], sized(params), sized(results)].concat()
}

/// A function's body: groups of locals, and instructions but for the `end`.
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

/// An export of the function with this index.
pub(crate) fn export(name: &[u8], function: usize) -> Vec<u8> {
    [sized(name), vec![0], number(function)].concat()
}

/// An import of a function of this type.
pub(crate) fn import(module: &[u8], name: &[u8], ty: usize) -> Vec<u8> {
    [sized(module), sized(name), vec![0], number(ty)].concat()
}

/// `i32.const`.
pub(crate) fn i32_const(value: i32) -> Vec<u8> {
    [vec![0x41], signed(value.into())].concat()
}

/// A module in the making.
#[derive(Clone, Debug)]
pub(crate) struct Module(Vec<u8>);

impl Module {
    /// Magic and version, no more.
    pub(crate) fn new() -> Self {
        Self(b"\0asm\x01\0\0\0".to_vec())
    }

    /// These bytes, no more.
    pub(crate) fn bare(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// With this section.
    pub(crate) fn section(self, section: Section, contents: &[u8]) -> Self {
        self.raw(&[section as u8]).raw(&sized(contents))
    }

    /// With these bytes.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The module.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    /// A program with further sections: `_start` is function 0, of type 0, and does nothing.
    pub(crate) fn program(others: &[(Section, Vec<u8>)]) -> Self {
        let plain = [
            (Section::Type, list(&[PLAIN])),
            (Section::Function, list(&[[0]])),
            (Section::Export, list(&[export(b"_start", 0)])),
            (Section::Code, list(&[body(&[], &[])])),
        ];
        // In the order that the specification wants; an unlike section takes the place of the plain one.
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

    /// A program whose `_start` has this code and these locals, with further types from 1 on.
    pub(crate) fn code(types: &[Vec<u8>], locals: &[(usize, u8)], code: &[u8]) -> Self {
        let types = [&[PLAIN.to_vec()], types].concat();
        Self::program(&[(Section::Type, list(&types)), (Section::Code, list(&[body(locals, code)]))])
    }
}
