// SPDX-License-Identifier: GPL-2.0

//! Modules: validates and translates Wasm bytes into code that instances share.
//!
//! A module is compiled, or wasmi translates it for the interpreter. The order of the checks is the
//! same for both: counts, validity, interface, manifest. So both refuse a module for the same
//! reason, unless it uses exceptions, which only compiled code can have.

#[cfg(feature = "object")]
use crate::{
    compiled::native_module::Native,
    compiler,
    ffi::Limit, //
};
use crate::{
    features,
    ffi::{
        CALL_BYTES,
        ModuleLimits,
        NotCompiled, //
    },
    host::Host,
    interface::{
        Interface,
        TEST_MODULE, //
    },
    interpreted,
    invoke::Callable,
    module_counts::ModuleCounts,
    refusal::Refusal,
    signing::manifest::Manifest,
    start_section,
    state::State,
    wasi, //
};
#[cfg(feature = "object")]
use alloc::sync::Arc;
use alloc::{
    string::{
        String,
        ToString, //
    },
    vec::Vec,
};
use core::fmt::Display;
use wasmi::{
    CompilationMode,
    Config,
    Engine,
    Linker,
    errors::ErrorKind, //
};
use wasmparser::WasmFeatures;

/// Module that can be instantiated any number of times.
///
/// All functions are translated or compiled when the module is loaded. Instances share the result
/// and never change it.
pub struct Module<H: Host + 'static> {
    pub(crate) code: Code<H>,
    /// Set if the module has a start function, which is exported as [`start_section::EXPORT`].
    pub(crate) has_start: bool,
    /// Set if the module exports [`ENTRY`](crate::interface::ENTRY): it is a program, not a
    /// reactor.
    pub(crate) has_entry: bool,
    /// Names of exported functions that the module imports; none if it is compiled.
    pub(crate) reexports: Vec<String>,
}

/// Code of a module.
pub(crate) enum Code<H: Host + 'static> {
    /// Code for the interpreter.
    Translated { engine: Engine, module: wasmi::Module, linker: Linker<State<H>> },
    /// Machine code.
    #[cfg(feature = "object")]
    Compiled(Arc<Native>),
}

/// Options for loading a module.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Limits on the contents of the module.
    pub limits: ModuleLimits,
    /// Allows imports from [`TEST_MODULE`], if set.
    pub fault_injection: bool,
}

/// Engine that a module is loaded for.
#[cfg(feature = "object")]
#[derive(Clone, Copy, Debug)]
pub(crate) enum EngineChoice {
    /// The compiler. Accesses to memories are protected against speculative execution if
    /// `has_masks`.
    Compiler { has_masks: bool },
    /// The interpreter, for this reason.
    Interpreter(NotCompiled),
}

impl<H: Host + 'static> Module<H> {
    /// Validates and translates `wasm` for the interpreter, and checks that it is a program or a
    /// reactor that kwasmi can run.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if `wasm` exceeds a limit, is not valid Wasm, has an import that kwasmi does not
    /// provide, exports [`ENTRY`](crate::interface::ENTRY) as something else than a function without
    /// parameters and results, or exports no function.
    pub fn new(wasm: &[u8], options: Options) -> Result<Self, Refusal> {
        ModuleCounts::count(wasm).check(&options.limits)?;
        Self::interpreted(wasm, options, None, || refuse_exceptions(&NotCompiled::Requested.text()))
    }

    /// Loads `wasm`, whose counts are within the limits and which `manifest` must cover, for the
    /// interpreter. `if_exceptions` returns the refusal of a module that the interpreter cannot run
    /// only because it uses exceptions.
    fn interpreted(
        wasm: &[u8],
        options: Options,
        manifest: Option<&Manifest<'_>>,
        if_exceptions: impl FnOnce() -> Refusal,
    ) -> Result<Self, Refusal> {
        let Validated { engine, module, has_start } =
            Validated::new(wasm, options, CompilationMode::Eager).map_err(|invalid| invalid.refusal(if_exceptions))?;
        let interface = Interface::parse(wasm);
        let has_entry = check(&interface, options, manifest)?;
        let mut linker = Linker::new(&engine);
        define(&mut linker, options, interface.exports_default_memory())
            .map_err(|error| Refusal::from(error.to_string()))?;
        let reexports = interface.reexports();
        Ok(Self { has_start, has_entry, reexports, code: Code::Translated { engine, module, linker } })
    }

    /// Loads `wasm`, which `manifest` must cover, as machine code; or for the interpreter, if it
    /// cannot be compiled or is not to be. Calls `failed` with the reason if the compiler refuses
    /// it.
    ///
    /// # Errors
    ///
    /// [`Refusal`] in the cases of [`Module::new`], if the manifest does not cover the imports, or
    /// if the module uses exceptions and is not compiled.
    #[cfg(feature = "object")]
    pub(crate) fn load(
        wasm: &[u8],
        options: Options,
        manifest: Option<&Manifest<'_>>,
        engine: EngineChoice,
        failed: impl FnOnce(&compiler::Error),
    ) -> Result<Self, Refusal> {
        ModuleCounts::count(wasm).check(&options.limits)?;
        let has_masks = match engine {
            EngineChoice::Compiler { has_masks } => has_masks,
            EngineChoice::Interpreter(reason) => {
                return Self::interpreted(wasm, options, manifest, || refuse_exceptions(&reason.text()));
            }
        };
        let interface = Interface::parse(wasm);
        let has_start = interface.has_start();
        let has_entry =
            check(&interface, options, manifest).map_err(|refusal| prefer_invalid(wasm, options, refusal))?;
        // The compiler needs the memory.
        drop(interface);
        match Native::new(wasm, options.limits.stack, has_masks) {
            Ok(native) => {
                let code = Code::Compiled(Arc::new(native));
                Ok(Self { has_start, has_entry, reexports: Vec::new(), code })
            }
            Err(error) => {
                failed(&error);
                Self::interpreted(wasm, options, manifest, || refuse_uncompiled(&error))
            }
        }
    }

    /// Returns the exported function `name`, for callers of a reactor.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the module exports no function of this name, the engine calls it, or it is
    /// imported; or if it has more than [`INVOKE_MAX`](crate::ffi::INVOKE_MAX) parameters or results,
    /// or one that is not a number.
    pub fn callable(&self, name: &str) -> Result<Callable, Refusal> {
        match &self.code {
            Code::Translated { module, .. } => interpreted::callable(module, &self.reexports, name),
            #[cfg(feature = "object")]
            Code::Compiled(native) => native.callable(name),
        }
    }

    /// Returns true if the module is machine code.
    #[cfg(feature = "object")]
    pub(crate) fn is_compiled(&self) -> bool {
        matches!(self.code, Code::Compiled(_))
    }
}

/// Checks imports, entry points and coverage by the manifest. Returns true if the module exports
/// [`ENTRY`](crate::interface::ENTRY).
fn check(interface: &Interface<'_>, options: Options, manifest: Option<&Manifest<'_>>) -> Result<bool, Refusal> {
    let has_entry = interface.check(options.fault_injection)?;
    manifest.map_or(Ok(()), |manifest| interface.check_manifest(manifest))?;
    Ok(has_entry)
}

/// Returns the reason why `wasm` is not valid, or else `refusal`, which does not depend on that.
#[cfg(feature = "object")]
fn prefer_invalid(wasm: &[u8], options: Options, refusal: Refusal) -> Refusal {
    match Validated::new(wasm, options, CompilationMode::LazyTranslation) {
        Ok(_) => refusal,
        Err(invalid) => invalid.refusal(|| refusal),
    }
}

/// Module that wasmi has validated.
struct Validated {
    engine: Engine,
    module: wasmi::Module,
    /// Set if the module has a start function, which is exported as [`start_section::EXPORT`].
    has_start: bool,
}

impl Validated {
    /// Validates `wasm`, and translates it unless `mode` is lazy.
    fn new(wasm: &[u8], options: Options, mode: CompilationMode) -> Result<Self, Invalid> {
        let engine = Engine::new(&config(&options.limits, mode));
        let start = start_section::rewrite(wasm);
        let bytes = start.as_ref().map_or(wasm, |start| start.wasm.as_slice());
        let module = wasmi::Module::new(&engine, bytes).map_err(|error| {
            Invalid::new(&error, |offset| start.as_ref().map_or(offset, |start| start.original_offset(offset)))
        })?;
        Ok(Self { engine, module, has_start: start.is_some() })
    }
}

/// Returns the configuration of wasmi for a module within `limits`. `mode` decides whether wasmi
/// translates the module when it validates it.
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

/// Reason why wasmi does not accept a module.
struct Invalid {
    text: String,
    /// Set if the module uses exceptions, which wasmi does not know and the compiler does.
    has_exceptions: bool,
}

impl Invalid {
    fn new(error: &wasmi::Error, original: impl Fn(usize) -> usize) -> Self {
        match error.kind() {
            ErrorKind::Wasm(error) => {
                let (at, message) = (original(error.offset()), error.message());
                let has_exceptions = EXCEPTION_MESSAGES.contains(&message);
                let text = alloc::format!("not valid Wasm: {message} at offset {at}");
                Self { text, has_exceptions: has_exceptions && features::COMPILER.contains(WasmFeatures::EXCEPTIONS) }
            }
            other => Self { text: alloc::format!("not valid Wasm: {other}"), has_exceptions: false },
        }
    }

    /// Returns the refusal of the module: that of `if_exceptions`, if it uses them.
    fn refusal(self, if_exceptions: impl FnOnce() -> Refusal) -> Refusal {
        if self.has_exceptions { if_exceptions() } else { Refusal::from(self.text) }
    }
}

/// Messages of wasmparser about a module with exceptions, if they are not enabled.
const EXCEPTION_MESSAGES: [&str; 4] = [
    "exceptions proposal not enabled",
    "exceptions support is not enabled",
    "legacy exceptions support is not enabled",
    "exception refs not supported without the exception handling feature",
];

/// Returns the refusal of a module that uses exceptions and would be interpreted, with the reason
/// for that.
fn refuse_exceptions(reason: &dyn Display) -> Refusal {
    Refusal::from(alloc::format!("exceptions need compiled code, and the module would be interpreted: {reason}"))
}

/// Returns the refusal of a module that uses exceptions and that the compiler refused with `error`.
#[cfg(feature = "object")]
fn refuse_uncompiled(error: &compiler::Error) -> Refusal {
    match error {
        compiler::Error::Invalid(..) => Refusal::from(error.to_string()),
        compiler::Error::CodeLimit => Refusal::limited(Limit::Code, refuse_exceptions(error).to_string()),
        compiler::Error::TotalHeapLimit => Refusal::limited(Limit::TotalHeap, refuse_exceptions(error).to_string()),
        _ => refuse_exceptions(error),
    }
}

/// Defines in `linker` what modules may import. `is_direct` is the argument of [`wasi::link`].
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

/// Panics, to simulate a defect of the engine.
#[expect(clippy::panic, reason = "the purpose of the function, which only test modules can import")]
fn test_panic() {
    panic!("a guest asked for a panic");
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: Options = Options {
        limits: ModuleLimits {
            functions: 10,
            function_size: 100,
            locals: 10,
            arity: 10,
            globals: 10,
            data_segments: 10,
            element_segments: 10,
            stack: 1 << 16,
        },
        fault_injection: false,
    };

    fn invalid(text: &str) -> Invalid {
        let wasm = wat::parse_str(text).expect("valid text");
        Validated::new(&wasm, OPTIONS, CompilationMode::LazyTranslation).err().expect("not valid for wasmi")
    }

    /// The messages of wasmparser are not part of its interface.
    #[test]
    fn modules_with_exceptions_are_known_by_their_message() {
        for text in [
            "(module (tag))",
            r#"(module (import "env" "e" (tag)))"#,
            "(module (type (func (param exnref))))",
            "(module (func (local exnref)))",
            "(module (func (block (result exnref) (try_table (catch_all_ref 0)) unreachable) drop))",
            "(module (func (block (try_table (catch_all 0)))))",
            "(module (func (block (result exnref) unreachable) throw_ref))",
            "(module (func try nop catch_all nop end))",
        ] {
            let invalid = invalid(text);
            assert!(
                EXCEPTION_MESSAGES.iter().any(|message| invalid.text.contains(message)),
                "{text}: {}",
                invalid.text
            );
            assert_eq!(invalid.has_exceptions, features::COMPILER.contains(WasmFeatures::EXCEPTIONS), "{text}");
        }
        let text = r#"(module (func (export "exceptions proposal not enabled")) (func (drop)))"#;
        assert!(!invalid(text).has_exceptions);
    }

    #[test]
    fn a_module_with_exceptions_is_refused_with_the_reason_for_interpreting_it() {
        let refusal = |has_exceptions| {
            let invalid = Invalid { text: String::from("not valid Wasm"), has_exceptions };
            invalid.refusal(|| refuse_exceptions(&NotCompiled::Fuel.text())).to_string()
        };
        assert_eq!(refusal(false), "not valid Wasm");
        assert_eq!(
            refusal(true),
            "exceptions need compiled code, and the module would be interpreted: \
            fuel is limited, and only the interpreter counts fuel"
        );
    }

    #[test]
    fn reasons_have_their_numbers() {
        for reason in [NotCompiled::Requested, NotCompiled::Fuel, NotCompiled::Off, NotCompiled::Large] {
            assert_eq!(NotCompiled::from_raw(reason as u32), Some(reason));
        }
        assert_eq!(NotCompiled::from_raw(0), None);
    }
}
