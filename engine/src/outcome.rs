// SPDX-License-Identifier: GPL-2.0

//! Functions of a guest that the engine calls, and what comes of a run.

use crate::{
    ffi::{
        Ending,
        Trap, //
    },
    host::End,
    invoke::Functions, //
};
use alloc::string::String;
use wasmi::TrapCode;

/// Largest exit status that a process can have.
const STATUS_MAX: u32 = 255;

/// Result of [`Instance::run`](crate::instance::Instance::run).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guest has ended. Later calls return the same value.
    Ended(End),
    /// The host asked for a pause. The next call of [`Instance::run`](crate::instance::Instance::run) continues the guest.
    Interrupted,
    /// The reactor waits for its next call.
    Idle,
}

/// Resources that a guest has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel, about one unit an instruction.
    pub fuel: u64,
    /// Peak of the linear memory, in bytes.
    pub memory_peak: u64,
}

/// Function that the engine calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The start function.
    Start,
    /// [`ENTRY`](crate::interface::ENTRY).
    Program,
    /// [`INITIALIZE`](crate::invoke::INITIALIZE).
    Initialize,
    /// The function of an [`Invocation`](crate::invoke::Invocation), or of a call of a reactor.
    Invoked,
}

impl Entry {
    /// Returns the functions that run first, of a module with or without a start function.
    pub(crate) fn all(has_start: bool, functions: &Functions<'_>) -> impl Iterator<Item = Self> {
        let main: &[Self] = match functions {
            Functions::Program => &[Self::Program],
            Functions::Invoked(_) => &[Self::Initialize, Self::Invoked],
            Functions::Reactor => &[Self::Initialize],
        };
        has_start.then_some(Self::Start).into_iter().chain(main.iter().copied())
    }
}

/// The end of a guest that calls `proc_exit` with `status`, and the message of the trap if it is
/// one. A status that no process could have is a trap, so that a failure does not look like
/// success.
pub(crate) fn exited(status: u32) -> (End, Option<String>) {
    if status <= STATUS_MAX {
        return (End::exited(status), None);
    }
    let trap = alloc::format!("proc_exit: exit status {status} is outside 0..={STATUS_MAX}");
    (End { ending: Ending::Trapped, code: Trap::Other as u32 }, Some(trap))
}

/// The interface's number of a trap.
pub(crate) fn trap_of(code: TrapCode) -> Trap {
    match code {
        TrapCode::UnreachableCodeReached => Trap::Unreachable,
        TrapCode::MemoryOutOfBounds => Trap::MemoryBounds,
        TrapCode::TableOutOfBounds => Trap::TableBounds,
        TrapCode::IndirectCallToNull => Trap::NullElement,
        TrapCode::IntegerDivisionByZero => Trap::DivideByZero,
        TrapCode::IntegerOverflow => Trap::IntegerOverflow,
        TrapCode::BadConversionToInteger => Trap::BadConversion,
        TrapCode::BadSignature => Trap::BadSignature,
        _ => Trap::Other,
    }
}
