// SPDX-License-Identifier: GPL-2.0

//! Reasons why an object file is refused.

use std::fmt;

/// Reason why an object file is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The file is not an ELF file, or has a part that the crate `object` cannot copy.
    Format(object::build::Error),
    /// A function's name starts like a mangled Rust name, but cannot be demangled.
    Name {
        /// The name.
        symbol: String,
    },
    /// A symbol that must be global is not defined.
    Missing {
        /// Name of the symbol.
        symbol: String,
    },
    /// The file needs symbols that it must not need.
    Undefined {
        /// Names of the symbols, in alphabetical order.
        symbols: Vec<String>,
        /// Subject and verb for the message, such as "the kernel does not export".
        reason: &'static str,
    },
    /// A relocation of a section that stays refers to debug information.
    DebugReference {
        /// Name of the section with the relocation.
        section: String,
        /// Offset in that section.
        offset: u64,
    },
    /// The file lacks a section, or the section lacks data or relocations.
    Section {
        /// Name of the section.
        section: String,
    },
    /// An instruction uses the floating-point or vector state, which the kernel does not save.
    FloatingPoint {
        /// Place of the instruction.
        place: Place,
        /// The instruction in Intel's syntax.
        instruction: String,
        /// State that the instruction uses: the name of a register, or a description.
        state: String,
    },
    /// Bytes in a section of code are not an instruction.
    NotCode {
        /// Place of the bytes.
        place: Place,
    },
}

/// Place of an instruction.
#[derive(Debug)]
pub(crate) struct Place {
    /// Function with the instruction. The section's name, if no function of the section starts
    /// before the instruction.
    pub(crate) function: String,
    /// Offset from the start of the function or section.
    pub(crate) offset: u64,
    /// Address in the section.
    pub(crate) address: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, offset, address } = self;
        write!(formatter, "{function}+{offset:#x} (address {address:#x})")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(error) => write!(formatter, "{error}"),
            Self::Name { symbol } => write!(formatter, "{symbol}: the name cannot be demangled"),
            Self::Missing { symbol } => write!(formatter, "{symbol}: the symbol is not defined"),
            Self::Undefined { symbols, reason } => {
                let symbols = symbols.join(", ");
                write!(formatter, "needs symbols that {reason}: {symbols}")
            }
            Self::DebugReference { section, offset } => {
                write!(formatter, "{section}+{offset:#x}: the relocation refers to debug information")
            }
            Self::Section { section } => {
                write!(formatter, "{section}: the section is missing, or has no data or relocations")
            }
            Self::FloatingPoint { place, instruction, state } => {
                write!(formatter, "{place}: `{instruction}` uses {state}, which the kernel does not save")
            }
            Self::NotCode { place } => write!(formatter, "{place}: the bytes are not an instruction"),
        }
    }
}

impl From<object::build::Error> for Refusal {
    fn from(error: object::build::Error) -> Self {
        Self::Format(error)
    }
}
