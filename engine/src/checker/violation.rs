// SPDX-License-Identifier: GPL-2.0

//! The rules that the checker demands of compiled code, and the report of one that is broken.

use core::fmt;

/// A rule that code breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The operation code is not allowed.
    Operation,
    /// A field that the instruction does not use is not 0.
    Field,
    /// The register does not exist.
    Register,
    /// A shift by the width or more.
    Shift,
    /// R6 or R10 is written.
    Fixed,
    /// The address of the context or of the frame is used as a value.
    Value,
    /// The size of the frame is not a multiple of 8, or too large.
    FrameSize,
    /// An access outside the frame, or not aligned.
    Frame,
    /// An access to the context that is not on the list.
    Context,
    /// An access to an address that is not known to be in a memory, or whose index was not masked.
    Address,
    /// An access to more bytes than were checked.
    Bytes,
    /// A call of what is no function and no helper.
    Callee,
    /// A helper does not get the context.
    Argument,
    /// The divisor may be 0, or -1 in a signed division.
    Divisor,
    /// The frame is used, something is called, or the function returns, before the stack limit was
    /// compared.
    Stack,
    /// A jump backwards goes to what does not begin with a checkpoint.
    Loop,
    /// A block for checkpoints does not call the helper.
    Checkpoint,
    /// A jump does not go to an instruction of the function.
    Target,
    /// The code runs off its end.
    End,
    /// A claim is out of order, about no location or fact that can be claimed, or one too many.
    Claim,
    /// The known facts do not imply a claim.
    Unproven,
    /// The function is too large for the checker's memory.
    Memory,
}

impl Rule {
    fn text(self) -> &'static str {
        match self {
            Self::Operation => "the operation is not allowed",
            Self::Field => "an unused field is not 0",
            Self::Register => "there is no such register",
            Self::Shift => "the shift is by the width or more",
            Self::Fixed => "R6 or R10 is written",
            Self::Value => "the address of the context or frame is used as a value",
            Self::FrameSize => "the size of the frame is not allowed",
            Self::Frame => "the access is outside the frame or not aligned",
            Self::Context => "the access to the context is not allowed",
            Self::Address => "the address is not known to be in a memory",
            Self::Bytes => "the access is to more bytes than were checked",
            Self::Callee => "no such function or helper",
            Self::Argument => "R1 is not the context",
            Self::Divisor => "the divisor may be 0 or -1",
            Self::Stack => "the stack limit was not compared",
            Self::Loop => "the jump's target does not begin with a checkpoint",
            Self::Checkpoint => "the block does not call the checkpoint",
            Self::Target => "the jump's target is no instruction",
            Self::End => "the code runs off its end",
            Self::Claim => "the claim is malformed",
            Self::Unproven => "a claim is not proven",
            Self::Memory => "no memory for the checker",
        }
    }
}

/// A place where a function breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Index of the instruction.
    pub at: u32,
    /// The rule.
    pub rule: Rule,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instruction {}: {}", self.at, self.rule.text())
    }
}
