// SPDX-License-Identifier: GPL-2.0

//! Small objects for tests.

use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope, elf,
    write::{
        Object,
        Relocation,
        SectionId,
        StandardSection,
        Symbol,
        SymbolId,
        SymbolSection, //
    },
};

/// Object file that a test builds. All its symbols are global, except those of files and sections.
pub(crate) struct TestObject(Object<'static>);

impl TestObject {
    pub(crate) fn new() -> Self {
        Self(Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little))
    }

    fn symbol(&mut self, name: &str, kind: SymbolKind, scope: SymbolScope, section: SymbolSection) -> SymbolId {
        let name = name.as_bytes().to_vec();
        self.0.add_symbol(Symbol {
            name,
            value: 0,
            size: 0,
            kind,
            scope,
            weak: false,
            section,
            flags: SymbolFlags::None,
        })
    }

    fn define(&mut self, name: &str, kind: SymbolKind, section: StandardSection, bytes: &[u8]) -> SymbolId {
        let section = self.0.section_id(section);
        let symbol = self.symbol(name, kind, SymbolScope::Dynamic, SymbolSection::Undefined);
        self.0.add_symbol_data(symbol, section, bytes, 1);
        symbol
    }

    /// Adds a function to the section `.text`.
    pub(crate) fn function(&mut self, name: &str, code: &[u8]) -> SymbolId {
        self.define(name, SymbolKind::Text, StandardSection::Text, code)
    }

    /// Adds a constant to the section `.rodata`.
    pub(crate) fn data(&mut self, name: &str, bytes: &[u8]) -> SymbolId {
        self.define(name, SymbolKind::Data, StandardSection::ReadOnlyData, bytes)
    }

    /// Adds a symbol that another object defines.
    pub(crate) fn undefined(&mut self, name: &str) -> SymbolId {
        self.symbol(name, SymbolKind::Text, SymbolScope::Unknown, SymbolSection::Undefined)
    }

    /// Adds the name of a source file.
    pub(crate) fn file(&mut self, name: &str) -> SymbolId {
        self.symbol(name, SymbolKind::File, SymbolScope::Compilation, SymbolSection::None)
    }

    /// Adds a symbol at the start of a section.
    pub(crate) fn label(&mut self, name: &str, section: SectionId) -> SymbolId {
        self.symbol(name, SymbolKind::Data, SymbolScope::Dynamic, SymbolSection::Section(section))
    }

    /// Adds the symbol of a section.
    pub(crate) fn section_symbol(&mut self, section: SectionId) -> SymbolId {
        self.0.section_symbol(section)
    }

    /// Adds an empty section with the ELF flags `flags`.
    pub(crate) fn section(&mut self, name: &str, flags: u64) -> SectionId {
        let section = self.0.add_section(Vec::new(), name.as_bytes().to_vec(), SectionKind::Data);
        self.0.section_mut(section).flags = SectionFlags::Elf { sh_flags: flags };
        section
    }

    /// Adds a section with one byte, of the ELF type `kind`.
    pub(crate) fn section_of_type(&mut self, name: &str, kind: u32) {
        let section = self.0.add_section(Vec::new(), name.as_bytes().to_vec(), SectionKind::Elf(kind));
        self.0.append_section_data(section, &[0], 1);
    }

    /// Adds a section with code that no symbol names.
    pub(crate) fn code(&mut self, name: &str, code: &[u8]) {
        let section = self.0.add_section(Vec::new(), name.as_bytes().to_vec(), SectionKind::Text);
        self.0.append_section_data(section, code, 1);
    }

    /// Appends the address of a symbol to a section.
    pub(crate) fn address(&mut self, section: SectionId, symbol: SymbolId) {
        let offset = self.0.append_section_data(section, &[0; size_of::<u64>()], 8);
        let flags = RelocationFlags::Elf { r_type: elf::R_X86_64_64 };
        self.0.add_relocation(section, Relocation { offset, symbol, addend: 0, flags }).unwrap();
    }

    /// Returns the bytes of the file.
    pub(crate) fn write(&self) -> Vec<u8> {
        self.0.write().unwrap()
    }
}
