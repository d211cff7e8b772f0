// SPDX-License-Identifier: GPL-2.0

//! Interface of a module: its imports, its exports and its start function, and the checks that it
//! is a program or a reactor that kwasmi can run.

use crate::{
    refusal::Refusal,
    sections::{
        id,
        polled,
        sections, //
    },
    start_section,
    wasi::{
        self,
        ValueType, //
    },
};
use alloc::{
    string::{
        String,
        ToString as _, //
    },
    vec::Vec,
};
use core::fmt::Write as _;
use wasmparser::{
    BinaryReader,
    CompositeInnerType,
    Export,
    ExportSectionReader,
    ExternalKind,
    FuncType,
    FunctionSectionReader,
    Import,
    ImportSectionReader,
    RecGroup,
    TypeRef,
    TypeSectionReader,
    ValType, //
};

/// Name of the exported function at which a program starts.
pub(crate) const ENTRY: &str = "_start";

/// Module name of the imports that only tests of kwasmi use.
pub(crate) const TEST_MODULE: &str = "kwasmi_test";

/// Length in bytes after which the message about missing imports only counts them.
const MISSING_TEXT_MAX: usize = 4096;

/// Imports, exports and start function of a module. The names are those in the module's bytes.
///
/// The bytes may be those of a module that is not validated yet. Then the interface has what can be
/// read, and validation reports the rest.
#[derive(Default)]
pub(crate) struct Interface<'a> {
    /// Contents of the type section.
    types: &'a [u8],
    /// Offset of each type in `types`.
    type_offsets: Vec<u32>,
    imports: Option<ImportSectionReader<'a>>,
    functions: Option<FunctionSectionReader<'a>>,
    exports: Option<ExportSectionReader<'a>>,
    /// Index of the start function.
    start: Option<u32>,
}

/// Exported item, as far as it matters to an entry point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// Function without parameters and results.
    Procedure,
    /// Another function.
    Function,
    /// Memory, table, global or tag.
    Other,
}

impl Item {
    /// Returns the item of a function with these types of parameters and results.
    pub(crate) fn function<T>(params: &[T], results: &[T]) -> Self {
        if params.is_empty() && results.is_empty() { Self::Procedure } else { Self::Function }
    }

    /// Checks that the item is a function that can be an entry point. `what` names it.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if it is not a function, or takes parameters or has results.
    pub(crate) fn check_entry(self, what: &str) -> Result<(), Refusal> {
        match self {
            Self::Procedure => Ok(()),
            Self::Function => Err(Refusal::from(alloc::format!("{what} takes parameters or has results"))),
            Self::Other => Err(Refusal::from(alloc::format!("{what} is not a function"))),
        }
    }
}

impl<'a> Interface<'a> {
    /// Reads the interface of `wasm`.
    pub(crate) fn parse(wasm: &'a [u8]) -> Self {
        let mut this = Self::default();
        for section in sections(wasm) {
            let reader = BinaryReader::new(section.contents, 0);
            match section.id {
                id::TYPE => {
                    this.types = section.contents;
                    this.type_offsets = type_offsets(reader);
                }
                id::IMPORT => this.imports = ImportSectionReader::new(reader).ok(),
                id::FUNCTION => this.functions = FunctionSectionReader::new(reader).ok(),
                id::EXPORT => this.exports = ExportSectionReader::new(reader).ok(),
                id::START => this.start = BinaryReader::new(section.contents, 0).read_var_u32().ok(),
                _ => {}
            }
        }
        this
    }

    /// Returns the imports, in order.
    pub(crate) fn imports(&self) -> impl Iterator<Item = Import<'a>> {
        polled(self.imports.clone().into_iter().flatten().map_while(Result::ok))
    }

    fn exports(&self) -> impl Iterator<Item = Export<'a>> {
        polled(self.exports.clone().into_iter().flatten().map_while(Result::ok))
    }

    /// Returns the types of the imported functions, as indices.
    fn imported(&self) -> impl Iterator<Item = u32> {
        self.imports().filter_map(|import| match import.ty {
            TypeRef::Func(ty) => Some(ty),
            _ => None,
        })
    }

    /// Returns the type of this index.
    fn function_type(&self, index: u32) -> Option<FuncType> {
        let offset = self.type_offsets.get(usize::try_from(index).ok()?)?;
        let bytes = self.types.get(usize::try_from(*offset).ok()?..)?;
        let group: RecGroup = BinaryReader::new(bytes, 0).read().ok()?;
        match group.into_types().next()?.composite_type.inner {
            CompositeInnerType::Func(ty) => Some(ty),
            _ => None,
        }
    }

    /// Returns the item that function `index` is; `None` if there is no such function.
    fn function(&self, index: u32) -> Option<Item> {
        let defined = polled(self.functions.clone().into_iter().flatten().map_while(Result::ok));
        let ty = self.imported().chain(defined).nth(usize::try_from(index).ok()?)?;
        let ty = self.function_type(ty)?;
        Some(Item::function(ty.params(), ty.results()))
    }

    /// Returns the item that the module exports as `name`.
    fn export(&self, name: &str) -> Option<Item> {
        let export = self.exports().find(|export| export.name == name)?;
        match export.kind {
            ExternalKind::Func => self.function(export.index),
            _ => Some(Item::Other),
        }
    }

    /// Returns true if the memory that the module exports as `memory` is its memory 0.
    pub(crate) fn exports_default_memory(&self) -> bool {
        self.exports().any(|export| export.name == "memory" && export.kind == ExternalKind::Memory && export.index == 0)
    }

    /// Returns the names of exported functions that the module imports.
    pub(crate) fn reexports(&self) -> Vec<String> {
        let imported = u32::try_from(self.imported().count()).unwrap_or(u32::MAX);
        let exports = self.exports().filter(|export| export.kind == ExternalKind::Func && export.index < imported);
        exports.map(|export| export.name.to_string()).collect()
    }

    /// Returns true if the module has a start function.
    #[cfg(feature = "object")]
    pub(crate) fn has_start(&self) -> bool {
        self.start.is_some()
    }

    /// Checks imports and entry points. Returns true if the module exports [`ENTRY`].
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the module has an import that kwasmi does not provide, or provides with
    /// another type; exports [`ENTRY`] as something else than a function without parameters and
    /// results; has neither an exported function nor a start function; or has a start function with
    /// parameters or results.
    pub(crate) fn check(&self, fault_injection: bool) -> Result<bool, Refusal> {
        self.check_imports(fault_injection)?;
        let entry = self.export(ENTRY);
        entry.map_or(Ok(()), |entry| entry.check_entry("function _start"))?;
        if let Some(start) = self.start {
            self.function(start).map_or(Ok(()), |start| start.check_entry("the start function"))?;
            // The interpreter calls the start function by this name.
            if self.export(start_section::EXPORT).is_some() {
                let name = start_section::EXPORT;
                return Err(Refusal::from(alloc::format!("not valid Wasm: duplicate export name `{name}`")));
            }
        } else if !self.exports().any(|export| export.kind == ExternalKind::Func) {
            return Err(no_program());
        }
        Ok(entry.is_some())
    }

    /// Refuses a module with an import that kwasmi does not provide, or provides with another type.
    fn check_imports(&self, fault_injection: bool) -> Result<(), Refusal> {
        let mut text = String::new();
        let mut unnamed: usize = 0;
        for import in self.imports() {
            let problem = match (import.ty, provided(import.module, import.name, fault_injection)) {
                (TypeRef::Func(_), None) => "no function",
                (TypeRef::Func(ty), Some((params, results))) => {
                    if self.function_type(ty).is_some_and(|ty| is_type(&ty, params, results)) {
                        continue;
                    }
                    "wrong type for function"
                }
                (TypeRef::Memory(_), _) => "no memory",
                (TypeRef::Table(_), _) => "no table",
                (TypeRef::Global(_), _) => "no global",
                (TypeRef::Tag(_), _) => "no tag",
            };
            if text.len() > MISSING_TEXT_MAX {
                unnamed = unnamed.saturating_add(1);
                continue;
            }
            let separator = if text.is_empty() { "missing imports: " } else { "; " };
            // The guest chooses these names. Escaping them prevents a name from imitating another
            // message.
            let (from, name) = (import.module.escape_debug(), import.name.escape_debug());
            write!(text, "{separator}{problem} {from}.{name}").map_err(|_| Refusal::from(String::new()))?;
        }
        if unnamed > 0 {
            write!(text, "; and {unnamed} more").map_err(|_| Refusal::from(String::new()))?;
        }
        if text.is_empty() { Ok(()) } else { Err(Refusal::from(text)) }
    }
}

/// Returns the refusal of a module that does not export [`ENTRY`].
pub(crate) fn no_program() -> Refusal {
    Refusal::from(alloc::format!("no function {ENTRY} is exported: not a program"))
}

/// Returns the refusal of a module that exports [`ENTRY`].
pub(crate) fn no_reactor() -> Refusal {
    Refusal::from(alloc::format!("function {ENTRY} is exported: a program, not a reactor"))
}

/// Returns the offset of each type in a type section, up to the first that is malformed or in a
/// recursion group, which no valid module has.
fn type_offsets(reader: BinaryReader<'_>) -> Vec<u32> {
    let types = TypeSectionReader::new(reader).into_iter().flat_map(TypeSectionReader::into_iter_with_offsets);
    let types = types.map_while(|ty| ty.ok().filter(|(_, group)| !group.is_explicit_rec_group()));
    polled(types).map_while(|(offset, _)| u32::try_from(offset).ok()).collect()
}

/// Returns the parameter and result types of the function that kwasmi provides for an import.
fn provided(module: &str, name: &str, fault_injection: bool) -> Option<(&'static [ValueType], &'static [ValueType])> {
    match module {
        TEST_MODULE if fault_injection && name == "panic" => Some((&[], &[])),
        _ => wasi::FUNCTIONS
            .iter()
            .find(|function| function.module == module && function.name == name)
            .map(|function| (function.params, function.results)),
    }
}

/// Returns true if `ty` has these parameters and results.
fn is_type(ty: &FuncType, params: &[ValueType], results: &[ValueType]) -> bool {
    let are = |types: &[ValType], expected: &[ValueType]| {
        types.iter().copied().eq(expected.iter().map(|ty| match ty {
            ValueType::I32 => ValType::I32,
            ValueType::I64 => ValType::I64,
        }))
    };
    are(ty.params(), params) && are(ty.results(), results)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = r#"(module
        (type (func (param i64)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
        (memory (export "memory") 1) (memory (export "other") 1)
        (func (export "_start")) (func (export "f") (param i64))
        (func $start)
        (start $start)
        (export "exit" (func $exit)) (export "closed" (func $close)))"#;

    fn wasm(text: &str) -> Vec<u8> {
        wat::parse_str(text).expect("valid text")
    }

    fn check(text: &str) -> Result<bool, String> {
        Interface::parse(&wasm(text)).check(false).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn imports_and_exports_are_found_with_their_types() {
        let wasm = wasm(PROGRAM);
        let interface = Interface::parse(&wasm);
        let names: Vec<_> = interface.imports().map(|import| import.name).collect();
        assert_eq!(names, ["proc_exit", "fd_close"]);
        assert_eq!(interface.export("_start"), Some(Item::Procedure));
        assert_eq!(interface.export("f"), Some(Item::Function));
        assert_eq!(interface.export("exit"), Some(Item::Function));
        assert_eq!(interface.export("memory"), Some(Item::Other));
        assert_eq!(interface.export("none"), None);
        assert_eq!(interface.reexports(), ["exit", "closed"]);
        assert_eq!(interface.function(4), Some(Item::Procedure));
        assert_eq!(interface.function(5), None);
        assert_eq!(interface.start, Some(4));
        assert!(interface.exports_default_memory());
        assert!(interface.check(false).expect("a program"));
    }

    #[test]
    fn only_memory_0_is_the_default_memory() {
        let is_default = |text| Interface::parse(&wasm(text)).exports_default_memory();
        assert!(is_default(r#"(module (memory (export "memory") 1))"#));
        assert!(!is_default(r#"(module (memory 1) (memory (export "memory") 1))"#));
        assert!(!is_default(r#"(module (memory (export "other") 1))"#));
        assert!(!is_default(r#"(module (func (export "memory")))"#));
    }

    #[test]
    fn bytes_that_are_not_validated_are_read_as_far_as_possible() {
        let wasm = wasm(PROGRAM);
        for len in 0..wasm.len() {
            let _ = Interface::parse(&wasm[..len]).check(false);
        }
        for at in 0..wasm.len() {
            for bits in [0x01, 0x10, 0x80, 0xff] {
                let mut changed = wasm.clone();
                changed[at] ^= bits;
                let interface = Interface::parse(&changed);
                let _ = interface.check(false);
                let _ = interface.reexports();
            }
        }
    }

    #[test]
    fn imports_must_be_provided_with_their_type() {
        let text = r#"(module
            (import "env" "f" (func))
            (import "wasi_snapshot_preview1" "proc_exit" (func (param i64)))
            (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result f32)))
            (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
            (import "env" "m" (memory 1)) (import "env" "t" (table 1 funcref))
            (import "env" "g" (global i32)) (import "env" "e" (tag)))"#;
        assert_eq!(
            check(text),
            Err("missing imports: no function env.f; \
                wrong type for function wasi_snapshot_preview1.proc_exit; \
                wrong type for function wasi_snapshot_preview1.fd_close; \
                no memory env.m; no table env.t; no global env.g; no tag env.e"
                .into())
        );
        let test = wasm(r#"(module (import "kwasmi_test" "panic" (func)) (func (export "f")))"#);
        assert!(Interface::parse(&test).check(false).is_err());
        assert!(Interface::parse(&test).check(true).is_ok());
    }

    #[test]
    fn many_missing_imports_are_counted() {
        let imports: String = (0..1000).map(|index| alloc::format!(r#"(import "env" "{index}" (func))"#)).collect();
        let text = check(&alloc::format!("(module {imports})")).expect_err("missing imports");
        assert!(text.len() < MISSING_TEXT_MAX + 100 && text.ends_with(" more"), "{text}");
    }

    #[test]
    fn entry_points_must_be_procedures() {
        for (text, expected) in [
            (r#"(module (func (export "_start")))"#, Ok(true)),
            (r#"(module (func (export "f") (param i32)))"#, Ok(false)),
            (r#"(module (func $f) (start $f))"#, Ok(false)),
            ("(module)", Err("no function _start is exported: not a program")),
            (r#"(module (memory (export "f") 1))"#, Err("no function _start is exported: not a program")),
            (
                r#"(module (func (export "_start") (param i32)))"#,
                Err("function _start takes parameters or has results"),
            ),
            (r#"(module (memory (export "_start") 1))"#, Err("function _start is not a function")),
            (r#"(module (func $f (param i32)) (start $f))"#, Err("the start function takes parameters or has results")),
            (
                r#"(module (func $f (export "(start)")) (start $f))"#,
                Err("not valid Wasm: duplicate export name `(start)`"),
            ),
        ] {
            assert_eq!(check(text), expected.map_err(String::from), "{text}");
        }
    }
}
