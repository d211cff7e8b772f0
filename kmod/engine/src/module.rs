// SPDX-License-Identifier: GPL-2.0

//! Modules: validates and translates Wasm bytes into code that instances share.

use crate::{
    ffi::{
        CALL_BYTES,
        Limit,
        ModuleLimits, //
    },
    host::Host,
    instance::State,
    module_counts::ModuleCounts,
    sections::{
        id,
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
        ToString, //
    },
    vec::Vec,
};
use core::fmt::{
    self,
    Display,
    Write, //
};
use wasmi::{
    CompilationMode,
    Config,
    Engine,
    ExternType,
    FuncType,
    Linker,
    ValType,
    errors::ErrorKind, //
};
use wasmparser::{
    BinaryReader,
    ExportSectionReader,
    ExternalKind,
    ImportSectionReader,
    TypeRef, //
};

/// Name of the exported function at which a program starts.
pub const ENTRY: &str = "_start";

/// Module name of the imports that only tests of kwasmi use.
pub const TEST_MODULE: &str = "kwasmi_test";

/// Length in bytes after which the message about missing imports only counts them.
const MISSING_TEXT_MAX: usize = 4096;

/// Options for loading a module.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Limits on the contents of the module.
    pub limits: ModuleLimits,
    /// Allows imports from [`TEST_MODULE`], if set.
    pub fault_injection: bool,
}

/// Kind of a [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The module is not valid, or not a program that can run here.
    Invalid,
    /// The module exceeds a limit.
    Limit(Limit),
    /// The module exports no function of the name.
    NoFunction,
    /// The number of arguments is not that of the parameters.
    Argument,
    /// The type of the function is not supported.
    Unsupported,
    /// The function has too many parameters or results.
    TooBig,
}

/// Reason for refusing to load or to instantiate a module, as text for its author.
#[derive(Debug)]
pub struct Refusal {
    text: String,
    reason: Reason,
}

impl Refusal {
    /// Returns the refusal of a module that exceeds `limit`, with `text` as details.
    #[must_use]
    pub fn limited(limit: Limit, text: String) -> Self {
        Self::because(Reason::Limit(limit), text)
    }

    /// Returns the limit that the module exceeds, if a limit is the reason.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        match self.reason {
            Reason::Limit(limit) => Some(limit),
            _ => None,
        }
    }

    /// Returns the refusal for `reason`, with `text` as details.
    #[must_use]
    pub fn because(reason: Reason, text: String) -> Self {
        Self { text, reason }
    }

    /// Returns the kind of the refusal.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<String> for Refusal {
    fn from(text: String) -> Self {
        Self::because(Reason::Invalid, text)
    }
}

/// Module that can be instantiated any number of times.
///
/// All functions are translated or compiled when the module is loaded. Instances share the result and
/// never change it.
pub struct Module<H: Host + 'static> {
    pub(crate) code: Code<H>,
    /// Set if the module has a start function, which is exported as [`start_section::EXPORT`].
    pub(crate) has_start: bool,
    /// Set if the module exports [`ENTRY`]: it is a program, not a reactor.
    pub(crate) has_entry: bool,
    /// Names of exported functions that the module imports.
    pub(crate) reexports: Vec<String>,
}

/// Code of a module.
pub(crate) enum Code<H: Host + 'static> {
    /// Code for the interpreter.
    Translated { engine: Engine, module: wasmi::Module, linker: Linker<State<H>> },
    /// Machine code.
    #[cfg(feature = "object")]
    Compiled(alloc::sync::Arc<crate::compiled::guest::Native>),
}

fn config(limits: &ModuleLimits, mode: CompilationMode) -> Config {
    let stack = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut config = Config::default();
    config
        .consume_fuel(true)
        .compilation_mode(mode)
        .translation_hook(crate::poll)
        .ignore_custom_sections(true)
        .allow_start_fn(false)
        .set_max_cached_stacks(0)
        .set_max_recursion_depth(stack(limits.stack / CALL_BYTES))
        // No allocation may happen under a lock that instances share: if it fails, the engine
        // aborts and the lock stays locked. The value stack starts empty and grows on demand.
        .set_min_stack_height(0)
        .set_max_stack_height(stack(limits.stack));
    config
}

impl<H: Host + 'static> Module<H> {
    /// Validates and translates `wasm`, and checks that it is a program or a reactor that kwasmi can run.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if `wasm` exceeds a limit, is not valid Wasm, has an import that kwasmi does not
    /// provide, exports [`ENTRY`] as something else than a function without parameters and results, or
    /// exports no function.
    pub fn new(wasm: &[u8], options: Options) -> Result<Self, Refusal> {
        Self::with_mode(wasm, options, CompilationMode::Eager)
    }

    /// Validates `wasm` and makes the same checks as [`Module::new`], for [`Module::compile`]. Does not
    /// translate.
    ///
    /// # Errors
    ///
    /// [`Refusal`] in the cases of [`Module::new`].
    #[cfg(feature = "object")]
    pub(crate) fn for_compiler(wasm: &[u8], options: Options) -> Result<Self, Refusal> {
        Self::with_mode(wasm, options, CompilationMode::LazyTranslation)
    }

    fn with_mode(wasm: &[u8], options: Options, mode: CompilationMode) -> Result<Self, Refusal> {
        ModuleCounts::of(wasm).check(&options.limits)?;
        let engine = Engine::new(&config(&options.limits, mode));
        let start = start_section::rewrite(wasm);
        let bytes = start.as_ref().map_or(wasm, |start| start.wasm.as_slice());
        let module = wasmi::Module::new(&engine, bytes).map_err(|error| {
            invalid(&error, |offset| start.as_ref().map_or(offset, |start| start.original_offset(offset)))
        })?;

        let mut linker = Linker::new(&engine);
        define(&mut linker, options, exports_default_memory(bytes))
            .map_err(|error| Refusal::from(error.to_string()))?;
        check_imports(&module, options)?;
        let has_entry = check_entry(&module, ENTRY, "function _start")?;
        if !has_entry && !module.exports().any(|export| matches!(export.ty(), ExternType::Func(_))) {
            return Err(no_program());
        }
        if start.is_some() {
            check_entry(&module, start_section::EXPORT, "the start function")?;
        }
        let reexports = reexports(wasm);
        Ok(Self { has_start: start.is_some(), has_entry, reexports, code: Code::Translated { engine, module, linker } })
    }

    /// Compiles the module, whose bytes are `wasm`, for instances without a limit of fuel. Accesses to memories are protected against
    /// speculative execution if `has_masks`.
    ///
    /// # Errors
    ///
    /// The reason why it can only be interpreted.
    #[cfg(feature = "object")]
    pub(crate) fn compile(
        self,
        wasm: &[u8],
        limits: &ModuleLimits,
        has_masks: bool,
    ) -> Result<Self, crate::compiler::Error> {
        let (has_start, has_entry) = (self.has_start, self.has_entry);
        // What wasmi has of the module is not needed any more.
        drop(self);
        let native = crate::compiled::guest::Native::new(wasm, limits.stack, has_masks)?;
        Ok(Self { has_start, has_entry, reexports: Vec::new(), code: Code::Compiled(alloc::sync::Arc::new(native)) })
    }

    /// Returns the imports; there are none once the module is compiled.
    pub(crate) fn imports(&self) -> impl Iterator<Item = wasmi::ImportType<'_>> {
        let module = match &self.code {
            Code::Translated { module, .. } => Some(module),
            #[cfg(feature = "object")]
            Code::Compiled(_) => None,
        };
        module.into_iter().flat_map(wasmi::Module::imports)
    }
}

fn define<H: Host + 'static>(
    linker: &mut Linker<State<H>>,
    options: Options,
    is_direct: bool,
) -> Result<(), wasmi::Error> {
    wasi::link(linker, is_direct)?;
    if options.fault_injection {
        linker.func_wrap(TEST_MODULE, "panic", test_panic)?;
    }
    Ok(())
}

/// Returns true if the memory that `wasm` exports as `memory` is its memory 0.
fn exports_default_memory(wasm: &[u8]) -> bool {
    let exports = sections(wasm).filter(|section| section.id == id::EXPORT);
    let exports = exports.filter_map(|section| ExportSectionReader::new(BinaryReader::new(section.contents, 0)).ok());
    exports
        .flatten()
        .flatten()
        .any(|export| export.name == "memory" && export.kind == ExternalKind::Memory && export.index == 0)
}

/// Panics, to simulate a defect of the engine.
#[expect(clippy::panic, reason = "the purpose of the function, which only test modules can import")]
fn test_panic() {
    panic!("a guest asked for a panic");
}

fn invalid(error: &wasmi::Error, original: impl Fn(usize) -> usize) -> Refusal {
    let text = match error.kind() {
        ErrorKind::Wasm(error) => {
            let at = original(error.offset());
            alloc::format!("not valid Wasm: {} at offset {at}", error.message())
        }
        other => alloc::format!("not valid Wasm: {other}"),
    };
    Refusal::from(text)
}

/// Returns the parameter and result types of the function that kwasmi provides for an import.
fn provided(module: &str, name: &str, options: Options) -> Option<(&'static [ValueType], &'static [ValueType])> {
    match module {
        TEST_MODULE if options.fault_injection && name == "panic" => Some((&[], &[])),
        _ => wasi::FUNCTIONS
            .iter()
            .find(|function| function.module == module && function.name == name)
            .map(|function| (function.params, function.results)),
    }
}

/// Refuses a module with an import that kwasmi does not provide, or provides with another type.
fn check_imports(module: &wasmi::Module, options: Options) -> Result<(), Refusal> {
    let mut text = String::new();
    let mut unnamed: usize = 0;
    for import in module.imports() {
        let problem = match (import.ty(), provided(import.module(), import.name(), options)) {
            (ExternType::Func(_), None) => "no function",
            (ExternType::Func(wanted), Some((params, results))) => {
                if wanted
                    == &FuncType::new(
                        params.iter().copied().map(ValType::from),
                        results.iter().copied().map(ValType::from),
                    )
                {
                    continue;
                }
                "wrong type for function"
            }
            (ExternType::Memory(_), _) => "no memory",
            (ExternType::Table(_), _) => "no table",
            (ExternType::Global(_), _) => "no global",
        };
        if text.len() > MISSING_TEXT_MAX {
            unnamed = unnamed.saturating_add(1);
            continue;
        }
        let separator = if text.is_empty() { "missing imports: " } else { "; " };
        // The guest chooses these names. Escaping them prevents a name from imitating another
        // message.
        let (from, name) = (import.module().escape_debug(), import.name().escape_debug());
        write!(text, "{separator}{problem} {from}.{name}").map_err(|_| Refusal::from(String::new()))?;
    }
    if unnamed > 0 {
        write!(text, "; and {unnamed} more").map_err(|_| Refusal::from(String::new()))?;
    }
    if text.is_empty() { Ok(()) } else { Err(Refusal::from(text)) }
}

/// Returns the refusal of a module that does not export [`ENTRY`].
pub(crate) fn no_program() -> Refusal {
    Refusal::from(alloc::format!("no function {ENTRY} is exported: not a program"))
}

/// Returns the names of exported functions that `wasm`, which is valid, imports.
fn reexports(wasm: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut imported: u32 = 0;
    for section in sections(wasm) {
        let reader = BinaryReader::new(section.contents, 0);
        match section.id {
            id::IMPORT => {
                let imports = ImportSectionReader::new(reader).into_iter().flatten().flatten();
                let functions = imports.filter(|import| matches!(import.ty, TypeRef::Func(_))).count();
                imported = u32::try_from(functions).unwrap_or(u32::MAX);
            }
            id::EXPORT => {
                let exports = ExportSectionReader::new(reader).into_iter().flatten().flatten();
                let imports = exports.filter(|export| export.kind == ExternalKind::Func && export.index < imported);
                names.extend(imports.map(|export| export.name.to_string()));
            }
            _ => {}
        }
    }
    names
}

/// Checks that the export `name`, if there is one, is a function without parameters and results. Returns true if
/// there is one.
pub(crate) fn check_entry(module: &wasmi::Module, name: &str, what: &str) -> Result<bool, Refusal> {
    match module.get_export(name) {
        Some(ExternType::Func(ty)) if ty.params().is_empty() && ty.results().is_empty() => Ok(true),
        Some(ExternType::Func(_)) => Err(Refusal::from(alloc::format!("{what} takes parameters or has results"))),
        Some(_) => Err(Refusal::from(alloc::format!("{what} is not a function"))),
        None => Ok(false),
    }
}
