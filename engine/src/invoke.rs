// SPDX-License-Identifier: GPL-2.0

//! Calls of an exported function, in place of the entry of a program.

use crate::{
    ffi::INVOKE_MAX,
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

impl Invocation<'_> {
    /// Checks that the call fits a function with `params` and `results`. `is_number` tells if a
    /// type is a number.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the number of arguments is another one, a type is not a number, or there are
    /// more than [`INVOKE_MAX`] parameters or results.
    pub(crate) fn check<T>(&self, params: &[T], results: &[T], is_number: impl Fn(&T) -> bool) -> Result<(), Refusal> {
        let name = self.name.escape_debug();
        for (what, len) in [("parameters", params.len()), ("results", results.len())] {
            if len > INVOKE_MAX {
                let text = alloc::format!("function {name}: {len} {what}, limit {INVOKE_MAX}");
                return Err(Refusal::because(Reason::TooBig, text));
            }
        }
        if !params.iter().chain(results).all(is_number) {
            let text = alloc::format!(
                "function {name}: only parameters and results of type i32, i64, f32 and f64 can be passed"
            );
            return Err(Refusal::because(Reason::Unsupported, text));
        }
        if self.args.len() != params.len() {
            let text = alloc::format!("function {name}: {} arguments given, {} needed", self.args.len(), params.len());
            return Err(Refusal::because(Reason::Argument, text));
        }
        Ok(())
    }

    /// Returns the refusal of a name that is not that of an exported function.
    pub(crate) fn unknown(&self) -> Refusal {
        Refusal::because(Reason::NoFunction, alloc::format!("no function {} is exported", self.name.escape_debug()))
    }

    /// Returns the refusal of a function that the module imports and exports.
    pub(crate) fn imported(&self) -> Refusal {
        let text = alloc::format!("function {} is an import of the module", self.name.escape_debug());
        Refusal::because(Reason::Unsupported, text)
    }
}
