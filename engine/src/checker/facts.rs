// SPDX-License-Identifier: GPL-2.0

//! Facts about values, and the rules by which arithmetic and compares change them. Every function
//! here is a rule that must be true for all values: the checker's proofs are made of them.

use crate::{
    ebpf::{
        Reg,
        jmp, //
    },
    vmctx::{
        Fact,
        STACK_PLUS_MAX,
        Shape, //
    },
};

/// Number of registers.
const REGISTERS: usize = 11;

/// Knowledge about a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    #[default]
    Any,
    /// The value is below 2^32.
    U32,
    /// The value is this number.
    Const(u64),
    /// The value is the context's address.
    Context,
    /// The value is the frame pointer.
    Frame,
    /// The value plus `bytes` is at most the size of `memory`, today and later; `bytes` is not 0.
    /// If `is_masked`, the value is at most the memory's mask, today and later, even if the
    /// processor has mispredicted jumps.
    Index { memory: u8, bytes: u32, is_masked: bool },
    /// The value is the present address of `memory`.
    Base { memory: u8 },
    /// The value is an address in `memory` with `bytes` bytes of it from there on, as long as the
    /// memory does not move.
    Address { memory: u8, bytes: u32 },
    /// The value is the present mask of `memory`, as of [`index_mask`](crate::vmctx::index_mask).
    Mask { memory: u8 },
    /// The value is the size of `memory` at some time, and at least `floor`.
    Size { memory: u8, floor: u32 },
    /// The value is the stack limit plus `plus`, at most [`STACK_PLUS_MAX`].
    StackLimit { plus: u32 },
}

impl Known {
    /// The knowledge that a claim gives.
    pub(super) fn new(fact: Fact) -> Self {
        match fact {
            Fact::Any => Self::Any,
            Fact::U32 => Self::U32,
            Fact::Index { memory, bytes, is_masked } => Self::Index { memory, bytes, is_masked },
            Fact::Base { memory } => Self::Base { memory },
            Fact::Address { memory, bytes } => Self::Address { memory, bytes },
        }
    }

    /// Set if the knowledge ends when memories move or grow.
    pub(super) fn is_momentary(self) -> bool {
        matches!(self, Self::Base { .. } | Self::Address { .. } | Self::Mask { .. })
    }

    /// Set if it shows `fact`.
    pub(super) fn implies(self, fact: Fact, shape: &Shape) -> bool {
        match (self, fact) {
            (_, Fact::Any) | (Self::U32 | Self::Index { .. }, Fact::U32) => true,
            (Self::Const(value), Fact::U32) => value <= u64::from(u32::MAX),
            // A constant is what it is whatever the processor speculates, and below the size.
            (Self::Const(value), Fact::Index { memory, bytes, .. }) => {
                below(value, memory, shape) >= bytes && bytes > 0
            }
            (
                Self::Index { memory, bytes, is_masked },
                Fact::Index { memory: other, bytes: wanted, is_masked: mask },
            ) => memory == other && bytes >= wanted && is_masked >= mask,
            (Self::Address { memory, bytes }, Fact::Address { memory: other, bytes: wanted }) => {
                memory == other && bytes >= wanted
            }
            (Self::Base { memory }, Fact::Base { memory: other }) => memory == other,
            (Self::Base { memory }, Fact::Address { memory: other, bytes }) => {
                memory == other && below(0, memory, shape) >= bytes
            }
            _ => false,
        }
    }

    /// Knowledge about the sum in 64 bits.
    pub(super) fn plus(self, other: Self, shape: &Shape) -> Self {
        let sum = |one: Self, other: Self| match (one, other) {
            (Self::Base { memory }, Self::Index { memory: same, bytes, is_masked })
                if memory == same && is_masked >= shape.has_masks =>
            {
                Some(Self::Address { memory, bytes })
            }
            (Self::Base { memory }, Self::Const(value)) => match below(value, memory, shape) {
                0 => None,
                bytes => Some(Self::Address { memory, bytes }),
            },
            // With masks, only the offset of an access may lead away from a masked index: it is
            // shorter than the pad.
            (Self::Address { memory, bytes }, Self::Const(value)) if !shape.has_masks => {
                Some(Self::Address { memory, bytes: less(bytes, value)? })
            }
            (Self::Index { memory, bytes, .. }, Self::Const(value)) => {
                Some(Self::Index { memory, bytes: less(bytes, value)?, is_masked: false })
            }
            (Self::StackLimit { plus }, Self::Const(value)) => {
                let plus = u32::try_from(value).ok()?.checked_add(plus)?;
                (plus <= STACK_PLUS_MAX).then_some(Self::StackLimit { plus })
            }
            _ => None,
        };
        sum(self, other).or_else(|| sum(other, self)).unwrap_or_default()
    }

    /// Knowledge about the difference in 64 bits.
    pub(super) fn minus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Size { memory, floor }, Self::Const(value)) => match u32::try_from(value) {
                Ok(bytes) if bytes > 0 && bytes <= floor => Self::Index { memory, bytes, is_masked: false },
                _ => Self::Any,
            },
            _ => Self::Any,
        }
    }

    /// Knowledge about the bitwise AND in 64 bits.
    pub(super) fn and(self, other: Self) -> Self {
        // The index is below the present size: knowledge about an index is about all later sizes,
        // and no memory shrinks. The present mask has all bits of numbers below the present size,
        // so the index stays as it is. This would be wrong for a mask from before the memory grew;
        // knowledge about a mask ends there. If jumps were mispredicted the index may be any
        // number, but the AND is at most the mask, and later masks are not smaller.
        match (self, other) {
            (Self::Index { memory, bytes, .. }, Self::Mask { memory: same })
            | (Self::Mask { memory: same }, Self::Index { memory, bytes, .. })
                if memory == same =>
            {
                Self::Index { memory, bytes, is_masked: true }
            }
            _ => Self::Any,
        }
    }

    /// Knowledge about the low 32 bits.
    pub(super) fn low(self) -> Self {
        match self {
            Self::Const(value) => Self::Const(value & u64::from(u32::MAX)),
            Self::Index { .. } => self,
            _ => Self::U32,
        }
    }

    /// Knowledge about a value that this was known about, when it is not above one that `bound` is
    /// known about.
    fn not_above(self, bound: Self) -> Self {
        // A compare does not hold for what the processor speculates: it masks nothing.
        match (self, bound) {
            (Self::Any | Self::U32 | Self::Const(_), Self::Index { memory, bytes, .. }) => {
                Self::Index { memory, bytes, is_masked: false }
            }
            (Self::Index { memory, bytes, is_masked }, Self::Index { memory: other, bytes: more, .. })
                if memory != other || bytes < more =>
            {
                Self::Index { memory: other, bytes: more, is_masked: is_masked && memory == other }
            }
            _ => self,
        }
    }

    /// Knowledge about a value that this was known about, when it is not below one that `bound` is
    /// known about.
    fn not_below(self, bound: Self) -> Self {
        match (self, bound) {
            (Self::Size { memory, floor }, Self::Const(value)) => {
                let least = u32::try_from(value).unwrap_or(u32::MAX);
                Self::Size { memory, floor: floor.max(least) }
            }
            _ => self,
        }
    }
}

/// Bytes that every memory `memory` of this shape has from `start` on.
pub(super) fn below(start: u64, memory: u8, shape: &Shape) -> u32 {
    let minimum = shape.memories.get(usize::from(memory)).copied().unwrap_or(0);
    u32::try_from(minimum.saturating_sub(start)).unwrap_or(u32::MAX)
}

/// `bytes` minus `value`, unless nothing is left.
fn less(bytes: u32, value: u64) -> Option<u32> {
    u32::try_from(value).ok().and_then(|value| bytes.checked_sub(value)).filter(|bytes| *bytes > 0)
}

/// Facts about a divisor, a bit each.
mod divisor {
    /// The value is not 0.
    pub(super) const NOT_ZERO: u8 = 1;
    /// The low 32 bits are not 0.
    pub(super) const LOW_NOT_ZERO: u8 = 2;
    /// The value is not -1.
    pub(super) const NOT_MINUS_ONE: u8 = 4;
    /// The low 32 bits are not -1.
    pub(super) const LOW_NOT_MINUS_ONE: u8 = 8;
}

/// Knowledge about a value, also as a divisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AbstractValue {
    pub(super) known: Known,
    divisor: u8,
}

impl From<Known> for AbstractValue {
    fn from(known: Known) -> Self {
        let Known::Const(value) = known else { return Self { known, divisor: 0 } };
        let mut divisor = 0;
        for is_wide in [false, true] {
            divisor |= differing(0, is_wide, value) | differing(u64::MAX, is_wide, value);
        }
        Self { known, divisor }
    }
}

impl AbstractValue {
    /// Set if an instruction of this width may divide by it.
    pub(super) fn may_divide(self, is_wide: bool, is_signed: bool) -> bool {
        let needed = match (is_wide, is_signed) {
            (true, false) => divisor::NOT_ZERO,
            (true, true) => divisor::NOT_ZERO | divisor::NOT_MINUS_ONE,
            (false, false) => divisor::LOW_NOT_ZERO,
            (false, true) => divisor::LOW_NOT_ZERO | divisor::LOW_NOT_MINUS_ONE,
        };
        self.divisor & needed == needed
    }

    /// The low 32 bits of the value.
    pub(super) fn low(self) -> Self {
        let mut divisor = self.divisor & (divisor::LOW_NOT_ZERO | divisor::LOW_NOT_MINUS_ONE);
        if divisor & divisor::LOW_NOT_ZERO != 0 {
            divisor |= divisor::NOT_ZERO;
        }
        Self { known: self.known.low(), divisor: divisor | divisor::NOT_MINUS_ONE }
    }
}

/// Divisor facts of a value that differs from `other` in this width, if `other` is 0 or -1; for a
/// constant `value` see whether it differs.
fn differing(other: u64, is_wide: bool, value: u64) -> u8 {
    let is_equal = if is_wide { value == other } else { (value ^ other).trailing_zeros() >= 32 };
    if is_equal { 0 } else { differs(other, is_wide) }
}

/// Divisor facts of a value that differs from `other` in this width.
fn differs(other: u64, is_wide: bool) -> u8 {
    let low = other & u64::from(u32::MAX);
    match (is_wide, other) {
        (true, 0) => divisor::NOT_ZERO,
        (true, u64::MAX) => divisor::NOT_MINUS_ONE,
        (false, _) if low == 0 => divisor::NOT_ZERO | divisor::LOW_NOT_ZERO,
        (false, _) if low == u64::from(u32::MAX) => divisor::NOT_MINUS_ONE | divisor::LOW_NOT_MINUS_ONE,
        _ => 0,
    }
}

/// Knowledge about all registers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Registers([AbstractValue; REGISTERS]);

impl Registers {
    /// Knowledge about `reg`.
    pub(super) fn get(&self, reg: Reg) -> AbstractValue {
        self.0.get(usize::from(reg.0)).copied().unwrap_or_default()
    }

    /// Sets the knowledge about `reg`.
    pub(super) fn set(&mut self, reg: Reg, value: AbstractValue) {
        if let Some(place) = self.0.get_mut(usize::from(reg.0)) {
            *place = value;
        }
    }

    /// Learns from a compare of `dst` with a register, or else with the constant `imm`, that was
    /// true or not.
    pub(super) fn learn(&mut self, op: u8, is_wide: bool, dst: Reg, src: Option<Reg>, imm: Known, is_true: bool) {
        let left = self.get(dst);
        let right = src.map_or(AbstractValue::from(imm), |src| self.get(src));
        match op {
            jmp::JEQ | jmp::JNE if (op == jmp::JNE) == is_true => {
                if let Known::Const(value) = right.known {
                    self.set(dst, AbstractValue { divisor: left.divisor | differs(value, is_wide), ..left });
                }
            }
            jmp::JGT | jmp::JGE | jmp::JLT | jmp::JLE if is_wide => {
                // One of them is not above the other; it does not matter whether they may be equal.
                let (left_known, right_known) = if matches!(op, jmp::JLT | jmp::JLE) == is_true {
                    (left.known.not_above(right.known), right.known.not_below(left.known))
                } else {
                    (left.known.not_below(right.known), right.known.not_above(left.known))
                };
                self.set(dst, AbstractValue { known: left_known, ..left });
                if let Some(src) = src.filter(|src| *src != dst) {
                    self.set(src, AbstractValue { known: right_known, ..right });
                }
            }
            _ => {}
        }
    }
}
