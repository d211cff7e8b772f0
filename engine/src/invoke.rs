// SPDX-License-Identifier: GPL-2.0

//! Calls of exported functions: one in place of the entry of a program, or any number of calls of a
//! reactor.

use crate::{
    ffi::{
        INVOKE_MAX,
        NumberType,
        NumberTypes, //
    },
    interface::ENTRY,
    refusal::{
        Reason,
        Refusal, //
    },
};

/// Name of the exported function that a reactor runs before its other functions.
pub const INITIALIZE: &str = "_initialize";

/// Call of an exported function.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// Name of the export.
    pub name: &'a str,
    /// Arguments. An `i32` or `f32` is in the lower half; the upper half is ignored.
    pub args: &'a [u64],
}

/// Functions that an instance runs.
#[derive(Clone, Copy, Debug)]
pub enum Functions<'a> {
    /// [`ENTRY`].
    Program,
    /// [`INITIALIZE`], if the module exports it, and one function.
    Invoked(Invocation<'a>),
    /// [`INITIALIZE`], if the module exports it, and then the functions that are called.
    Reactor,
}

impl<'a> Functions<'a> {
    /// Returns the one function.
    pub(crate) fn invocation(&self) -> Option<&Invocation<'a>> {
        match self {
            Self::Invoked(invocation) => Some(invocation),
            Self::Program | Self::Reactor => None,
        }
    }
}

/// Exported function that callers of a reactor can call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callable {
    /// Number of the function among those that the module exports.
    pub number: u32,
    /// Types of its parameters.
    pub params: NumberTypes,
    /// Types of its results.
    pub results: NumberTypes,
}

impl Callable {
    /// Returns the function with this number and these types. `number_type` returns the type of a
    /// number, and `None` for other types.
    ///
    /// # Errors
    ///
    /// The errors of [`Invocation::check`].
    pub(crate) fn new<T>(
        name: &str,
        number: usize,
        (params, results): (&[T], &[T]),
        number_type: impl Fn(&T) -> Option<NumberType>,
    ) -> Result<Self, Refusal> {
        check_types(name, params, results, |ty| number_type(ty).is_some())?;
        let types = |list: &[T]| {
            let mut types = NumberTypes { len: u32::try_from(list.len()).unwrap_or(0), ..NumberTypes::default() };
            for (place, ty) in types.types.iter_mut().zip(list) {
                *place = number_type(ty).map_or(0, |ty| ty as u8);
            }
            types
        };
        Ok(Self { number: u32::try_from(number).unwrap_or(u32::MAX), params: types(params), results: types(results) })
    }
}

/// Returns true if callers of a reactor cannot call the export `name`, because the engine calls it.
pub(crate) fn is_reserved(name: &str) -> bool {
    name == INITIALIZE || name == ENTRY
}

/// Checks that arguments and results of a function with `params` and `results` can be passed.
/// `is_number` tells if a type is a number.
fn check_types<T>(name: &str, params: &[T], results: &[T], is_number: impl Fn(&T) -> bool) -> Result<(), Refusal> {
    let name = name.escape_debug();
    for (what, len) in [("parameters", params.len()), ("results", results.len())] {
        if len > INVOKE_MAX {
            let text = alloc::format!("function {name}: {len} {what}, limit {INVOKE_MAX}");
            return Err(Refusal::because(Reason::TooBig, text));
        }
    }
    if !params.iter().chain(results).all(is_number) {
        let text =
            alloc::format!("function {name}: only parameters and results of type i32, i64, f32 and f64 can be passed");
        return Err(Refusal::because(Reason::Unsupported, text));
    }
    Ok(())
}

impl Invocation<'_> {
    /// Checks that the call fits a function with `params` and `results`. `is_number` tells if a
    /// type is a number.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the number of arguments is another one, a type is not a number, or there are
    /// more than [`INVOKE_MAX`] parameters or results.
    pub(crate) fn check<T>(&self, params: &[T], results: &[T], is_number: impl Fn(&T) -> bool) -> Result<(), Refusal> {
        check_types(self.name, params, results, is_number)?;
        let name = self.name.escape_debug();
        if self.args.len() != params.len() {
            let text = alloc::format!("function {name}: {} arguments given, {} needed", self.args.len(), params.len());
            return Err(Refusal::because(Reason::Argument, text));
        }
        Ok(())
    }

    /// Returns the refusal of a name that is not that of an exported function.
    pub(crate) fn unknown(&self) -> Refusal {
        unknown(self.name)
    }

    /// Returns the refusal of a function that the module imports and exports.
    pub(crate) fn imported(&self) -> Refusal {
        let text = alloc::format!("function {} is an import of the module", self.name.escape_debug());
        Refusal::because(Reason::Unsupported, text)
    }
}

/// Returns the refusal of a name that is not that of an exported function.
pub(crate) fn unknown(name: &str) -> Refusal {
    Refusal::because(Reason::NoFunction, alloc::format!("no function {} is exported", name.escape_debug()))
}
