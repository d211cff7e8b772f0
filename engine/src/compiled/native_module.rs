// SPDX-License-Identifier: GPL-2.0

//! A module as machine code, which its instances share.

use super::{
    native::{
        CompiledCode,
        HostInstance, //
    },
    program::Program,
};
use crate::{
    compiler::{
        self,
        Compiled,
        Declarations,
        Error,
        Type, //
    },
    ffi::{
        INVOKE_MAX,
        NumberType, //
    },
    interface::ENTRY,
    invoke::{
        Callable,
        Functions,
        INITIALIZE,
        Invocation,
        is_reserved,
        unknown, //
    },
    outcome::Entry,
    refusal::Refusal,
    wasi::FunctionId,
};
use alloc::{
    string::{
        String,
        ToString as _, //
    },
    vec::Vec,
};
use wasmparser::ValType;

/// A module as machine code.
#[derive(Debug)]
pub(crate) struct Native {
    pub(super) program: Program,
    pub(super) declarations: Declarations,
    pub(super) code: CompiledCode,
    pub(super) imports: Vec<FunctionId>,
    /// Bytes of each guest's stack.
    pub(super) stack: u64,
}

impl Native {
    /// Validates and compiles `wasm` for guests with a stack of `stack` bytes.
    /// Accesses to memories are protected against speculative execution if `has_masks`.
    ///
    /// # Errors
    ///
    /// [`Error`]: the module must be interpreted.
    pub(crate) fn new(wasm: &[u8], stack: u64, has_masks: bool) -> Result<Self, Error> {
        let Compiled { declarations, functions } = compiler::compile(wasm, compiler::CompilerOptions::new(has_masks))?;
        let program = Program::read(wasm)?;
        let compiled = Compiled { declarations, functions };
        compiled.check()?;
        let mut imports = Vec::new();
        for import in &program.imports {
            let function = FunctionId::named(&import.module, &import.name);
            imports.push(function.ok_or(Error::Unsupported("an import"))?);
        }
        // The last step that may fail: until the account is closed, nothing frees the machine code.
        let code = CompiledCode::new(&compiled)?;
        Ok(Self { program, declarations: compiled.declarations, code, imports, stack })
    }

    /// Returns the functions that run first, in order.
    pub(super) fn entries(&self, functions: &Functions<'_>, invoked: Option<u32>) -> Vec<(u32, Entry)> {
        let function = |entry| match entry {
            Entry::Start => self.program.start,
            Entry::Program => self.program.export(ENTRY),
            Entry::Initialize => self.program.export(INITIALIZE),
            Entry::Invoked => invoked,
        };
        let all = Entry::all(self.program.start.is_some(), functions);
        all.filter_map(|entry| Some((function(entry)?, entry))).collect()
    }

    /// Returns the index of the function that `invocation` calls, and the types of its parameters
    /// and results.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the module exports no such function, or it cannot be called.
    pub(super) fn invoked(&self, invocation: &Invocation<'_>) -> Result<(u32, &Type), Refusal> {
        self.check_initialize()?;
        let index = self.program.export(invocation.name).ok_or_else(|| invocation.unknown())?;
        if index < self.declarations.imported {
            return Err(invocation.imported());
        }
        let ty = self.function_type(index)?;
        invocation.check(&ty.params, &ty.results, |ty| is_wide(*ty).is_some())?;
        Ok((index, ty))
    }

    /// Checks that [`INITIALIZE`], if it is exported, has no parameters and results.
    pub(super) fn check_initialize(&self) -> Result<(), Refusal> {
        if let Some(initialize) = self.program.export(INITIALIZE) {
            let ty = self.function_type(initialize)?;
            if !ty.params.is_empty() || !ty.results.is_empty() {
                return Err(Refusal::from(String::from("function _initialize takes parameters or has results")));
            }
        }
        Ok(())
    }

    /// Returns the exported function `name`, for callers of a reactor.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if there is no such function, or it cannot be called.
    pub(crate) fn callable(&self, name: &str) -> Result<Callable, Refusal> {
        let exports = self.program.exports.iter().zip(0..);
        let mut named = exports.filter(|((export, _), _)| export == name && !is_reserved(name));
        let ((_, index), number) = named.next().ok_or_else(|| unknown(name))?;
        if *index < self.declarations.imported {
            return Err(Invocation { name, args: &[] }.imported());
        }
        let ty = self.function_type(*index)?;
        Callable::new(name, number, (&ty.params, &ty.results), |ty| number_type(*ty))
    }

    /// Returns index and type of the function with the number of [`Native::callable`].
    pub(super) fn called(&self, number: u32) -> Option<(u32, &Type)> {
        let (name, index) = self.program.exports.get(number as usize)?;
        let ty = self.declarations.function_type(*index).ok()?;
        let types = ty.params.iter().chain(&ty.results);
        let is_callable = *index >= self.declarations.imported
            && !is_reserved(name)
            && ty.params.len().max(ty.results.len()) <= INVOKE_MAX
            && types.clone().all(|ty| is_wide(*ty).is_some());
        is_callable.then_some((*index, ty))
    }

    fn function_type(&self, index: u32) -> Result<&Type, Refusal> {
        self.declarations.function_type(index).map_err(|error| Refusal::from(error.to_string()))
    }

    /// Returns the declarations of the module.
    #[inline(always)]
    pub(crate) fn declarations(&self) -> &Declarations {
        &self.declarations
    }

    /// Makes [`Helper::CallResolved`] call the function that `instance` looked up last.
    #[inline(always)]
    pub(crate) fn resolve(&self, instance: &mut HostInstance) {
        let index = instance.resolved();
        self.code.resolve(instance, index, self.declarations.imported);
    }
}

/// Returns the type of a number, and `None` if the type is not a number.
fn number_type(ty: ValType) -> Option<NumberType> {
    match ty {
        ValType::I32 => Some(NumberType::I32),
        ValType::I64 => Some(NumberType::I64),
        ValType::F32 => Some(NumberType::F32),
        ValType::F64 => Some(NumberType::F64),
        ValType::V128 | ValType::Ref(_) => None,
    }
}

/// Returns true if a number has 64 bits, false if it has 32, and `None` if the type is not a
/// number.
pub(super) fn is_wide(ty: ValType) -> Option<bool> {
    number_type(ty).map(|ty| matches!(ty, NumberType::I64 | NumberType::F64))
}
