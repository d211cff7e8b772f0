// SPDX-License-Identifier: GPL-2.0

//! What runs programs, and how they end.

use std::fmt;

/// A trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// `unreachable`.
    Unreachable,
    /// A memory access out of bounds.
    MemoryBounds,
    /// A table access out of bounds.
    TableBounds,
    /// A call of a null element.
    NullElement,
    /// A division by zero.
    DivideByZero,
    /// An integer overflow.
    IntegerOverflow,
    /// A conversion to an integer that there is none for.
    BadConversion,
    /// An indirect call of a function of another type.
    BadSignature,
}

/// The words of traps in the specification's tests, of which some differ for the same trap, and those of wasmi.
const WORDS: [(&str, Trap); 10] = [
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
];

impl Trap {
    /// The trap that `text` begins with the words of.
    #[must_use]
    pub fn from_words(text: &str) -> Option<Self> {
        WORDS.iter().find(|(words, _)| text.starts_with(words)).map(|(_, trap)| *trap)
    }
}

/// What came of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended with this exit status.
    Exited(u32),
    /// It trapped.
    Trapped(Trap),
    /// It ran out of stack.
    Exhausted,
    /// It was not accepted, or not instantiated; why.
    Refused(String),
    /// It reached a limit, other than that of the stack; which.
    Limited(String),
    /// Something else, in words.
    Other(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(0) => f.write_str("it returned"),
            Self::Exited(crate::program::MISMATCH) => f.write_str("another result"),
            Self::Exited(status) => write!(f, "it exited with {status}"),
            Self::Trapped(trap) => write!(f, "a trap: {trap:?}"),
            Self::Exhausted => f.write_str("it ran out of stack"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Limited(words) | Self::Other(words) => f.write_str(words),
        }
    }
}

/// A way to run programs.
pub trait Runner {
    /// Loads, instantiates and runs `wasm`.
    fn run(&mut self, wasm: &[u8]) -> Outcome;
}
