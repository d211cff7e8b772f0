// SPDX-License-Identifier: GPL-2.0

//! Runs programs in the kernel through `/dev/kwasmi`.

use crate::runner::{
    Outcome,
    Runner,
    Trap, //
};
use kwasmi::{
    device::{
        Device as _,
        Engine,
        Instance as _,
        Module as _,
        Refusal,
        Start, //
    },
    kernel_device::KernelDevice,
    limits::Limit,
    run_result::Ending,
    uapi, //
};
use std::{
    io,
    num::NonZeroU64, //
};

/// Limits that exceed the defaults: one test has a function with a hundred results.
const LIMITS: [(u32, NonZeroU64); 1] = [(uapi::KWASMI_LIMIT_ARITY, NonZeroU64::MIN.saturating_add(99))];

/// Error number of `KWASMI_IOC_LOAD` and `KWASMI_IOC_START` for a refused program.
const ENOEXEC: i32 = 8;

/// Error number of an interrupted run, which must be called again.
const EINTR: i32 = 4;

/// Runner by `/dev/kwasmi`.
#[derive(Debug)]
pub struct InKernel(KernelDevice);

impl InKernel {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// The errors of open(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self(KernelDevice::open()?))
    }

    fn try_run(&self, wasm: &[u8]) -> Result<Outcome, Refusal> {
        let limits = LIMITS.iter().map(|(limit, value)| (Limit(*limit), *value)).collect();
        let instance = self.0.load(wasm, &limits, Engine::Auto)?.start(&Start::default())?;
        loop {
            match instance.run() {
                Ok(result) => return Ok(outcome(result.ending, &result.text)),
                Err(refusal) if refusal.errno.raw_os_error() == EINTR => {}
                Err(refusal) => return Ok(Outcome::Other(format!("{refusal}"))),
            }
        }
    }
}

fn outcome(ending: Ending, text: &str) -> Outcome {
    let trap = match ending {
        Ending::Exited(status) => return Outcome::Exited(status),
        Ending::Limited(reached) if reached.limit == Limit(uapi::KWASMI_LIMIT_STACK) => return Outcome::Exhausted,
        Ending::Trapped(uapi::KWASMI_TRAP_UNREACHABLE) => Trap::Unreachable,
        Ending::Trapped(uapi::KWASMI_TRAP_MEMORY_BOUNDS) => Trap::MemoryBounds,
        Ending::Trapped(uapi::KWASMI_TRAP_TABLE_BOUNDS) => Trap::TableBounds,
        Ending::Trapped(uapi::KWASMI_TRAP_NULL_ELEMENT) => Trap::NullElement,
        Ending::Trapped(uapi::KWASMI_TRAP_DIVIDE_BY_ZERO) => Trap::DivideByZero,
        Ending::Trapped(uapi::KWASMI_TRAP_INTEGER_OVERFLOW) => Trap::IntegerOverflow,
        Ending::Trapped(uapi::KWASMI_TRAP_BAD_CONVERSION) => Trap::BadConversion,
        Ending::Trapped(uapi::KWASMI_TRAP_BAD_SIGNATURE) => Trap::BadSignature,
        Ending::Trapped(_) if Trap::from_words(text) == Some(Trap::Exception) => Trap::Exception,
        Ending::Limited(reached) => return Outcome::Limited(reached.to_string()),
        other => return Outcome::Other(format!("{other:?}: {text}")),
    };
    Outcome::Trapped(trap)
}

impl Runner for InKernel {
    fn run(&mut self, wasm: &[u8]) -> Outcome {
        match self.try_run(wasm) {
            Ok(outcome) => outcome,
            Err(refusal) if refusal.errno.raw_os_error() == ENOEXEC => Outcome::Refused(refusal.to_string()),
            Err(refusal) if refusal.reached.is_some() => Outcome::Limited(refusal.to_string()),
            Err(refusal) => Outcome::Other(format!("{refusal}")),
        }
    }
}
