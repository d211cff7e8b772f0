// SPDX-License-Identifier: GPL-2.0

//! Links the engine object that `KWASMI_ENGINE_OBJECT` names, with its indirect jumps as the kernel makes them at load on a
//! processor that needs no retpolines.

use std::{
    collections::HashMap,
    env,
    error::Error,
    fs,
    path::PathBuf, //
};

use object::{
    LittleEndian, elf,
    read::elf::{
        FileHeader as _,
        SectionHeader as _, //
    },
};

/// A jump or a call of a thunk: an opcode, and where the thunk is.
const SITE_LEN: usize = 5;

/// What the kernel puts in place of a jump or a call of a thunk: `patch_retpolines` and `patch_returns` in
/// arch/x86/kernel/alternative.c.
fn inline(thunk: &str, opcode: u8) -> Option<[u8; SITE_LEN]> {
    const CALL: u8 = 0xe8;
    const JUMP: u8 = 0xe9;
    match (thunk, opcode) {
        // jmp *%r11; int3; int3
        ("__x86_indirect_thunk_r11", JUMP) => Some([0x41, 0xff, 0xe3, 0xcc, 0xcc]),
        // call *%r11; xchg %ax, %ax
        ("__x86_indirect_thunk_r11", CALL) => Some([0x41, 0xff, 0xd3, 0x66, 0x90]),
        // ret; int3; int3; int3; int3
        ("__x86_return_thunk", JUMP) => Some([0xc3, 0xcc, 0xcc, 0xcc, 0xcc]),
        _ => None,
    }
}

/// The object without thunks where it can be.
fn without_thunks(object: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let header = elf::FileHeader64::<LittleEndian>::parse(object)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, object)?;
    let symbols = sections.symbols(endian, object, elf::SHT_SYMTAB)?;
    let names = symbols
        .enumerate()
        .map(|(index, symbol)| Ok((index.0, str::from_utf8(symbols.symbol_name(endian, symbol)?)?)))
        .collect::<Result<HashMap<_, _>, Box<dyn Error>>>()?;

    let mut patched = object.to_vec();
    for section in sections.iter() {
        let Some((relocations, _)) = section.rela(endian, object)? else {
            continue;
        };
        let of = sections.section(section.info_link(endian))?;
        if of.sh_flags(endian) & u64::from(elf::SHF_EXECINSTR) == 0 {
            continue;
        }
        for (index, relocation) in relocations.iter().enumerate() {
            let symbol = usize::try_from(relocation.r_sym(endian, false))?;
            let place = usize::try_from(of.sh_offset(endian) + relocation.r_offset.get(endian))?;
            let Some(start) = place.checked_sub(1) else {
                continue;
            };
            let Some(code) = names.get(&symbol).and_then(|name| inline(name, object[start])) else {
                continue;
            };
            patched[start..][..SITE_LEN].copy_from_slice(&code);
            // The relocation's type, in the low half of its second field.
            let entry = usize::try_from(section.sh_offset(endian))? + index * size_of::<elf::Rela64<LittleEndian>>();
            patched[entry + 8..][..4].copy_from_slice(&elf::R_X86_64_NONE.to_le_bytes());
        }
    }
    Ok(patched)
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=KWASMI_ENGINE_OBJECT");
    let Ok(object) = env::var("KWASMI_ENGINE_OBJECT") else {
        return Ok(());
    };
    println!("cargo::rerun-if-changed={object}");
    let patched = PathBuf::from(env::var("OUT_DIR")?).join("engine.o");
    fs::write(&patched, without_thunks(&fs::read(object)?)?)?;
    // Kernel code is linked for addresses that fit into 32 bits with a sign: not for just any.
    println!("cargo::rustc-link-arg-bins={}", patched.display());
    println!("cargo::rustc-link-arg-bins=-no-pie");
    Ok(())
}
