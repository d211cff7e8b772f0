// SPDX-License-Identifier: GPL-2.0

//! Calls of exported functions (`kwasmi run --invoke`): reads the types of a module, arguments from
//! words, and prints results.

use crate::failure::line;
use std::{
    ffi::OsString,
    fmt::Write as _, //
};
use wasmparser::{
    BinaryReaderError,
    ExternalKind,
    FuncType,
    Parser,
    Payload,
    TypeRef,
    ValType, //
};

/// Export of a program.
pub const ENTRY: &str = "_start";

/// Upper bound of the exports that a message names.
const NAMES_MAX: usize = 10;

/// Exported function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedFunction {
    /// Name of the export.
    pub name: String,
    /// Type.
    pub ty: FuncType,
}

/// Returns the exported functions of `wasm`, in the order of the module.
///
/// # Errors
///
/// The error of a malformed module.
pub fn exported(wasm: &[u8]) -> Result<Vec<ExportedFunction>, BinaryReaderError> {
    let (mut types, mut functions, mut exported) = (Vec::new(), Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::TypeSection(section) => {
                types = section.into_iter_err_on_gc_types().collect::<Result<_, _>>()?;
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Func(ty) | TypeRef::FuncExact(ty) = import?.ty {
                        functions.push(ty);
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    functions.push(ty?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let ty = functions.get(export.index as usize).and_then(|ty| types.get(*ty as usize));
                    if let (ExternalKind::Func, Some(ty)) = (export.kind, ty) {
                        exported.push(ExportedFunction { name: export.name.to_owned(), ty: FuncType::clone(ty) });
                    }
                }
            }
            _ => {}
        }
    }
    Ok(exported)
}

/// Returns the reason why a module that exports `functions` cannot run without `--invoke`, if it is
/// a reactor.
#[must_use]
pub fn is_reactor(functions: &[ExportedFunction]) -> Option<String> {
    let names = names(functions);
    if names.is_empty() || functions.iter().any(|function| function.name == ENTRY) {
        return None;
    }
    Some(format!("no function {ENTRY} is exported: a reactor, whose functions --invoke NAME calls: {names}"))
}

/// Returns the names of functions that can be invoked, for a message.
fn names(functions: &[ExportedFunction]) -> String {
    let all = functions.iter().filter(|function| ![ENTRY, "_initialize"].contains(&function.name.as_str()));
    let mut text = all.clone().take(NAMES_MAX).map(|function| line(&function.name)).collect::<Vec<_>>().join(", ");
    let more = all.count().saturating_sub(NAMES_MAX);
    if more > 0 {
        let _ = write!(text, ", and {more} more");
    }
    text
}

/// Call of an exported function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Name of the export.
    pub name: String,
    /// Arguments: an `i32`, or the bits of an `f32`, in the lower half.
    pub args: Vec<u64>,
    /// Types of the results.
    pub results: Vec<ValType>,
}

impl Invocation {
    /// Reads the call of function `name` with the arguments `words`.
    ///
    /// # Errors
    ///
    /// A message if there is no such function, the number of arguments is another one, a type is
    /// not a number, or a word is not a number of its type.
    pub fn new(functions: &[ExportedFunction], name: &str, words: &[OsString]) -> Result<Self, String> {
        let function = functions.iter().find(|function| function.name == name).ok_or_else(|| {
            let names = names(functions);
            let exports = if names.is_empty() { String::new() } else { format!("; exported are {names}") };
            format!("no function {} is exported{exports}", line(name))
        })?;
        let (params, results) = (function.ty.params(), function.ty.results());
        if let Some(ty) = params.iter().chain(results).find(|ty| matches!(ty, ValType::V128 | ValType::Ref(_))) {
            return Err(format!(
                "function {}: a parameter or result has the type {ty}; only i32, i64, f32 and f64 can be passed",
                line(name)
            ));
        }
        if params.len() != words.len() {
            return Err(format!("function {}: {} arguments given, {} needed", line(name), words.len(), params.len()));
        }
        let args = params.iter().zip(words).map(|(ty, word)| {
            let text = word.to_string_lossy();
            parse(*ty, &text).ok_or_else(|| format!("function {}: '{}' is not an {ty}", line(name), line(&text)))
        });
        Ok(Self { name: name.to_owned(), args: args.collect::<Result<_, _>>()?, results: results.to_vec() })
    }

    /// Returns the results `values` as text, one on each line.
    #[must_use]
    pub fn print(&self, values: &[u64]) -> String {
        let mut text = String::new();
        for (ty, value) in self.results.iter().zip(values) {
            // Writing to a string does not fail.
            let _ = match ty {
                ValType::I32 => writeln!(text, "{}", low(*value).cast_signed()),
                ValType::F32 => writeln!(text, "{}", f32::from_bits(low(*value))),
                ValType::F64 => writeln!(text, "{}", f64::from_bits(*value)),
                _ => writeln!(text, "{}", value.cast_signed()),
            };
        }
        text
    }
}

/// Returns the lower half of `value`.
fn low(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Returns the bits of the number `text` of type `ty`; integers are signed or unsigned, decimal or
/// hexadecimal.
fn parse(ty: ValType, text: &str) -> Option<u64> {
    match ty {
        ValType::I32 => {
            let number = integer(text)?;
            let bits = i32::try_from(number).map(i32::cast_unsigned).or_else(|_| u32::try_from(number));
            bits.ok().map(u64::from)
        }
        ValType::I64 => {
            let number = integer(text)?;
            i64::try_from(number).map(i64::cast_unsigned).or_else(|_| u64::try_from(number)).ok()
        }
        ValType::F32 => text.parse().ok().map(|number: f32| number.to_bits().into()),
        ValType::F64 => text.parse().ok().map(f64::to_bits),
        ValType::V128 | ValType::Ref(_) => None,
    }
}

fn integer(text: &str) -> Option<i128> {
    match text.strip_prefix("0x") {
        Some(digits) if !digits.starts_with(['+', '-']) => i128::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = r#"(module
        (import "a" "b" (func (param i64)))
        (func (export "all") (param i32 i64 f32 f64) (result i32 i64 f32 f64)
            (local.get 0) (local.get 1) (local.get 2) (local.get 3))
        (func (export "_initialize"))
        (func (export "vector") (param v128))
        (func (export "reference") (result funcref) (ref.null func))
        (memory (export "memory") 1))"#;

    fn functions(text: &str) -> Vec<ExportedFunction> {
        exported(&crate::source::assemble(text.as_bytes()).expect("a module")).expect("a module")
    }

    fn invoke(name: &str, words: &[&str]) -> Result<Invocation, String> {
        let words: Vec<_> = words.iter().map(OsString::from).collect();
        Invocation::new(&functions(MODULE), name, &words)
    }

    #[test]
    fn arguments_and_results_have_the_types_of_the_function() {
        let call = invoke("all", &["-1", "0x10", "1.5", "-inf"]).expect("a call");
        assert_eq!(call.args, [0xffff_ffff, 16, u64::from(1.5_f32.to_bits()), f64::NEG_INFINITY.to_bits()]);
        assert_eq!(call.print(&call.args), "-1\n16\n1.5\n-inf\n");
        assert_eq!(call.print(&[]), "");
        let unsigned = invoke("all", &["4294967295", "18446744073709551615", "nan", "1e3"]).expect("a call");
        assert_eq!(unsigned.print(&unsigned.args), "-1\n-1\nNaN\n1000\n");
    }

    #[test]
    fn wrong_calls_are_refused_with_a_reason() {
        for (name, words, reason) in [
            ("none", &[][..], "no function none is exported; exported are all, vector, reference"),
            ("memory", &[], "no function memory is exported; exported are all, vector, reference"),
            ("all", &["1"], "function all: 1 arguments given, 4 needed"),
            ("all", &["1", "2", "3", "x"], "function all: 'x' is not an f64"),
            ("all", &["4294967296", "2", "3", "4"], "function all: '4294967296' is not an i32"),
            ("all", &["-2147483649", "2", "3", "4"], "function all: '-2147483649' is not an i32"),
            ("all", &["0x-1", "2", "3", "4"], "function all: '0x-1' is not an i32"),
            (
                "vector",
                &["1"],
                "function vector: a parameter or result has the type v128; only i32, i64, f32 and f64 can be passed",
            ),
            (
                "reference",
                &[],
                "function reference: a parameter or result has the type funcref; only i32, i64, f32 and f64 can be passed",
            ),
        ] {
            assert_eq!(invoke(name, words), Err(reason.to_owned()), "{name}");
        }
    }

    #[test]
    fn a_module_without_an_entry_is_a_reactor() {
        assert_eq!(
            is_reactor(&functions(MODULE)).as_deref(),
            Some(
                "no function _start is exported: a reactor, whose functions --invoke NAME calls: all, vector, reference"
            )
        );
        assert_eq!(is_reactor(&functions("(module)")), None);
        assert_eq!(is_reactor(&functions(r#"(module (func (export "_start")))"#)), None);
        let many: String = (0..12).map(|n| format!(r#"(func (export "f{n}"))"#)).collect();
        assert!(is_reactor(&functions(&format!("(module {many})"))).expect("none").ends_with("f9, and 2 more"));
    }
}
