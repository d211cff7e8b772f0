// SPDX-License-Identifier: GPL-2.0

//! Bindings of symbols, removal of symbols, and the check of undefined symbols.

use std::collections::HashSet;

use object::{
    build::{
        Id as _,
        elf::{
            Builder,
            SectionData,
            Symbol, //
        },
    },
    elf, //
};

use crate::refusal::Refusal;

/// Returns whether another object must define `symbol`.
fn is_undefined(symbol: &Symbol<'_>) -> bool {
    symbol.section.is_none() && symbol.st_shndx == elf::SHN_UNDEF
}

/// Makes all symbols that `object` defines local, except `names`.
///
/// # Errors
///
/// [`Refusal::Missing`] if `object` does not define one of `names` as a global symbol.
pub(crate) fn keep_global(object: &mut Builder<'_>, names: &[&str]) -> Result<(), Refusal> {
    let mut missing: Vec<&str> = names.to_vec();
    for symbol in object.symbols.iter_mut().filter(|symbol| !is_undefined(symbol)) {
        if symbol.st_bind() == elf::STB_LOCAL {
            continue;
        }
        let count = missing.len();
        missing.retain(|name| *symbol.name != *name.as_bytes());
        if missing.len() == count {
            symbol.set_st_info(elf::STB_LOCAL, symbol.st_type());
        }
    }
    missing.first().map_or(Ok(()), |symbol| Err(Refusal::Missing { symbol: (*symbol).to_owned() }))
}

/// Removes each symbol that no relocation uses, if it is the symbol of a section or `is_unneeded`
/// returns true for its name.
pub(crate) fn remove_unneeded(object: &mut Builder<'_>, is_unneeded: impl Fn(&str) -> bool) {
    let mut used = HashSet::new();
    for section in &object.sections {
        if let SectionData::Relocation(relocations) = &section.data {
            used.extend(relocations.iter().filter_map(|relocation| relocation.symbol).map(|id| id.index()));
        }
    }
    for symbol in &mut object.symbols {
        let may_go = symbol.st_type() == elf::STT_SECTION || str::from_utf8(&symbol.name).is_ok_and(&is_unneeded);
        symbol.delete = may_go && !used.contains(&symbol.id().index());
    }
}

/// Checks that `object` has no undefined symbols except permitted ones. `reason` is the reason in
/// [`Refusal::Undefined`].
///
/// # Errors
///
/// [`Refusal::Undefined`] with all undefined symbols that are not permitted.
pub(crate) fn check_undefined(
    object: &Builder<'_>,
    is_permitted: impl Fn(&str) -> bool,
    reason: &'static str,
) -> Result<(), Refusal> {
    let undefined = object.symbols.iter().filter(|symbol| is_undefined(symbol));
    let names = undefined.map(|symbol| symbol.name.to_string());
    let mut symbols: Vec<_> = names.filter(|name| !is_permitted(name)).collect();
    symbols.sort_unstable();
    if symbols.is_empty() { Ok(()) } else { Err(Refusal::Undefined { symbols, reason }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_object::TestObject;

    /// Returns the names and bindings of the symbols with a name.
    fn bindings(object: &Builder<'_>) -> Vec<(String, u8)> {
        let named = object.symbols.iter().filter(|symbol| !symbol.name.is_empty());
        named.map(|symbol| (symbol.name.to_string(), symbol.st_bind())).collect()
    }

    fn pair(name: &str, binding: u8) -> (String, u8) {
        (name.to_owned(), binding)
    }

    #[test]
    fn only_entries_and_undefined_symbols_stay_global() {
        let mut test = TestObject::new();
        test.function("entry", &[0xc3]);
        test.function("other", &[0xc3]);
        test.data("data", &[1]);
        test.undefined("memcpy");
        let bytes = test.write();
        let mut object = Builder::read(bytes.as_slice()).unwrap();
        keep_global(&mut object, &["entry"]).unwrap();
        let expected = [
            pair("entry", elf::STB_GLOBAL),
            pair("other", elf::STB_LOCAL),
            pair("data", elf::STB_LOCAL),
            pair("memcpy", elf::STB_GLOBAL),
        ];
        assert_eq!(bindings(&object), expected);
    }

    #[test]
    fn an_object_without_an_entry_is_refused() {
        let mut test = TestObject::new();
        test.function("entry", &[0xc3]);
        test.undefined("exit");
        let bytes = test.write();
        let refusal = keep_global(&mut Builder::read(bytes.as_slice()).unwrap(), &["entry", "exit"]).unwrap_err();
        assert_eq!(refusal.to_string(), "exit: the symbol is not defined");
    }

    #[test]
    fn a_symbol_that_a_relocation_uses_is_not_removed() {
        let mut test = TestObject::new();
        test.function("entry", &[0xc3]);
        let used = test.function(".Lused", &[0xc3]);
        test.function(".Lunused", &[0xc3]);
        let list = test.section(".data", 0);
        test.address(list, used);
        let start = test.section_symbol(list);
        test.address(list, start);
        let other = test.section(".bss", 0);
        test.section_symbol(other);
        let bytes = test.write();
        let mut object = Builder::read(bytes.as_slice()).unwrap();
        let sections =
            |object: &Builder<'_>| object.symbols.iter().filter(|symbol| symbol.st_type() == elf::STT_SECTION).count();
        assert_eq!(sections(&object), 2);
        remove_unneeded(&mut object, |name| name.starts_with(".L"));
        assert_eq!(bindings(&object), [pair("entry", elf::STB_GLOBAL), pair(".Lused", elf::STB_GLOBAL)]);
        assert_eq!(sections(&object), 1);
    }

    #[test]
    fn symbols_that_are_not_permitted_are_refused() {
        let mut test = TestObject::new();
        test.function("entry", &[0xc3]);
        test.undefined("memcpy");
        test.undefined("puts");
        test.undefined("abort");
        let bytes = test.write();
        let object = Builder::read(bytes.as_slice()).unwrap();
        check_undefined(&object, |name| ["memcpy", "puts", "abort"].contains(&name), "it must not need").unwrap();
        let refusal = check_undefined(&object, |name| name == "memcpy", "it must not need").unwrap_err();
        assert_eq!(refusal.to_string(), "needs symbols that it must not need: abort, puts");
    }
}
