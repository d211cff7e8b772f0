// SPDX-License-Identifier: GPL-2.0

//! Inspection of a module: its contents, and the reasons for which kwasmi would refuse it. Needs no
//! device.

use crate::{
    features,
    host_functions,
    invoke::ENTRY,
    signing::{
        cms::Signature,
        envelope::{
            self,
            Envelope, //
        },
        hash::Sha256,
        manifest::Manifest,
        requirements::Requirements,
    },
    source,
    uapi::KWASMI_ABI, //
};
use kwasmi_engine::compiler;
use serde::Serialize;
use wasmparser::{
    Export,
    FuncType,
    FuncValidatorAllocations,
    Import,
    MemoryType,
    Parser,
    Payload,
    TableType,
    ValType,
    ValidPayload,
    Validator,
    types::{
        EntityType,
        TypesRef, //
    }, //
};

/// An import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Module that the item is imported from.
    pub module: String,
    /// Name.
    pub name: String,
    /// Type, as text.
    #[serde(rename = "type")]
    pub ty: String,
    /// Set if kwasmi provides a function of this name and type.
    pub provided: bool,
}

/// An export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Name.
    pub name: String,
    /// Type, as text.
    #[serde(rename = "type")]
    pub ty: String,
}

/// A custom section, which the engine ignores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CustomSection {
    /// Name.
    pub name: String,
    /// Size of the contents, in bytes.
    pub bytes: usize,
}

/// A signature that was parsed but not verified: verification needs the trusted certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Signed {
    /// A well-formed signature.
    By {
        /// Signer, as the signature names it.
        signer: String,
        /// Signature and digest algorithm.
        algorithm: String,
    },
    /// A malformed signature, and the reason.
    Malformed(String),
}

/// Contents of a module, up to its first invalid section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Size of the file, in bytes.
    pub bytes: usize,
    /// SHA-256 of the file without its signature, as the kernel module reports it.
    pub sha256: Sha256,
    /// Signature.
    pub signature: Option<Signed>,
    /// Manifest, if it is valid.
    pub manifest: Option<Manifest>,
    /// Imports.
    pub imports: Vec<Imported>,
    /// Exports.
    pub exports: Vec<Exported>,
    /// Types of the memories that the module defines.
    pub memories: Vec<String>,
    /// Types of the tables that the module defines.
    pub tables: Vec<String>,
    /// Number of types.
    pub types: u32,
    /// Number of functions that the module defines.
    pub functions: u32,
    /// Size of the code section, in bytes.
    pub code_bytes: u64,
    /// Number of globals that the module defines.
    pub globals: u32,
    /// Number of element segments.
    pub element_segments: u32,
    /// Number of data segments.
    pub data_segments: u32,
    /// Index of the start function.
    pub start: Option<u32>,
    /// Custom sections.
    pub custom_sections: Vec<CustomSection>,
    /// Reason for which the compiler does not take the module, if it is valid.
    pub interpreted_because: Option<String>,
    /// Set if the module has tags of exceptions, which only the compiler supports.
    #[serde(skip)]
    pub has_exceptions: bool,
    /// Reasons for a refusal; empty if the module would run.
    pub refused: Vec<String>,
}

impl Inspection {
    /// Inspects `file`: the module, its manifest and its signature.
    #[must_use]
    pub fn new(file: &[u8]) -> Self {
        let mut inspection = Self { sha256: envelope::sha256(file), ..Self::of_code(file) };
        match Envelope::split(file) {
            Ok(envelope) => {
                inspection.signature = envelope.signature.map(|signature| match Signature::read(signature) {
                    Ok(signature) => {
                        Signed::By { signer: signature.signer.to_string(), algorithm: signature.algorithm() }
                    }
                    Err(reason) => Signed::Malformed(reason),
                });
                if let Some(manifest) = envelope.manifest {
                    inspection.note_manifest(manifest, envelope.module);
                }
            }
            Err(reason) => inspection.refused.insert(0, reason),
        }
        inspection
    }

    /// Records `manifest`, and the reasons to refuse it.
    fn note_manifest(&mut self, manifest: &[u8], module: &[u8]) {
        match Manifest::read(manifest) {
            Ok(manifest) => {
                if let Err(reason) = check_interface(&manifest) {
                    self.refused.push(reason);
                }
                if let Ok(requirements) = Requirements::of(module) {
                    self.refused.append(&mut requirements.missing_from(&manifest));
                }
                self.manifest = Some(manifest);
            }
            Err(reason) => self.refused.push(format!("the manifest is not accepted: {reason}")),
        }
    }

    /// Inspects the code of `wasm` only, without manifest and signature.
    #[must_use]
    pub fn of_code(wasm: &[u8]) -> Self {
        let mut inspection = Self { bytes: wasm.len(), ..Self::default() };
        if let Err(reason) = source::identify(wasm) {
            inspection.refused.push(reason);
        } else if let Err(error) = inspection.scan(wasm) {
            let (message, offset) = (error.message(), error.offset());
            inspection.refused.push(format!("not valid Wasm: {message} at offset {offset}"));
        } else {
            inspection.check_entry();
            match compiler::compile(wasm, compiler::CompilerOptions::default()) {
                Err(reason) if inspection.has_exceptions => inspection.refused.push(reason.to_string()),
                result => inspection.interpreted_because = result.err().map(|reason| reason.to_string()),
            }
        }
        inspection
    }

    /// Validates `wasm` and records its contents, up to the first error.
    fn scan(&mut self, wasm: &[u8]) -> wasmparser::Result<()> {
        let mut validator = Validator::new_with_features(features::COMPILER);
        let mut parser = Parser::new(0);
        parser.set_features(features::COMPILER);
        let mut allocations = FuncValidatorAllocations::default();
        for payload in parser.parse_all(wasm) {
            let payload = payload?;
            if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
                let mut function = function.into_validator(allocations);
                function.validate(&body)?;
                allocations = function.into_allocations();
            }
            self.note(&payload, validator.types(0))?;
        }
        Ok(())
    }

    /// Records the contents of a valid section.
    fn note(&mut self, payload: &Payload<'_>, types: Option<TypesRef<'_>>) -> wasmparser::Result<()> {
        match payload {
            Payload::TypeSection(section) => self.types = section.count(),
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    self.note_import(&import?, types);
                }
            }
            Payload::FunctionSection(section) => self.functions = section.count(),
            Payload::TableSection(section) => {
                for table in section.clone() {
                    self.tables.push(table_type(&table?.ty));
                }
            }
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    self.memories.push(memory_type(&memory?));
                }
            }
            Payload::TagSection(section) => self.has_exceptions = section.count() > 0,
            Payload::GlobalSection(section) => self.globals = section.count(),
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    self.note_export(&export?, types);
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(*func),
            Payload::ElementSection(section) => self.element_segments = section.count(),
            Payload::DataSection(section) => self.data_segments = section.count(),
            Payload::CodeSectionStart { size, .. } => self.code_bytes = u64::from(*size),
            Payload::CustomSection(section) => self
                .custom_sections
                .push(CustomSection { name: section.name().to_owned(), bytes: section.data().len() }),
            _ => {}
        }
        Ok(())
    }

    fn note_import(&mut self, import: &Import<'_>, types: Option<TypesRef<'_>>) {
        let ty = types.and_then(|types| Some((types.entity_type_from_import(import)?, types)));
        let (module, name) = (import.module.escape_debug(), import.name.escape_debug());
        let problem = match (ty, host_functions::find(import.module, import.name)) {
            (Some((EntityType::Func(id), types)), Some(function)) => {
                let expected = types[id].unwrap_func();
                if expected.params() == function.params && expected.results() == function.results {
                    None
                } else {
                    let (expected, is) = (function_type(expected), signature(function.params, function.results));
                    Some(format!("import {module}.{name} has the type {expected}, not {is}"))
                }
            }
            _ => Some(format!("import {module}.{name} is not provided")),
        };
        self.imports.push(Imported {
            module: import.module.to_owned(),
            name: import.name.to_owned(),
            ty: ty.map(|(ty, types)| entity_type(&ty, types)).unwrap_or_default(),
            provided: problem.is_none(),
        });
        self.refused.extend(problem);
    }

    fn note_export(&mut self, export: &Export<'_>, types: Option<TypesRef<'_>>) {
        let ty = types.and_then(|types| Some(entity_type(&types.entity_type_from_export(export)?, types)));
        self.exports.push(Exported { name: export.name.to_owned(), ty: ty.unwrap_or_default() });
    }

    /// Records a reason to refuse the module if it has no function that can be run.
    fn check_entry(&mut self) {
        let entry = self.exports.iter().find(|export| export.name == ENTRY);
        let problem = match entry.map(|export| export.ty.as_str()) {
            Some("func()") => return,
            Some(ty) => format!("export {ENTRY} has the type {ty}, not func()"),
            // A reactor.
            None if self.exports.iter().any(|export| export.ty.starts_with("func(")) => return,
            None => format!("no function {ENTRY} is exported: not a program"),
        };
        self.refused.push(problem);
    }
}

/// Checks that this version of the ioctl interface satisfies `manifest`.
///
/// # Errors
///
/// A message if `manifest` requires a later version.
pub fn check_interface(manifest: &Manifest) -> Result<(), String> {
    if manifest.abi > u64::from(KWASMI_ABI) {
        return Err(format!("the manifest wants interface {}, this is {KWASMI_ABI}", manifest.abi));
    }
    Ok(())
}

fn entity_type(ty: &EntityType, types: TypesRef<'_>) -> String {
    match ty {
        EntityType::Func(id) | EntityType::FuncExact(id) => function_type(types[*id].unwrap_func()),
        EntityType::Table(ty) => table_type(ty),
        EntityType::Memory(ty) => memory_type(ty),
        EntityType::Global(ty) => {
            let mutable = if ty.mutable { "mut " } else { "" };
            format!("global {mutable}{}", ty.content_type)
        }
        EntityType::Tag(_) => "tag".to_owned(),
    }
}

fn function_type(ty: &FuncType) -> String {
    signature(ty.params(), ty.results())
}

fn signature(params: &[ValType], results: &[ValType]) -> String {
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match results {
        [] => format!("func({})", list(params)),
        [result] => format!("func({}) -> {result}", list(params)),
        results => format!("func({}) -> ({})", list(params), list(results)),
    }
}

fn limits(initial: u64, maximum: Option<u64>) -> String {
    match maximum {
        Some(maximum) => format!("{initial} to {maximum}"),
        None => format!("{initial} or more"),
    }
}

fn memory_type(ty: &MemoryType) -> String {
    format!("memory of {} pages", limits(ty.initial, ty.maximum))
}

fn table_type(ty: &TableType) -> String {
    format!("table of {} {}", limits(ty.initial, ty.maximum), ValType::Ref(ty.element_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspect(text: &str) -> Inspection {
        Inspection::new(&source::assemble(text.as_bytes()).expect("valid text"))
    }

    const GOOD: &str = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1 2)
        (table 3 funcref)
        (global (export "g") (mut i64) (i64.const 0))
        (func)
        (start 1)
        (func (export "_start") (drop (f64.add (f64.const 1) (f64.const 2))))
        (func (export "pair") (result i32 i32) (i32.const 1) (i32.const 2))
        (func (data.drop 0))
        (elem (i32.const 0) 1)
        (data (i32.const 0) "abc")
        (@custom "note" "12345"))"#;

    #[test]
    fn the_contents_of_a_module_are_listed() {
        let good = inspect(GOOD);
        assert_eq!(good.refused, [""; 0]);
        assert_eq!(
            good.imports,
            [Imported {
                module: "wasi_snapshot_preview1".to_owned(),
                name: "fd_write".to_owned(),
                ty: "func(i32, i32, i32, i32) -> i32".to_owned(),
                provided: true,
            }]
        );
        let exports: Vec<_> = good.exports.iter().map(|export| (export.name.as_str(), export.ty.as_str())).collect();
        assert_eq!(
            exports,
            [
                ("memory", "memory of 1 to 2 pages"),
                ("g", "global mut i64"),
                ("_start", "func()"),
                ("pair", "func() -> (i32, i32)"),
            ]
        );
        assert_eq!(good.memories, ["memory of 1 to 2 pages"]);
        assert_eq!(good.tables, ["table of 3 or more funcref"]);
        assert_eq!((good.types, good.functions, good.globals), (3, 4, 1));
        assert_eq!((good.element_segments, good.data_segments, good.start), (1, 1, Some(1)));
        assert_eq!(good.custom_sections, [CustomSection { name: "note".to_owned(), bytes: 5 }]);
        assert!(good.code_bytes > 0);
    }

    #[test]
    fn every_missing_import_is_named() {
        let module = inspect(
            r#"(module
                (import "env" "one" (func))
                (import "wasi_snapshot_preview1" "path_close" (func (param i32) (result i64)))
                (import "wasi_snapshot_preview1" "fd_close" (func (param i64) (result i32)))
                (import "wasi_snapshot_preview1" "fd_read" (global i32))
                (import "env" "memory" (memory 1))
                (func (export "_start")))"#,
        );
        assert_eq!(
            module.refused,
            [
                "import env.one is not provided",
                "import wasi_snapshot_preview1.path_close is not provided",
                "import wasi_snapshot_preview1.fd_close has the type func(i64) -> i32, not func(i32) -> i32",
                "import wasi_snapshot_preview1.fd_read is not provided",
                "import env.memory is not provided",
            ]
        );
        assert!(module.imports.iter().all(|import| !import.provided));
    }

    #[test]
    fn a_program_has_an_entry() {
        assert_eq!(inspect("(module)").refused, ["no function _start is exported: not a program"]);
        assert_eq!(
            inspect(r#"(module (func (export "_start") (param i32)))"#).refused,
            ["export _start has the type func(i32), not func()"]
        );
        assert_eq!(
            inspect(r#"(module (memory (export "_start") 1))"#).refused,
            ["export _start has the type memory of 1 or more pages, not func()"]
        );
    }

    #[test]
    fn other_features_are_refused() {
        let modules = [
            "(module (memory i64 1))",
            "(module (memory 1 1 shared))",
            "(module (type (struct)))",
            "(module (func (param i64 i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 1))))",
            "(module (memory 1 (pagesize 1)))",
        ];
        for module in modules {
            let refused = inspect(module).refused;
            assert!(refused.iter().any(|reason| reason.starts_with("not valid Wasm: ")), "{module}: {refused:?}");
        }
    }

    #[test]
    fn enabled_features_are_accepted() {
        let modules = [
            "(module (tag) (func (block (try_table (catch 0 0) (throw 0)))))",
            "(module (tag) (func try throw 0 catch_all end))",
            "(module (memory 1) (memory 1))",
            "(module (global i32 (i32.add (i32.const 1) (i32.const 2))))",
            "(module (func $f (return_call $f)))",
            "(module (table 1 externref) (func (drop (ref.null func))))",
            "(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))))",
            "(module (func (drop (i32.trunc_sat_f64_u (f64.const 0))) (drop (i32.extend8_s (i32.const 0)))))",
            "(module (global (export \"g\") (mut i32) (i32.const 0)))",
            "(module (func (param v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))",
        ];
        for module in modules {
            assert_eq!(inspect(module).refused, ["no function _start is exported: not a program"], "{module}");
        }
    }

    #[test]
    fn a_module_truncated_at_any_byte_is_refused() {
        let wasm = source::assemble(GOOD.as_bytes()).expect("valid text");
        // The last section is a custom one, which running does not need.
        let needed = wasm.len() - 2 - "_note12345".len();
        for len in 0..needed {
            let inspection = Inspection::new(&wasm[..len]);
            assert!(!inspection.refused.is_empty(), "{len} bytes");
        }
        assert!(Inspection::new(&wasm[..needed]).refused.is_empty());
    }

    #[test]
    fn manifest_and_signature_are_inspected() {
        let module = source::assemble(GOOD.as_bytes()).expect("valid text");
        assert_eq!(Inspection::new(&module).sha256, Sha256::of(&module));
        let mut manifest = Manifest::example();
        let signed = |manifest: &[u8]| envelope::with_section(&module, envelope::MANIFEST, manifest);
        let good = signed(&manifest.encode().expect("can be encoded"));
        let file = envelope::with_section(&good, envelope::SIGNATURE, b"x");
        let inspection = Inspection::new(&file);
        assert_eq!(inspection.refused, [""; 0]);
        assert_eq!((inspection.bytes, inspection.sha256), (file.len(), Sha256::of(&good)));
        assert_eq!(inspection.manifest, Some(manifest.clone()));
        assert!(matches!(inspection.signature, Some(Signed::Malformed(_))), "{:?}", inspection.signature);
        manifest.abi = 99;
        manifest.imports.clear();
        let interface = format!("the manifest wants interface 99, this is {KWASMI_ABI}");
        assert_eq!(
            Inspection::new(&signed(&manifest.encode().expect("can be encoded"))).refused,
            [interface.as_str(), "the manifest does not list the import wasi_snapshot_preview1.fd_write"]
        );
        let refused = Inspection::new(&signed(b"x")).refused;
        assert!(refused[0].starts_with("the manifest is not accepted: "), "{refused:?}");
        let refused = Inspection::new(&[good.as_slice(), &[1, 0]].concat()).refused;
        assert_eq!(refused[0], format!("a section after the manifest at offset {}", good.len()));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic() {
        // xorshift64 with a fixed seed: the bytes are the same in each run.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let good = source::assemble(GOOD.as_bytes()).expect("valid text");
        for _ in 0..10_000 {
            let mut bytes: Vec<u8> = (0..8).flat_map(|_| random().to_le_bytes()).collect();
            assert!(!Inspection::new(&bytes).refused.is_empty());
            // Random bytes after a valid header.
            bytes.splice(..8, *b"\0asm\x01\0\0\0");
            let _ = Inspection::new(&bytes);
            // A valid module with one byte changed.
            let mut changed = good.clone();
            let at = usize::try_from(random()).unwrap_or(0) % changed.len();
            changed[at] = random().to_le_bytes()[0];
            let _ = Inspection::new(&changed);
        }
    }
}
