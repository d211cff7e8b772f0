// SPDX-License-Identifier: GPL-2.0

//! Interface of runners, and the outcomes of programs.

use std::fmt;

/// Kind of trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// Execution of `unreachable`.
    Unreachable,
    /// Memory access out of bounds.
    MemoryBounds,
    /// Table access out of bounds.
    TableBounds,
    /// Indirect call of a null element.
    NullElement,
    /// Integer division by zero.
    DivideByZero,
    /// Integer overflow.
    IntegerOverflow,
    /// Conversion of a NaN to an integer.
    BadConversion,
    /// Indirect call of a function of another type.
    BadSignature,
    /// Exception that nothing catches.
    Exception,
}

/// Messages of traps: those of the specification's tests, which has several for some traps, and
/// those of wasmi.
const WORDS: [(&str, Trap); 11] = [
    ("unreachable", Trap::Unreachable),
    ("wasm `unreachable` instruction executed", Trap::Unreachable),
    ("out of bounds memory access", Trap::MemoryBounds),
    ("out of bounds table access", Trap::TableBounds),
    ("undefined element", Trap::TableBounds),
    ("uninitialized element", Trap::NullElement),
    ("integer divide by zero", Trap::DivideByZero),
    ("integer overflow", Trap::IntegerOverflow),
    ("invalid conversion to integer", Trap::BadConversion),
    ("indirect call type mismatch", Trap::BadSignature),
    ("uncaught exception", Trap::Exception),
];

impl Trap {
    /// Returns the trap whose message `text` begins with.
    #[must_use]
    pub fn from_words(text: &str) -> Option<Self> {
        WORDS.iter().find(|(words, _)| text.starts_with(words)).map(|(_, trap)| *trap)
    }
}

/// Outcome of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The program exited with this status.
    Exited(u32),
    /// The program trapped.
    Trapped(Trap),
    /// The program exhausted its stack.
    Exhausted,
    /// The program was refused, or could not be instantiated. Holds the message.
    Refused(String),
    /// The program reached another limit than that of the stack. Holds the message.
    Limited(String),
    /// Any other ending, in words.
    Other(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(0) => f.write_str("returned"),
            Self::Exited(crate::program::MISMATCH) => f.write_str("result differs"),
            Self::Exited(status) => write!(f, "exited with status {status}"),
            Self::Trapped(trap) => write!(f, "trapped: {trap:?}"),
            Self::Exhausted => f.write_str("stack exhausted"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Limited(words) | Self::Other(words) => f.write_str(words),
        }
    }
}

/// Runner of programs.
pub trait Runner {
    /// Loads, instantiates and runs `wasm`.
    fn run(&mut self, wasm: &[u8]) -> Outcome;
}
