// SPDX-License-Identifier: GPL-2.0

//! The ioctls that call functions of a reactor: `KWASMI_IOC_FUNCTION` and `KWASMI_IOC_CALL` of
//! `kmod/uapi/kwasmi.h`.

use super::kernel::KernelService;
use crate::{
    device::Refusal,
    invoke::ExportedFunction,
    kernel_device::{
        Argument,
        KernelInstance,
        Log,
        call, //
    },
    run_result::RunResult,
    uapi::{
        self,
        kwasmi_call,
        kwasmi_function,
        kwasmi_run, //
    }, //
};
use rustix::{
    io::Errno,
    ioctl::Opcode, //
};
use std::{
    num::NonZeroU64,
    os::fd::AsFd,
    time::Instant, //
};
use wasmparser::{
    FuncType,
    ValType, //
};

// SAFETY: The header defines `KWASMI_IOC_FUNCTION` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_function {
    const OPCODE: Opcode = uapi::IOC_FUNCTION;
}

// SAFETY: The header defines `KWASMI_IOC_CALL` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_call {
    const OPCODE: Opcode = uapi::IOC_CALL;
}

/// Exported function of a reactor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Number for [`Reactor::call`].
    pub number: u32,
    /// Name and type.
    pub export: ExportedFunction,
}

impl Function {
    /// Returns a function that no reactor has. A call of it waits until the reactor is initialised,
    /// and fails with `EINVAL`.
    #[must_use]
    pub fn none() -> Self {
        Self { number: u32::MAX, export: ExportedFunction { name: String::new(), ty: FuncType::new([], []) } }
    }
}

/// Result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// The function returned these results and this output.
    Returned(Vec<u64>, Vec<u8>),
    /// The guest ended during the call. The fields of [`RunResult`] that count resources are 0.
    Ended(RunResult),
}

/// Returns the type with the number `KWASMI_TYPE_*`.
fn value_type(raw: u8) -> Result<ValType, Errno> {
    match u32::from(raw) {
        uapi::KWASMI_TYPE_I32 => Ok(ValType::I32),
        uapi::KWASMI_TYPE_I64 => Ok(ValType::I64),
        uapi::KWASMI_TYPE_F32 => Ok(ValType::F32),
        uapi::KWASMI_TYPE_F64 => Ok(ValType::F64),
        _ => Err(Errno::PROTO),
    }
}

/// Returns the first `len` types in the array of an ioctl's structure.
fn value_types(raw: &[u8], len: u32) -> Result<Vec<ValType>, Errno> {
    raw.iter().take(len as usize).map(|raw| value_type(*raw)).collect()
}

/// Functions of a reactor, behind a service fd or an instance fd.
pub trait Reactor: AsFd {
    /// Looks up the exported function `name`.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_FUNCTION`, with its text.
    fn function(&self, name: &str) -> Result<Function, Refusal> {
        let mut log = Log::new();
        let mut function = kwasmi_function {
            name: name.as_ptr().expose_provenance() as u64,
            name_len: u32::try_from(name.len()).map_err(|_| Errno::TOOBIG)?,
            log: log.address(),
            log_size: log.size(),
            ..kwasmi_function::default()
        };
        // SAFETY: `name` is readable for its length, and `log` is an owned buffer of `log_size`
        // writable bytes; both live until the call returns. The kernel writes only the log.
        let result = unsafe { call(self, &mut function) };
        result.map_err(|errno| Refusal { errno, text: log.text(function.log_len), reached: None })?;
        let params = value_types(&function.params, function.params_len)?;
        let results = value_types(&function.results, function.results_len)?;
        let ty = FuncType::new(params, results);
        Ok(Function { number: function.function, export: ExportedFunction { name: name.to_owned(), ty } })
    }

    /// Calls the function with the number `function`, and waits for its end for at most `timeout`
    /// nanoseconds. The output has at most `output_size` bytes.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_CALL`.
    fn call(
        &self,
        function: &Function,
        args: &[u64],
        input: &[u8],
        output_size: u32,
        timeout: Option<NonZeroU64>,
    ) -> Result<Called, Errno> {
        let begin = Instant::now();
        let mut results = vec![0; function.export.ty.results().len()];
        let mut output = vec![0; output_size as usize];
        let mut log = Log::new();
        loop {
            let elapsed = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let mut argument = kwasmi_call {
                function: function.number,
                args_len: u32::try_from(args.len()).map_err(|_| Errno::TOOBIG)?,
                args: args.as_ptr().expose_provenance() as u64,
                results: results.as_mut_ptr().expose_provenance() as u64,
                results_len: u32::try_from(results.len()).map_err(|_| Errno::TOOBIG)?,
                input_len: u32::try_from(input.len()).map_err(|_| Errno::TOOBIG)?,
                input: input.as_ptr().expose_provenance() as u64,
                output: output.as_mut_ptr().expose_provenance() as u64,
                output_size,
                // u64::MAX is KWASMI_UNLIMITED, whose type bindgen does not know.
                timeout: timeout.map_or(u64::MAX, |timeout| timeout.get().saturating_sub(elapsed)),
                log: log.address(),
                log_size: log.size(),
                ..kwasmi_call::default()
            };
            // SAFETY: `args` and `input` are readable arrays of the given lengths; `results`,
            // `output` and `log` are owned buffers of the given sizes. All of them live until the
            // call returns, and are not accessed meanwhile.
            match unsafe { call(self, &mut argument) } {
                // The function has not run.
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
                Ok(_) if argument.returned == 0 => {
                    let (status, code, limit_value) = (argument.status, argument.code, argument.limit_value);
                    let run = kwasmi_run { status, code, limit_value, ..kwasmi_run::default() };
                    return Ok(Called::Ended(RunResult::from_raw(&run, log.text(argument.log_len))));
                }
                Ok(_) => {
                    output.truncate(argument.output_len as usize);
                    return Ok(Called::Returned(results, output));
                }
            }
        }
    }
}

impl Reactor for KernelService {}

impl Reactor for KernelInstance {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ioctl_numbers_encode_direction_and_size() {
        use rustix::ioctl::opcode;
        assert_eq!(kwasmi_function::OPCODE, opcode::read_write::<kwasmi_function>(0xb9, 0x97));
        assert_eq!(kwasmi_call::OPCODE, opcode::read_write::<kwasmi_call>(0xb9, 0x98));
        assert_eq!(size_of::<kwasmi_function>(), 104);
        assert_eq!(size_of::<kwasmi_call>(), 104);
    }

    #[test]
    fn unknown_types_are_an_error() {
        assert_eq!(value_types(&[1, 4, 9], 2), Ok(vec![ValType::I32, ValType::F64]));
        assert_eq!(value_types(&[1, 4, 9], 3), Err(Errno::PROTO));
    }
}
