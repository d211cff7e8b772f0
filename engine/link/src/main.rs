// SPDX-License-Identifier: GPL-2.0

//! `kwasmi-link` finishes an object file of the build of `kwasmi.ko` after the linker. It changes
//! the symbols and sections of the object file. It refuses a file with code or symbols that the
//! kernel does not support.
//!
//!     kwasmi-link engine LINKED RESULT
//!     kwasmi-link module LINKED RESULT MODULE_SYMVERS
//!
//! The first form makes the engine object from the output of `ld -r`, the second makes
//! `kwasmi.ko` from the output of Kbuild.

#![forbid(unsafe_code)]

mod floating_point;
mod names;
mod refusal;
mod sections;
mod symbols;
#[cfg(test)]
mod test_object;

use std::{
    collections::HashSet,
    env,
    ffi::OsString,
    fmt::Display,
    fs,
    path::Path,
    process::ExitCode, //
};

use object::build::elf::Builder;
use refusal::Refusal;

/// The engine's only entry point.
const ENGINE_ENTRY: &str = "kwasmi_stack_enter";

/// Undefined symbols that the engine object may have: those of the border, and functions that the
/// kernel exports to any module.
const ENGINE_NEEDS: [&str; 10] = [
    "__x86_indirect_thunk_r11",
    "__x86_return_thunk",
    "bcmp",
    "kwasmi_host_context",
    "kwasmi_host_entry",
    "memcmp",
    "memcpy",
    "memmove",
    "memset",
    "strlen",
];

/// Global symbols of `kwasmi.ko`. The kernel finds all other parts of a module by their sections.
const MODULE_ENTRIES: [&str; 3] = ["__this_module", "cleanup_module", "init_module"];

const USAGE: &str = "usage: kwasmi-link engine LINKED RESULT | kwasmi-link module LINKED RESULT MODULE_SYMVERS";

/// Makes the engine object from the linked object: gives functions short names, makes constants
/// read-only, exempts the functions from objtool's stack check, and keeps one symbol global.
///
/// # Errors
///
/// See [`Refusal`].
fn finish_engine(linked: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut object = Builder::read(linked)?;
    floating_point::check(&object)?;
    let functions = names::shorten(&mut object)?;
    sections::make_read_only(&mut object, ".rodata");
    sections::exempt_from_stack_check(&mut object, &functions)?;
    symbols::keep_global(&mut object, &[ENGINE_ENTRY])?;
    symbols::remove_unneeded(&mut object, |name| name.starts_with(".L") || name.starts_with("_R"));
    symbols::check_undefined(&object, |name| ENGINE_NEEDS.contains(&name), "the engine must not need")?;
    write(object)
}

/// Makes `kwasmi.ko` from the module that Kbuild linked: removes debug information, and keeps only
/// the symbols global that the kernel needs. `symvers` is the text of the kernel's
/// `Module.symvers`.
///
/// # Errors
///
/// See [`Refusal`].
fn finish_module(linked: &[u8], symvers: &str) -> Result<Vec<u8>, Refusal> {
    let mut linked = linked.to_vec();
    let unneeded = sections::find_address_significance(&mut linked);
    let mut object = Builder::read(linked.as_slice())?;
    sections::remove(&mut object, &unneeded);
    sections::remove_debug_information(&mut object)?;
    symbols::keep_global(&mut object, &MODULE_ENTRIES)?;
    symbols::remove_unneeded(&mut object, |name| name.starts_with(".L"));
    let exported = exported_symbols(symvers);
    symbols::check_undefined(&object, |name| exported.contains(name), "the kernel does not export")?;
    write(object)
}

/// Returns the names in the second column of a `Module.symvers`.
fn exported_symbols(symvers: &str) -> HashSet<&str> {
    symvers.lines().filter_map(|line| line.split('\t').nth(1)).collect()
}

fn write(object: Builder<'_>) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    object.write(&mut bytes)?;
    Ok(bytes)
}

/// Reads the file at `linked`, and writes the result of `finish` to the file at `result`. On
/// failure the file at `result` is unchanged.
fn process(linked: &Path, result: &Path, finish: impl FnOnce(&[u8]) -> Result<Vec<u8>, Refusal>) -> Result<(), String> {
    let bytes = fs::read(linked).map_err(|error| about(linked, error))?;
    let bytes = finish(&bytes).map_err(|error| about(linked, error))?;
    let mut unfinished = OsString::from(result);
    unfinished.push(".new");
    fs::write(&unfinished, bytes).map_err(|error| about(Path::new(&unfinished), error))?;
    fs::rename(&unfinished, result).map_err(|error| about(result, error))
}

fn about(path: &Path, error: impl Display) -> String {
    format!("{}: {error}", path.display())
}

fn run(arguments: &[OsString]) -> Result<(), String> {
    match arguments {
        [form, linked, result] if form == "engine" => process(linked.as_ref(), result.as_ref(), finish_engine),
        [form, linked, result, symvers] if form == "module" => {
            let symvers = Path::new(symvers);
            let text = fs::read_to_string(symvers).map_err(|error| about(symvers, error))?;
            process(linked.as_ref(), result.as_ref(), |bytes| finish_module(bytes, &text))
        }
        _ => Err(USAGE.to_owned()),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("kwasmi-link: {message}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use object::{
        Object as _,
        ObjectSymbol as _, //
    };

    use super::*;
    use test_object::TestObject;

    const SYMVERS: &str = "0x12345678\t_printk\tvmlinux\tEXPORT_SYMBOL\t\n0x9\tmemcpy\tvmlinux\tEXPORT_SYMBOL\t\n";

    /// Returns the linked object of an engine with one more function.
    fn engine(name: &str, code: &[u8]) -> TestObject {
        let mut test = TestObject::new();
        let entry = test.function(ENGINE_ENTRY, &[0xc3]);
        test.function(name, code);
        test.function(".Llabel", &[0x90]);
        test.data("_RNvC7mycrate4DATA", &[0]);
        test.undefined("memcpy");
        let list = test.section(".discard.func_stack_frame_non_standard", 0);
        test.address(list, entry);
        test
    }

    fn module() -> TestObject {
        let mut test = TestObject::new();
        for name in MODULE_ENTRIES {
            test.function(name, &[0xc3]);
        }
        test.function("kwe.heap.free.0", &[0xc3]);
        test.undefined("_printk");
        test
    }

    /// Returns the names of the symbols with a name, and whether they are global.
    fn symbols(bytes: &[u8]) -> Vec<(String, bool)> {
        let file = object::File::parse(bytes).unwrap();
        let named = file.symbols().filter(|symbol| symbol.name() != Ok(""));
        named.map(|symbol| (symbol.name().unwrap().to_owned(), symbol.is_global())).collect()
    }

    fn pair(name: &str, is_global: bool) -> (String, bool) {
        (name.to_owned(), is_global)
    }

    #[test]
    fn the_engine_object_has_short_names_and_one_entry() {
        let bytes = finish_engine(&engine("_RNvNtC6engine4heap4free", &[0xc3]).write()).unwrap();
        let expected = [pair("kwe.heap.free.0", false), pair(ENGINE_ENTRY, true), pair("memcpy", true)];
        assert_eq!(symbols(&bytes), expected);
    }

    #[test]
    fn an_engine_object_is_refused() {
        let refusal = |test: TestObject| finish_engine(&test.write()).unwrap_err().to_string();
        assert!(refusal(TestObject::new()).contains("the section is missing"), "an empty object");
        let refused = refusal(engine("_RNvNtC6engine4heap4free", &[0x0f, 0x58, 0xc1]));
        assert!(refused.starts_with("engine::heap::free+0x0 (address 0x1): `addps xmm0,xmm1`"), "{refused}");
        assert_eq!(refusal(engine("_Rubbish", &[0xc3])), "_Rubbish: the name cannot be demangled");
        let mut test = engine("free", &[0xc3]);
        test.undefined("puts");
        let expected = "needs symbols that the engine must not need: puts";
        assert_eq!(refusal(test), expected);
        finish_engine(b"no object").unwrap_err();
    }

    #[test]
    fn the_module_has_the_kernels_entries() {
        let bytes = finish_module(&module().write(), SYMVERS).unwrap();
        let mut globals: Vec<_> = symbols(&bytes).into_iter().filter(|(_, is_global)| *is_global).collect();
        globals.sort();
        let entries = ["__this_module", "_printk", "cleanup_module", "init_module"];
        assert_eq!(globals, entries.map(|name| pair(name, true)));
        assert!(symbols(&bytes).contains(&pair("kwe.heap.free.0", false)));
    }

    #[test]
    fn a_module_is_refused() {
        let refusal = |test: TestObject| finish_module(&test.write(), SYMVERS).unwrap_err().to_string();
        assert_eq!(refusal(TestObject::new()), "__this_module: the symbol is not defined");
        let mut test = module();
        test.undefined("vmlinux");
        test.undefined("kallsyms_lookup_name");
        let expected = "needs symbols that the kernel does not export: kallsyms_lookup_name, vmlinux";
        assert_eq!(refusal(test), expected);
    }

    #[test]
    fn wrong_arguments_and_missing_files_are_refused() {
        let failure = |arguments: &[&str]| run(&arguments.iter().map(OsString::from).collect::<Vec<_>>()).unwrap_err();
        assert_eq!(failure(&["engine", "a"]), USAGE);
        assert_eq!(failure(&["link", "a", "b"]), USAGE);
        assert!(failure(&["engine", "/missing/a", "/missing/b"]).starts_with("/missing/a: "));
        assert!(failure(&["module", "/missing/a", "/missing/b", "/missing/c"]).starts_with("/missing/c: "));
    }
}
