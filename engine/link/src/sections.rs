// SPDX-License-Identifier: GPL-2.0

//! Changes of sections.

use object::{
    Endianness,
    build::elf::{
        Builder,
        Relocation,
        SectionData,
        SymbolId, //
    },
    elf::{
        self,
        FileHeader64,
        SectionHeader64, //
    },
    pod,
    read::elf::FileHeader as _, //
};

use crate::refusal::Refusal;

/// Section with the addresses of functions whose stack objtool does not check.
const UNCHECKED: &str = ".discard.func_stack_frame_non_standard";

/// Start of the names of sections with debug information.
const DEBUG: &[u8] = b".debug_";

/// Type of a section with the indices of symbols whose addresses matter: `SHT_LLVM_ADDRSIG` of
/// LLVM's `BinaryFormat/ELF.h`. Only a linker that merges equal functions uses it.
const ADDRESS_SIGNIFICANCE: u32 = 0x6fff_4c03;

/// Makes the sections of the type [`ADDRESS_SIGNIFICANCE`] in an ELF file ordinary ones. The crate
/// `object` refuses their type, because the indices in them may change. Returns the indices of
/// these sections, which must be removed.
pub(crate) fn find_address_significance(file: &mut [u8]) -> Vec<usize> {
    let headers = |file: &[u8]| {
        let header = FileHeader64::<Endianness>::parse(file).ok()?;
        let endian = header.endian().ok()?;
        let start = usize::try_from(header.e_shoff(endian)).ok()?;
        Some((endian, start, usize::from(header.e_shnum(endian))))
    };
    let Some((endian, start, count)) = headers(file) else {
        return Vec::new();
    };
    let Ok((sections, _)) =
        pod::slice_from_bytes_mut::<SectionHeader64<Endianness>>(file.get_mut(start..).unwrap_or_default(), count)
    else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (index, section) in sections.iter_mut().enumerate() {
        if section.sh_type.get(endian) == ADDRESS_SIGNIFICANCE {
            section.sh_type.set(endian, elf::SHT_PROGBITS);
            found.push(index);
        }
    }
    found
}

/// Removes the sections at these indices of the file from which `object` was read.
pub(crate) fn remove(object: &mut Builder<'_>, indices: &[usize]) {
    // The builder leaves out the first section of a file, which has no contents.
    for (section, index) in object.sections.iter_mut().zip(1_usize..) {
        section.delete |= indices.contains(&index);
    }
}

/// Makes the section `name` read-only, if it exists. The linker makes the section writable if some
/// constants in it contain addresses. The kernel relocates these addresses before it protects the
/// section.
pub(crate) fn make_read_only(object: &mut Builder<'_>, name: &str) {
    for section in object.sections.iter_mut().filter(|section| *section.name == *name.as_bytes()) {
        section.sh_flags &= !u64::from(elf::SHF_WRITE);
    }
}

/// Adds `functions` to the functions whose stack objtool does not check. objtool still checks that
/// they jump and return by thunks, and only to permitted targets. Their unwind information would
/// never be read, because the unwinder stops at the engine's stack.
///
/// # Errors
///
/// [`Refusal::Section`] if the object has no list of these functions, or the list has no
/// relocations.
pub(crate) fn exempt_from_stack_check(object: &mut Builder<'_>, functions: &[SymbolId]) -> Result<(), Refusal> {
    let refusal = || Refusal::Section { section: UNCHECKED.to_owned() };
    let list = object.sections.iter_mut().find(|section| *section.name == *UNCHECKED.as_bytes());
    let list = list.ok_or_else(refusal)?;
    let target = Some(list.id());
    let SectionData::Data(addresses) = &mut list.data else {
        return Err(refusal());
    };
    let addresses = addresses.to_mut();
    let start = addresses.len();
    addresses.resize(start + size_of_val(functions), 0);

    let mut sections = object.sections.iter_mut();
    let relocations = sections.find_map(|section| match &mut section.data {
        SectionData::Relocation(relocations) if section.sh_info_section == target => Some(relocations),
        _ => None,
    });
    let offsets = (start as u64..).step_by(size_of::<u64>());
    relocations.ok_or_else(refusal)?.extend(functions.iter().zip(offsets).map(|(function, r_offset)| Relocation {
        r_offset,
        symbol: Some(*function),
        r_type: elf::R_X86_64_64,
        r_addend: 0,
    }));
    Ok(())
}

/// Removes the sections with debug information, their relocations, and the symbols of source
/// files.
///
/// # Errors
///
/// [`Refusal::DebugReference`] if a remaining section refers to a removed section.
pub(crate) fn remove_debug_information(object: &mut Builder<'_>) -> Result<(), Refusal> {
    let is_debug = |object: &Builder<'_>, id| object.sections.get(id).name.starts_with(DEBUG);
    let sections: Vec<_> = object.sections.iter().map(|section| section.id()).collect();
    for id in sections {
        let target = object.sections.get(id).sh_info_section;
        if is_debug(object, id) || target.is_some_and(|target| is_debug(object, target)) {
            object.sections.get_mut(id).delete = true;
        }
    }
    for section in &object.sections {
        let SectionData::Relocation(relocations) = &section.data else {
            continue;
        };
        for relocation in relocations {
            let symbol = relocation.symbol.map(|id| object.symbols.get(id));
            if let Some(debug) = symbol.and_then(|symbol| symbol.section)
                && object.sections.get(debug).delete
            {
                return Err(Refusal::DebugReference { section: section.name.to_string(), offset: relocation.r_offset });
            }
        }
    }
    for symbol in object.symbols.iter_mut().filter(|symbol| symbol.st_type() == elf::STT_FILE) {
        symbol.delete = true;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use object::{
        Object as _,
        ObjectSection as _,
        ObjectSymbol as _, //
    };

    use super::*;
    use crate::test_object::TestObject;

    const WRITABLE: u64 = (elf::SHF_ALLOC | elf::SHF_WRITE) as u64;

    fn rewrite(test: TestObject, change: impl FnOnce(&mut Builder<'_>)) -> Vec<u8> {
        let bytes = test.write();
        let mut object = Builder::read(bytes.as_slice()).unwrap();
        change(&mut object);
        crate::write(object).unwrap()
    }

    fn flags(bytes: &[u8], name: &str) -> u64 {
        let builder = Builder::read(bytes).unwrap();
        builder.sections.iter().find(|section| *section.name == *name.as_bytes()).unwrap().sh_flags
    }

    #[test]
    fn only_the_named_section_becomes_read_only() {
        let mut test = TestObject::new();
        test.section(".rodata", WRITABLE);
        test.section(".data", WRITABLE);
        let bytes = rewrite(test, |object| make_read_only(object, ".rodata"));
        assert_eq!(flags(&bytes, ".rodata"), u64::from(elf::SHF_ALLOC));
        assert_eq!(flags(&bytes, ".data"), WRITABLE);
    }

    #[test]
    fn functions_are_appended_to_those_whose_stack_is_not_checked() {
        let mut test = TestObject::new();
        let first = test.function("first", &[0xc3]);
        test.function("second", &[0xc3]);
        test.function("third", &[0xc3]);
        let list = test.section(UNCHECKED, WRITABLE);
        test.address(list, first);
        let bytes = rewrite(test, |object| {
            let wanted = |name: &[u8]| object.symbols.iter().find(|symbol| *symbol.name == *name).unwrap().id();
            let functions = [wanted(b"third"), wanted(b"second")];
            exempt_from_stack_check(object, &functions).unwrap();
        });
        let file = object::File::parse(bytes.as_slice()).unwrap();
        let list = file.section_by_name(UNCHECKED).unwrap();
        assert_eq!(list.data().unwrap(), [0; 24]);
        let relocations = list.relocations().map(|(offset, relocation)| {
            let object::RelocationTarget::Symbol(target) = relocation.target() else {
                panic!("a relocation without a symbol");
            };
            (offset, file.symbol_by_index(target).unwrap().name().unwrap(), relocation.addend(), relocation.size())
        });
        let expected = [(0, "first", 0, 64), (8, "third", 0, 64), (16, "second", 0, 64)];
        assert_eq!(relocations.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_object_without_a_list_of_unchecked_functions_is_refused() {
        let mut without_list = TestObject::new();
        without_list.function("first", &[0xc3]);
        let mut without_relocations = TestObject::new();
        without_relocations.section(UNCHECKED, WRITABLE);
        for test in [without_list, without_relocations] {
            let bytes = test.write();
            let refusal = exempt_from_stack_check(&mut Builder::read(bytes.as_slice()).unwrap(), &[]).unwrap_err();
            assert_eq!(
                refusal.to_string(),
                format!("{UNCHECKED}: the section is missing, or has no data or relocations")
            );
        }
    }

    #[test]
    fn sections_of_llvm_are_removed() {
        let mut test = TestObject::new();
        test.function("first", &[0xc3]);
        test.section(".data", WRITABLE);
        test.section_of_type(".llvm_addrsig", ADDRESS_SIGNIFICANCE);
        test.section(".other", WRITABLE);
        let mut bytes = test.write();
        Builder::read(bytes.as_slice()).expect_err("the crate refuses the type");
        let found = find_address_significance(&mut bytes);
        assert_eq!(found.len(), 1);
        let mut object = Builder::read(bytes.as_slice()).unwrap();
        remove(&mut object, &found);
        let bytes = crate::write(object).unwrap();
        let file = object::File::parse(bytes.as_slice()).unwrap();
        let names: Vec<_> = file.sections().map(|section| section.name().unwrap().to_owned()).collect();
        assert!(!names.contains(&".llvm_addrsig".to_owned()), "{names:?}");
        assert!([".data", ".other"].iter().all(|name| names.contains(&(*name).to_owned())), "{names:?}");
        assert_eq!(find_address_significance(&mut TestObject::new().write()), []);
        assert_eq!(find_address_significance(&mut b"no object".to_vec()), []);
    }

    #[test]
    fn debug_information_and_names_of_files_are_removed() {
        let mut test = TestObject::new();
        let function = test.function("first", &[0xc3]);
        test.file("first.c");
        let debug = test.section(".debug_info", 0);
        test.address(debug, function);
        let addresses = test.section(".data", WRITABLE);
        test.address(addresses, function);
        let bytes = rewrite(test, |object| remove_debug_information(object).unwrap());
        let file = object::File::parse(bytes.as_slice()).unwrap();
        let sections = file.sections().map(|section| section.name().unwrap().to_owned());
        let sections: Vec<_> = sections.filter(|name| name.contains("debug") || name.contains("data")).collect();
        assert_eq!(sections, [".data", ".rela.data"]);
        assert_eq!(file.section_by_name(".data").unwrap().relocations().count(), 1);
        assert!(file.symbols().all(|symbol| symbol.name() != Ok("first.c")));
        assert!(file.symbol_by_name("first").is_some());
    }

    #[test]
    fn a_reference_to_debug_information_is_refused() {
        let mut test = TestObject::new();
        let debug = test.section(".debug_str", 0);
        let text = test.label("text", debug);
        let addresses = test.section(".data", WRITABLE);
        let function = test.function("first", &[0xc3]);
        test.address(addresses, function);
        test.address(addresses, text);
        let bytes = test.write();
        let refusal = remove_debug_information(&mut Builder::read(bytes.as_slice()).unwrap()).unwrap_err();
        assert_eq!(refusal.to_string(), ".rela.data+0x8: the relocation refers to debug information");
    }
}
