// SPDX-License-Identifier: GPL-2.0

//! Result of a run: the ending of the guest, the reason, and the resources used, from
//! `struct kwasmi_run`.

use crate::{
    exit::Exit,
    limits::{
        Limit,
        Reached, //
    },
    uapi::{
        self,
        kwasmi_run, //
    }, //
};

/// Number of SIGPIPE on Linux.
const SIGPIPE: u32 = 13;

/// Ending of a guest: `status` and `code` of `struct kwasmi_run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest exited with this status.
    Exited(u32),
    /// The guest trapped with this `KWASMI_TRAP_*` code.
    Trapped(u32),
    /// The guest reached this limit.
    Limited(Reached),
    /// The guest was killed.
    Killed,
    /// The guest wrote to a pipe or stream socket without a reader, and was started with
    /// `KWASMI_START_SIGPIPE`.
    BrokenPipe,
    /// No memory was available for the guest.
    OutOfMemory,
    /// The engine failed.
    EngineFault,
    /// A status that this command does not know: its interface is older than that of the kernel
    /// module.
    Unknown(u32),
}

impl Ending {
    /// Converts `status`, `code` and `limit_value` of `struct kwasmi_run`.
    #[must_use]
    pub fn from_raw(status: u32, code: u32, limit_value: u64) -> Self {
        match status {
            uapi::KWASMI_EXITED => Self::Exited(code),
            uapi::KWASMI_TRAPPED => Self::Trapped(code),
            uapi::KWASMI_LIMITED => Self::Limited(Reached { limit: Limit(code), value: limit_value }),
            uapi::KWASMI_KILLED if code == SIGPIPE => Self::BrokenPipe,
            uapi::KWASMI_KILLED => Self::Killed,
            uapi::KWASMI_OUT_OF_MEMORY => Self::OutOfMemory,
            uapi::KWASMI_ENGINE_FAULT => Self::EngineFault,
            _ => Self::Unknown(status),
        }
    }

    /// Returns the exit status of the command. A guest's exit status is reduced to its low 8 bits,
    /// as for any process.
    #[must_use]
    pub fn exit(self) -> Exit {
        match self {
            Self::Exited(code) => Exit::Guest(code.to_le_bytes()[0]),
            Self::Trapped(_) => Exit::Trapped,
            Self::Limited(_) | Self::OutOfMemory => Exit::Limit,
            Self::Killed => Exit::Killed,
            Self::BrokenPipe => Exit::BrokenPipe,
            Self::EngineFault | Self::Unknown(_) => Exit::Failed,
        }
    }

    /// Returns the word for this ending in JSON output (`ended` in `docs/stats.md`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exited(_) => "exited",
            Self::Trapped(_) => "trapped",
            Self::Limited(_) => "limited",
            Self::Killed => "killed",
            Self::BrokenPipe => "broken-pipe",
            Self::OutOfMemory => "out-of-memory",
            Self::EngineFault => "engine-fault",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Returns the text for the error message; `None` for an exit and for a broken pipe, which need
    /// none.
    fn words(self) -> Option<String> {
        let words = match self {
            Self::Exited(_) | Self::BrokenPipe => return None,
            Self::Trapped(_) => "trap",
            Self::Limited(reached) => return Some(reached.to_string()),
            Self::Killed => "killed",
            Self::OutOfMemory => "out of memory",
            Self::EngineFault => "engine fault",
            Self::Unknown(_) => "unknown end: this command is older than the kernel module",
        };
        Some(words.to_owned())
    }
}

/// Returns the text of the specification's test suite for the trap `code`.
fn trap_words(code: u32) -> &'static str {
    match code {
        uapi::KWASMI_TRAP_UNREACHABLE => "unreachable",
        uapi::KWASMI_TRAP_MEMORY_BOUNDS => "out of bounds memory access",
        uapi::KWASMI_TRAP_TABLE_BOUNDS => "out of bounds table access",
        uapi::KWASMI_TRAP_NULL_ELEMENT => "uninitialized element",
        uapi::KWASMI_TRAP_DIVIDE_BY_ZERO => "integer divide by zero",
        uapi::KWASMI_TRAP_INTEGER_OVERFLOW => "integer overflow",
        uapi::KWASMI_TRAP_BAD_CONVERSION => "invalid conversion to integer",
        uapi::KWASMI_TRAP_BAD_SIGNATURE => "indirect call type mismatch",
        _ => "unknown kind",
    }
}

/// Result of a run: `struct kwasmi_run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunResult {
    /// Ending of the guest.
    pub ending: Ending,
    /// Text of the kernel's log buffer; may be empty.
    pub text: String,
    /// Fuel used, about one unit per instruction.
    pub fuel_used: u64,
    /// Largest size of the linear memories, in bytes.
    pub memory_peak: u64,
    /// Largest amount of memory that the engine took for the instance, linear memories included, in
    /// bytes.
    pub heap_peak: u64,
    /// Deepest use of the engine stack, in bytes.
    pub stack_peak: u64,
}

impl RunResult {
    /// Returns the result in the structure of an ioctl, with the text of its log buffer.
    #[must_use]
    pub fn from_raw(run: &kwasmi_run, text: String) -> Self {
        Self {
            ending: Ending::from_raw(run.status, run.code, run.limit_value),
            text,
            fuel_used: run.fuel_used,
            memory_peak: run.memory_peak,
            heap_peak: run.heap_peak,
            stack_peak: run.stack_peak,
        }
    }

    /// Returns the reason for the ending, in one line; `None` if the guest exited, or ended by
    /// SIGPIPE.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let words = self.ending.words()?;
        let text = match self.ending {
            Ending::Trapped(code) if self.text.is_empty() => trap_words(code),
            _ => self.text.as_str(),
        };
        Some(match self.ending {
            _ if text.is_empty() => words,
            Ending::Trapped(_) | Ending::EngineFault => format!("{words}: {text}"),
            _ => format!("{words} ({text})"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(status: u32, code: u32, text: &str) -> RunResult {
        RunResult {
            ending: Ending::from_raw(status, code, 1000),
            text: text.to_owned(),
            fuel_used: 0,
            memory_peak: 0,
            heap_peak: 0,
            stack_peak: 0,
        }
    }

    #[test]
    fn each_ending_has_its_exit_status() {
        let statuses = [
            (uapi::KWASMI_EXITED, 0, 0),
            (uapi::KWASMI_EXITED, 42, 42),
            (uapi::KWASMI_EXITED, 255, 255),
            (uapi::KWASMI_EXITED, 256 + 7, 7),
            (uapi::KWASMI_TRAPPED, uapi::KWASMI_TRAP_UNREACHABLE, 134),
            (uapi::KWASMI_TRAPPED, uapi::KWASMI_TRAP_OTHER, 134),
            (uapi::KWASMI_TRAPPED, 999, 134),
            (uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_FUEL, 124),
            (uapi::KWASMI_LIMITED, 999, 124),
            (uapi::KWASMI_KILLED, 0, 137),
            (uapi::KWASMI_KILLED, SIGPIPE, 141),
            (uapi::KWASMI_OUT_OF_MEMORY, 0, 124),
            (uapi::KWASMI_ENGINE_FAULT, 0, 125),
            (999, 0, 125),
        ];
        for (status, code, expected) in statuses {
            assert_eq!(Ending::from_raw(status, code, 0).exit().status(), expected, "{status} {code}");
        }
    }

    #[test]
    fn exits_and_broken_pipes_have_no_reason() {
        assert_eq!(result(uapi::KWASMI_EXITED, 1, "").reason(), None);
        assert_eq!(result(uapi::KWASMI_KILLED, SIGPIPE, "in _start").reason(), None);
        for status in [1, 2, 3, 4, 5, 999] {
            assert!(result(status, 1, "").reason().is_some(), "{status}");
        }
    }

    #[test]
    fn the_kernels_text_is_part_of_the_reason() {
        let trap = uapi::KWASMI_TRAPPED;
        assert_eq!(
            result(trap, uapi::KWASMI_TRAP_DIVIDE_BY_ZERO, "").reason().as_deref(),
            Some("trap: integer divide by zero")
        );
        assert_eq!(
            result(trap, uapi::KWASMI_TRAP_DIVIDE_BY_ZERO, "at 0x12").reason().as_deref(),
            Some("trap: at 0x12")
        );
        assert_eq!(
            result(uapi::KWASMI_ENGINE_FAULT, 0, "panicked").reason().as_deref(),
            Some("engine fault: panicked")
        );
        assert_eq!(
            result(uapi::KWASMI_LIMITED, uapi::KWASMI_LIMIT_FUEL, "in _start").reason().as_deref(),
            Some("limit reached: fuel 1000 (in _start)")
        );
        assert_eq!(result(uapi::KWASMI_KILLED, 0, "").reason().as_deref(), Some("killed"));
        assert_eq!(result(uapi::KWASMI_KILLED, 0, "in _start").reason().as_deref(), Some("killed (in _start)"));
    }
}
