// SPDX-License-Identifier: GPL-2.0

//! Links the engine object that `KWASMI_ENGINE_OBJECT` names, after patching its indirect jumps as
//! the kernel does when it loads a module on a processor that needs no retpolines.

use std::{
    env,
    error::Error,
    fs,
    path::PathBuf, //
};

use object::{
    LittleEndian, elf,
    read::elf::{
        FileHeader as _,
        Rela as _,
        SectionHeader as _, //
    },
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Length of a jump to or a call of a thunk in bytes: an opcode and a relative address.
const SITE_LEN: usize = 5;

const INDIRECT_THUNK: &str = "__x86_indirect_thunk_r11";
const RETURN_THUNK: &str = "__x86_return_thunk";

/// Returns the code that the kernel patches in place of a jump to or a call of a thunk, see
/// `patch_retpolines` and `patch_returns` in arch/x86/kernel/alternative.c.
fn inline(thunk: &str, opcode: u8) -> Option<[u8; SITE_LEN]> {
    const CALL: u8 = 0xe8;
    const JUMP: u8 = 0xe9;
    match (thunk, opcode) {
        // jmp *%r11; int3; int3
        (INDIRECT_THUNK, JUMP) => Some([0x41, 0xff, 0xe3, 0xcc, 0xcc]),
        // call *%r11; xchg %ax, %ax
        (INDIRECT_THUNK, CALL) => Some([0x41, 0xff, 0xd3, 0x66, 0x90]),
        // ret; int3; int3; int3; int3
        (RETURN_THUNK, JUMP) => Some([0xc3, 0xcc, 0xcc, 0xcc, 0xcc]),
        _ => None,
    }
}

/// Relocation of the object.
struct Reference {
    /// Section and offset of the place that is relocated.
    section: usize,
    offset: u64,
    /// Symbol of the target.
    symbol: usize,
    /// Offset of the relocation entry in the file.
    entry: usize,
}

/// Object file with its relocations.
struct Object {
    bytes: Vec<u8>,
    /// Sections by index.
    sections: Vec<Section>,
    /// Names of the symbols by index.
    symbols: Vec<String>,
    references: Vec<Reference>,
}

struct Section {
    offset: u64,
    is_code: bool,
}

impl Object {
    fn read(bytes: Vec<u8>) -> Result<Self> {
        let header = elf::FileHeader64::<LittleEndian>::parse(bytes.as_slice())?;
        let endian = header.endian()?;
        let table = header.sections(endian, bytes.as_slice())?;
        let mut sections = Vec::new();
        let mut references = Vec::new();
        for section in table.iter() {
            let is_code = section.sh_flags(endian) & u64::from(elf::SHF_EXECINSTR) != 0;
            sections.push(Section { offset: section.sh_offset(endian), is_code });
            let Some((relocations, _)) = section.rela(endian, bytes.as_slice())? else {
                continue;
            };
            for (index, relocation) in relocations.iter().enumerate() {
                references.push(Reference {
                    section: section.info_link(endian).0,
                    offset: relocation.r_offset(endian),
                    symbol: usize::try_from(relocation.r_sym(endian, false))?,
                    entry: usize::try_from(section.sh_offset(endian))? + index * size_of::<elf::Rela64<LittleEndian>>(),
                });
            }
        }
        let table = table.symbols(endian, bytes.as_slice(), elf::SHT_SYMTAB)?;
        let symbols =
            table.symbols().iter().map(|symbol| Ok(str::from_utf8(table.symbol_name(endian, symbol)?)?.to_owned()));
        let symbols = symbols.collect::<Result<_>>()?;
        Ok(Self { bytes, sections, symbols, references })
    }

    /// Returns the jumps to and calls of `thunk`: the offset of each in the file, and its
    /// relocation.
    fn sites(&self, thunk: &str) -> impl Iterator<Item = (usize, &Reference)> {
        self.references.iter().filter_map(move |reference| {
            let section = self.sections.get(reference.section).filter(|section| section.is_code)?;
            self.symbols.get(reference.symbol).filter(|name| *name == thunk)?;
            Some((usize::try_from(section.offset + reference.offset).ok()?.checked_sub(1)?, reference))
        })
    }

    /// Returns the object with the jumps to and calls of `thunk` replaced, where the kernel
    /// replaces them.
    fn without(&self, thunk: &str) -> Vec<u8> {
        let mut patched = self.bytes.clone();
        for (start, reference) in self.sites(thunk) {
            let Some(code) = inline(thunk, self.bytes[start]) else {
                continue;
            };
            patched[start..][..SITE_LEN].copy_from_slice(&code);
            // The type of the relocation is the low half of the second field, `r_info`.
            patched[reference.entry + 8..][..4].copy_from_slice(&elf::R_X86_64_NONE.to_le_bytes());
        }
        patched
    }
}

fn main() -> Result<()> {
    println!("cargo::rerun-if-env-changed=KWASMI_ENGINE_OBJECT");
    let Ok(path) = env::var("KWASMI_ENGINE_OBJECT") else {
        return Ok(());
    };
    println!("cargo::rerun-if-changed={path}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let object = Object::read(Object::read(fs::read(path)?)?.without(RETURN_THUNK))?;
    let file = out.join("kwasmi-native.o");
    fs::write(&file, object.without(INDIRECT_THUNK))?;
    println!("cargo::rustc-link-arg-bin=kwasmi-native={}", file.display());
    // Kernel code is linked for addresses that fit into 32 bits with sign extension, so the program
    // must not be position-independent.
    println!("cargo::rustc-link-arg-bins=-no-pie");
    Ok(())
}
