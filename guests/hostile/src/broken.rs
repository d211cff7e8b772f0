// SPDX-License-Identifier: GPL-2.0

//! Malformed modules: wrong counts and sizes, sections out of order, malformed numbers and names.

use crate::{
    Guests,
    wasm::{
        I32,
        Module,
        PLAIN,
        Section,
        body,
        export,
        function_type,
        import,
        list,
        number,
        sized, //
    },
};

const REFUSED: &str = "refused not valid Wasm";
/// 2^32 - 1 in LEB128.
const LARGEST: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0x0f];

/// Sections of a few bytes that claim 4 billion elements.
fn counts(guests: &mut Guests) {
    let sections = [
        ("types", Section::Type),
        ("imports", Section::Import),
        ("functions", Section::Function),
        ("tables", Section::Table),
        ("memories", Section::Memory),
        ("globals", Section::Global),
        ("exports", Section::Export),
        ("elements", Section::Element),
        ("code", Section::Code),
        ("data", Section::Data),
        ("data-count", Section::DataCount),
    ];
    for (name, section) in sections {
        guests.add(&format!("claims-{name}"), REFUSED, Module::program(&[(section, LARGEST.to_vec())]));
    }
    // The same counts inside of elements.
    let params = [&[1, 0x60][..], LARGEST].concat();
    guests.add("claims-params", REFUSED, Module::program(&[(Section::Type, params)]));
    let results = [&[1, 0x60, 0][..], LARGEST].concat();
    guests.add("claims-results", REFUSED, Module::program(&[(Section::Type, results)]));
    let locals = [number(1), sized(LARGEST)].concat();
    guests.add("claims-local-groups", REFUSED, Module::program(&[(Section::Code, locals)]));
    let size = [&[1][..], LARGEST].concat();
    guests.add("claims-body", REFUSED, Module::program(&[(Section::Code, size)]));
    let name = [&[1][..], LARGEST].concat();
    guests.add("claims-export-name", REFUSED, Module::program(&[(Section::Export, name.clone())]));
    guests.add("claims-import-name", REFUSED, Module::program(&[(Section::Import, name)]));
    let element = [&[1, 1, 0][..], LARGEST].concat();
    guests.add("claims-element-items", REFUSED, Module::program(&[(Section::Element, element)]));
    let data = [&[1, 1][..], LARGEST].concat();
    guests.add("claims-data-bytes", REFUSED, Module::program(&[(Section::Data, data)]));
    let targets = [&[0x41, 0, 0x0e][..], LARGEST].concat();
    guests.add("claims-br-table", REFUSED, Module::code(&[], &[], &targets));
    let types = [&[0x41, 0, 0x41, 0, 0x41, 0, 0x1c][..], LARGEST].concat();
    guests.add("claims-select-types", REFUSED, Module::code(&[], &[], &types));
    guests.add("claims-locals", REFUSED, Module::code(&[], &[(0xffff_ffff, I32)], &[]));
    guests.add("claims-locals-twice", REFUSED, Module::code(&[], &[(0xffff_ffff, I32), (0xffff_ffff, I32)], &[]));
    guests.add("claims-locals-50001", REFUSED, Module::code(&[], &[(50_001, I32)], &[]));
    let custom = Module::new().raw(&[0]).raw(&sized(LARGEST));
    guests.add("claims-custom-name", REFUSED, custom);
}

/// Sections with a wrong size, out of order, or duplicate.
fn sections(guests: &mut Guests) {
    let plain = || Module::program(&[]).finish();
    let whole = plain();
    let head = || Module::new().section(Section::Type, &list(&[PLAIN])).section(Section::Function, &list(&[[0]]));
    let exports = list(&[export(b"_start", 0)]);
    let code = list(&[body(&[], &[])]);

    guests.add("section-truncated", REFUSED, cut(&whole, whole.len() - 1));
    guests.add("section-empty", REFUSED, cut(&whole, whole.len() - code.len() - 2).raw(&[Section::Code as u8, 0]));
    guests.add("section-too-long", REFUSED, head().raw(&[Section::Export as u8]).raw(LARGEST).raw(&exports));
    let with_rest = [exports.clone(), vec![0; 16]].concat();
    guests.add("section-with-rest", REFUSED, head().section(Section::Export, &with_rest).section(Section::Code, &code));
    let size_only = head().raw(&[Section::Export as u8, 0x80]);
    guests.add("section-size-unfinished", REFUSED, size_only);
    let swapped = head().section(Section::Code, &code).section(Section::Export, &exports);
    guests.add("section-out-of-order", REFUSED, swapped);
    let twice = head().section(Section::Export, &exports).section(Section::Code, &code).section(Section::Code, &code);
    guests.add("section-twice", REFUSED, twice);
    guests.add("section-unknown", REFUSED, Module::program(&[]).raw(&[0x7f, 1, 0]));
    guests.add("section-no-code", REFUSED, head().section(Section::Export, &exports));
    let starts = head().section(Section::Export, &exports).section(Section::Start, &[0]).section(Section::Start, &[0]);
    guests.add("section-start-twice", REFUSED, starts.section(Section::Code, &code));
    let start = head().section(Section::Start, &[0]).section(Section::Export, &exports);
    guests.add("section-start-first", REFUSED, start.section(Section::Code, &code));
    let far = head().section(Section::Export, &exports).section(Section::Start, LARGEST);
    guests.add("section-start-unknown", REFUSED, far.section(Section::Code, &code));
    guests.add("header-only", "refused no function _start", Module::new());
    guests.add("header-twice", REFUSED, Module::program(&[]).raw(&Module::new().finish()));
    guests.add("header-version", REFUSED, cut(b"\0asm\x02\0\0\0", 8));
    guests.add("header-cut", REFUSED, cut(b"\0asm\x01", 5));
    let component = cut(b"\0asm\x0d\0\x01\0", 8);
    guests.add("header-component", "refused a WebAssembly component", component);

    let data = list(&[[&[1][..], &sized(b"x")].concat()]);
    let fewer = vec![(Section::DataCount, number(2)), (Section::Data, data.clone())];
    guests.add("data-count-more", REFUSED, Module::program(&fewer));
    let more = vec![(Section::DataCount, number(0)), (Section::Data, data)];
    guests.add("data-count-less", REFUSED, Module::program(&more));
    guests.add("data-count-alone", REFUSED, Module::program(&[(Section::DataCount, number(1))]));
    guests.add("bodies-less", REFUSED, Module::program(&[(Section::Function, list(&[[0], [0]]))]));
    guests.add("bodies-more", REFUSED, Module::program(&[(Section::Function, list::<[u8; 0]>(&[]))]));
}

/// Makes a module of the first `len` bytes of `wasm`.
fn cut(wasm: &[u8], len: usize) -> Module {
    Module::bare(wasm.get(..len).unwrap_or(wasm))
}

/// Numbers that are too long, and names that are not UTF-8.
fn numbers_and_names(guests: &mut Guests) {
    let types = list(&[PLAIN]);
    // A 32-bit number has at most 5 bytes, and 4 bits in the last one.
    let padded = Module::new().raw(&[1, 0x84, 0x80, 0x80, 0x80, 0x00]).raw(&types);
    let rest = |module: Module| {
        module
            .section(Section::Function, &list(&[[0]]))
            .section(Section::Export, &list(&[export(b"_start", 0)]))
            .section(Section::Code, &list(&[body(&[], &[])]))
    };
    guests.add("number-padded", "exit 0", rest(padded));
    let six = Module::new().raw(&[1, 0x84, 0x80, 0x80, 0x80, 0x80, 0x00]).raw(&types);
    guests.add("number-of-6-bytes", REFUSED, rest(six));
    let bits = Module::new().raw(&[1, 0x84, 0x80, 0x80, 0x80, 0x10]).raw(&types);
    guests.add("number-of-33-bits", REFUSED, rest(bits));
    let constant = [0x41, 0xff, 0xff, 0xff, 0xff, 0x4f, 0x1a];
    guests.add("number-signed-bits", REFUSED, Module::code(&[], &[], &constant));
    let endless = [vec![0x42], vec![0x80; 100_000], vec![0, 0x1a]].concat();
    guests.add("number-endless", REFUSED, Module::code(&[], &[], &endless));

    let exported = |name: &[u8]| Module::program(&[(Section::Export, list(&[export(b"_start", 0), export(name, 0)]))]);
    guests.add("name-not-utf-8", REFUSED, exported(b"\xff\xfe\x80"));
    guests.add("name-surrogate", REFUSED, exported(b"\xed\xa0\x80"));
    guests.add("name-overlong", REFUSED, exported(b"\xc0\xaf"));
    guests.add("name-cut", REFUSED, exported(b"\xf0\x9f\x98"));
    guests.add("name-of-zeros", "exit 0", exported(&[0; 99_999]));
    guests.add("name-too-long", REFUSED, exported(&vec![b'n'; 1 << 20]));
    let long = vec![b'm'; 90_000];
    let imports = list(&[import(&long, &long, 0), import(&[7; 90_000], b"\n", 0)]);
    guests.add("name-long-imports", "refused missing imports", Module::program(&[(Section::Import, imports)]));
    let no_text = list(&[import(b"\xff", b"\xff", 0)]);
    guests.add("name-import-not-utf-8", REFUSED, Module::program(&[(Section::Import, no_text)]));
    // The contents of custom sections are ignored, but their names are checked.
    let custom = |contents: &[u8]| Module::program(&[]).section(Section::Custom, contents);
    guests.add("custom-rubbish", "exit 0", custom(&[sized(b"name"), vec![0xff; 1 << 20]].concat()));
    guests.add("custom-producers", "exit 0", custom(&[sized(b"producers"), LARGEST.to_vec()].concat()));
    guests.add("custom-not-utf-8", REFUSED, custom(&sized(b"\xff")));
    guests.add("custom-long-name", REFUSED, custom(&sized(&vec![b'c'; 1 << 20])));
    let many = Module::program(&[]).raw(&[0, 1, 0].repeat(300_000));
    guests.add("custom-300000", "exit 0", many);
}

/// Invalid types and instructions.
fn types(guests: &mut Guests) {
    let recursive = function_type(&[0x64, 0], &[]);
    guests.add("type-reference", REFUSED, Module::program(&[(Section::Type, list(&[PLAIN.to_vec(), recursive]))]));
    guests.add("type-unknown", REFUSED, Module::program(&[(Section::Function, list(&[number(0xffff_ffff)]))]));
    guests.add("opcode-unknown", REFUSED, Module::code(&[], &[], &[0xff]));
    guests.add("opcode-unknown-prefixed", REFUSED, Module::code(&[], &[], &[&[0xfc][..], LARGEST].concat()));
    guests.add("opcode-thread", REFUSED, Module::code(&[], &[], &[0xfe, 0x03, 0x00]));
    guests.add("stack-underflow", REFUSED, Module::code(&[], &[], &[0x1a]));
    guests.add("stack-unreachable", "trap unreachable", Module::code(&[], &[], &[0x00, 0x6a, 0x1a, 0x1a, 0x92, 0x1a]));
    guests.add("local-unknown", REFUSED, Module::code(&[], &[], &[&[0x20][..], LARGEST, &[0x1a]].concat()));
    guests.add("call-unknown", REFUSED, Module::code(&[], &[], &[&[0x10][..], LARGEST].concat()));
    guests.add("branch-unknown", REFUSED, Module::code(&[], &[], &[&[0x0c][..], LARGEST].concat()));
    guests.add("ends-too-many", REFUSED, Module::code(&[], &[], &[0x0b; 100]));
    guests.add("ends-missing", REFUSED, Module::code(&[], &[], &[0x02, 0x40].repeat(100)));
    let memory = |kind: &[u8]| Module::program(&[(Section::Memory, list(&[kind]))]);
    guests.add("memory-maximum-less", REFUSED, memory(&[1, 2, 1]));
    guests.add("memory-65537-pages", REFUSED, memory(&[0, 0x81, 0x80, 0x04]));
    guests.add("memory-flags", REFUSED, memory(&[0xff, 0x01, 0]));
    let align = [0x41, 0, 0x28, 0x1f, 0, 0x1a];
    let aligned = vec![(Section::Memory, list(&[[0, 1]])), (Section::Code, list(&[body(&[], &align)]))];
    guests.add("memory-alignment", REFUSED, Module::program(&aligned));
    // Globals that are initialized with themselves and with a later one.
    let global = |index: u8| list(&[[I32, 0, 0x23, index, 0x0b]]);
    guests.add("global-of-itself", REFUSED, Module::program(&[(Section::Global, global(0))]));
    guests.add("global-of-a-later-one", REFUSED, Module::program(&[(Section::Global, global(1))]));
}

pub(crate) fn add(guests: &mut Guests) {
    counts(guests);
    sections(guests);
    numbers_and_names(guests);
    types(guests);
}
