// SPDX-License-Identifier: GPL-2.0

//! The contract between compiled code and its surroundings: the context that R6 points to, and the
//! helpers.
//!
//! # Registers
//!
//! R6 holds the context's address in every compiled function: it is callee-saved, the entry stub
//! sets it, and no compiled instruction writes it. A function takes the first five words of its
//! parameters in R1 to R5 and the rest in [`ARGS`] from index 5 on. A function returns the first
//! word of its results in R0 and the rest in [`ARGS`] from index 1 on. A helper takes the context
//! in R1 if [`Helper::takes_context`], then its arguments; its result is in R0. Calls preserve R6
//! to R9.
//!
//! # Values
//!
//! A value takes a word of 64 bits, a v128 two: the low one, then the high one. An i32 or f32 is
//! zero-extended in registers, in [`ARGS`] and in globals. A reference is 0 for null; a function
//! reference is the function's index plus 1.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "offsets are computed from constants when this is compiled"
)]

/// Bytes of a WebAssembly page.
pub const PAGE: u64 = 65536;

/// Most pages of a memory: the size in bytes has 32 bits.
pub const PAGES_MAX: u64 = 65535;

/// Most memories of a module.
pub const MEMORIES_MAX: u32 = 16;

/// A field of a memory. Compiled code reads it and never writes it. A memory never shrinks; its
/// base may change in any call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryField {
    /// Address of the first byte.
    Base,
    /// Size in bytes, a multiple of [`PAGE`], at most [`PAGES_MAX`] of them.
    Size,
    /// Mask of indices, see [`index_mask`].
    Mask,
}

/// Mask of the indices of a memory of `size` bytes: the next power of two, minus 1; 0 for an empty
/// memory.
///
/// The processor may execute an access speculatively before the bounds check that it depends on. If
/// [`Shape::has_masks`], compiled code therefore ANDs each checked index with the mask before it
/// adds the base. A checked index is below the size, and stays as it is. Any other one is below the
/// power of two afterwards: the access is to the memory or to what follows it, up to
/// [`SPECULATION_PAD`] bytes behind the power of two.
#[must_use]
pub const fn index_mask(size: u64) -> u64 {
    match size.checked_next_power_of_two() {
        Some(power) if size > 0 => power - 1,
        _ => 0,
    }
}

/// Bytes that must follow the power of two above a memory's size and hold nothing that a guest may
/// not read, as must the bytes between the size and the power of two. An access to an address with
/// a masked index ends at most so many bytes behind the index: its constant offset has 15 bits.
pub const SPECULATION_PAD: u64 = 65536;

const _: () = assert!(i16::MAX as u64 + 8 <= SPECULATION_PAD);

/// Offset of a memory's field in the context, in bytes.
#[must_use]
pub const fn memory_offset(memory: u32, field: MemoryField) -> i16 {
    let start = if memory == 0 { 0 } else { 64 + 24 * (memory as i16 - 1) };
    start + 8 * field as i16
}

const _: () = assert!(memory_offset(0, MemoryField::Mask) < INTERRUPT);
const _: () = assert!(memory_offset(MEMORIES_MAX - 1, MemoryField::Mask) < LIMITS);

/// Offset of the checkpoint word, 8 bytes, read-only: not 0 if the guest must call
/// [`Helper::Checkpoint`].
pub const INTERRUPT: i16 = 24;

/// Offset of the stack limit, 8 bytes, read-only: a frame must end above it. Below it are
/// [`STACK_RED_ZONE`] bytes for small frames, [`FRAME_MAX`] bytes for the prologue of a function
/// that has not compared yet, and room for helpers. It is [`STACK_LIMIT_RAISED`] while a checkpoint
/// is requested.
pub const STACK_LIMIT: i16 = 32;

/// Stack limit while a checkpoint is requested: above every stack, and no sum with at most
/// [`STACK_PLUS_MAX`] wraps around.
pub const STACK_LIMIT_RAISED: u64 = u64::MAX - STACK_PLUS_MAX as u64;

/// Most that a function adds to the stack limit before it compares.
pub const STACK_PLUS_MAX: u32 = u16::MAX as u32;

/// A function whose frame has at most so many bytes may compare R10 itself with [`STACK_LIMIT`].
pub const STACK_RED_ZONE: u32 = 1024;

/// Offset of the limits of memory 0, 8 bytes each, read-only: word `n` minus 1 is the size minus
/// `n`, the highest index that has `n` bytes behind it. Compiled code may use it if the memory's
/// declared minimum is at least `n` bytes.
pub const LIMITS: i16 = 512;

/// Number of words at [`LIMITS`].
pub const LIMITS_MAX: u32 = 64;

/// Offset of the arguments and results that registers have no room for, [`ARGS_MAX`] words of 8
/// bytes.
pub const ARGS: i16 = LIMITS + 8 * LIMITS_MAX as i16;

/// Number of words at [`ARGS`].
pub const ARGS_MAX: u32 = 1024;

/// Offset of the tail call word, the last of [`ARGS`]: not 0 if the function that returns has
/// arranged a tail call.
///
/// A function that calls others in tail position has a body, a function of its own behind those
/// that the module defines. For such a call the body leaves all arguments at [`ARGS`], has
/// [`Helper::ResolveTail`] look up the function, sets the word and returns. Only the function of
/// the body calls bodies: it clears the word and calls what was looked up, until the word is 0.
pub const TAIL_CALL: i16 = ARGS + 8 * (ARGS_MAX as i16 - 1);

/// Offset of the exception word, the last of [`ARGS`] but one: not 0 while an exception is being
/// thrown, when it is the exception's handle.
///
/// [`Helper::Throw`] and [`Helper::ThrowRef`] set the word. The code after them, and after each
/// call of a function, goes to the landing of the innermost try of the function if the word is not
/// 0, or returns if there is none. The landing calls [`Helper::CatchTag`] and [`Helper::CatchAll`],
/// which clear the word if they catch the exception.
pub const EXCEPTION: i16 = TAIL_CALL - 8;

/// Number of words at [`ARGS`] that have no other purpose.
pub const ARGS_FREE: u32 = ARGS_MAX - 2;

/// Offset of the globals' words, 8 bytes each.
pub const GLOBALS: i16 = ARGS + 8 * ARGS_MAX as i16;

/// Most words of globals of a compiled module: the offset of an access has 15 bits.
pub const GLOBALS_MAX: u32 = (i16::MAX as u32 - GLOBALS as u32 - 7) / 8;

/// Deepest frame of a function in bytes: the offset of an access has 15 bits.
pub const FRAME_MAX: u32 = 32760;

/// Reasons of a trap, [`Helper::Trap`]'s argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TrapReason {
    /// `unreachable`.
    Unreachable = 1,
    /// Access outside a memory.
    MemoryBounds,
    /// Access outside a table.
    TableBounds,
    /// Indirect call of a null reference.
    NullElement,
    /// Indirect call of a function of another type.
    BadSignature,
    /// Integer division by zero.
    DivideByZero,
    /// Integer overflow of a division or conversion.
    IntegerOverflow,
    /// Conversion of NaN to an integer.
    BadConversion,
    /// The frame does not fit on the stack, or a checkpoint is requested: the helper tells them
    /// apart, and returns after a checkpoint.
    Stack,
    /// `throw_ref` of a null reference.
    NullException,
}

impl TrapReason {
    /// The reason of a number; [`TrapReason::Unreachable`] if it has none.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        [
            Self::Unreachable,
            Self::MemoryBounds,
            Self::TableBounds,
            Self::NullElement,
            Self::BadSignature,
            Self::DivideByZero,
            Self::IntegerOverflow,
            Self::BadConversion,
            Self::Stack,
            Self::NullException,
        ]
        .into_iter()
        .find(|reason| *reason as u64 == number)
        .unwrap_or(Self::Unreachable)
    }
}

macro_rules! helpers {
    ($($(#[$doc:meta])* $name:ident = $number:literal: $context:literal, $arguments:literal, $effect:ident;)*) => {
        /// A function outside the compiled code that it may call. The immediate of the call is the
        /// number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Helper {
            $($(#[$doc])* $name = $number,)*
        }

        impl Helper {
            /// Every helper.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The helper of a number.
            #[must_use]
            pub const fn from_number(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Set if R1 must hold the context.
            #[must_use]
            pub const fn takes_context(self) -> bool {
                match self {
                    $(Self::$name => $context,)*
                }
            }

            /// Number of arguments, not counting the context.
            #[must_use]
            pub const fn arguments(self) -> u8 {
                match self {
                    $(Self::$name => $arguments,)*
                }
            }

            /// Effect of the call on what compiled code knows.
            #[must_use]
            pub const fn effect(self) -> Effect {
                match self {
                    $(Self::$name => Effect::$effect,)*
                }
            }
        }
    };
}

/// Effect of a helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The helper computes; memories stay where they are.
    Pure,
    /// A memory's base may be another one afterwards.
    MovesMemory,
    /// The helper does not return.
    Diverges,
}

helpers! {
    /// Ends the guest with the [`TrapReason`] in R2. [`TrapReason::Stack`] alone may return.
    Trap = 0: true, 1, MovesMemory;
    /// Lets others run, and pauses or ends the guest. Compiled code calls it if [`INTERRUPT`] is
    /// not 0.
    Checkpoint = 1: true, 0, MovesMemory;
    /// Calls the imported function of index R2; parameters and results are in [`ARGS`] from index 0
    /// on.
    CallImport = 2: true, 1, MovesMemory;
    /// Looks up element R3 of table R2 as a function of type R4 for [`Helper::CallResolved`]. Traps
    /// if there is none.
    Resolve = 3: true, 3, Pure;
    /// Calls the function that [`Helper::Resolve`] has looked up last, with the parameters and
    /// results of a function.
    CallResolved = 4: false, 0, MovesMemory;
    /// Grows memory R2 by R3 pages; returns the previous number of pages, or `u32::MAX`.
    MemoryGrow = 5: true, 2, MovesMemory;
    /// Fills: ARGS 0 address, 1 value, 2 length; memory R2.
    MemoryFill = 6: true, 1, Pure;
    /// Copies: ARGS 0 destination, 1 source, 2 length; to memory R2 from memory R3.
    MemoryCopy = 7: true, 2, Pure;
    /// Copies from data segment R3 to memory R2: ARGS 0 destination, 1 source, 2 length.
    MemoryInit = 8: true, 2, Pure;
    /// Drops data segment R2.
    DataDrop = 9: true, 1, Pure;
    /// Returns element R3 of table R2.
    TableGet = 10: true, 2, Pure;
    /// Sets element R3 of table R2 to R4.
    TableSet = 11: true, 3, Pure;
    /// Returns the number of elements of table R2.
    TableSize = 12: true, 1, Pure;
    /// Grows table R2 by R3 elements of value R4; returns the previous number, or `u32::MAX`.
    TableGrow = 13: true, 3, Pure;
    /// Fills table R2: ARGS 0 index, 1 value, 2 length.
    TableFill = 14: true, 1, Pure;
    /// Copies to table R2 from table R3: ARGS 0 destination, 1 source, 2 length.
    TableCopy = 15: true, 2, Pure;
    /// Copies from element segment R3 to table R2: ARGS 0 destination, 1 source, 2 length.
    TableInit = 16: true, 2, Pure;
    /// Drops element segment R2.
    ElemDrop = 17: true, 1, Pure;
    /// Numeric operation of R3, R4 that may trap; R2 is the operation, see
    /// [`crate::vmctx::Numeric`].
    TrappingNumeric = 18: true, 3, Pure;
    /// Has [`Helper::CallResolved`] call the body of a function, or the function if it has none: of
    /// function R2 minus 1, or of the one that [`Helper::Resolve`] has looked up if R2 is 0.
    ResolveTail = 19: true, 1, Pure;
    /// `i32.clz`.
    I32Clz = 20: false, 1, Pure;
    /// `i32.ctz`.
    I32Ctz = 21: false, 1, Pure;
    /// `i32.popcnt`.
    I32Popcnt = 22: false, 1, Pure;
    /// `i64.clz`.
    I64Clz = 23: false, 1, Pure;
    /// `i64.ctz`.
    I64Ctz = 24: false, 1, Pure;
    /// `i64.popcnt`.
    I64Popcnt = 25: false, 1, Pure;
    /// `f32.add`.
    F32Add = 26: false, 2, Pure;
    /// `f32.sub`.
    F32Sub = 27: false, 2, Pure;
    /// `f32.mul`.
    F32Mul = 28: false, 2, Pure;
    /// `f32.div`.
    F32Div = 29: false, 2, Pure;
    /// `f32.min`.
    F32Min = 30: false, 2, Pure;
    /// `f32.max`.
    F32Max = 31: false, 2, Pure;
    /// `f32.ceil`.
    F32Ceil = 32: false, 1, Pure;
    /// `f32.floor`.
    F32Floor = 33: false, 1, Pure;
    /// `f32.trunc`.
    F32Trunc = 34: false, 1, Pure;
    /// `f32.nearest`.
    F32Nearest = 35: false, 1, Pure;
    /// `f32.sqrt`.
    F32Sqrt = 36: false, 1, Pure;
    /// `f32.eq`.
    F32Eq = 37: false, 2, Pure;
    /// `f32.lt`; `gt` with swapped operands.
    F32Lt = 38: false, 2, Pure;
    /// `f32.le`; `ge` with swapped operands.
    F32Le = 39: false, 2, Pure;
    /// `f64.add`.
    F64Add = 40: false, 2, Pure;
    /// `f64.sub`.
    F64Sub = 41: false, 2, Pure;
    /// `f64.mul`.
    F64Mul = 42: false, 2, Pure;
    /// `f64.div`.
    F64Div = 43: false, 2, Pure;
    /// `f64.min`.
    F64Min = 44: false, 2, Pure;
    /// `f64.max`.
    F64Max = 45: false, 2, Pure;
    /// `f64.ceil`.
    F64Ceil = 46: false, 1, Pure;
    /// `f64.floor`.
    F64Floor = 47: false, 1, Pure;
    /// `f64.trunc`.
    F64Trunc = 48: false, 1, Pure;
    /// `f64.nearest`.
    F64Nearest = 49: false, 1, Pure;
    /// `f64.sqrt`.
    F64Sqrt = 50: false, 1, Pure;
    /// `f64.eq`.
    F64Eq = 51: false, 2, Pure;
    /// `f64.lt`; `gt` with swapped operands.
    F64Lt = 52: false, 2, Pure;
    /// `f64.le`; `ge` with swapped operands.
    F64Le = 53: false, 2, Pure;
    /// `f32.convert_i32_s`.
    F32ConvertI32S = 54: false, 1, Pure;
    /// `f32.convert_i32_u`.
    F32ConvertI32U = 55: false, 1, Pure;
    /// `f32.convert_i64_s`.
    F32ConvertI64S = 56: false, 1, Pure;
    /// `f32.convert_i64_u`.
    F32ConvertI64U = 57: false, 1, Pure;
    /// `f64.convert_i32_s`.
    F64ConvertI32S = 58: false, 1, Pure;
    /// `f64.convert_i32_u`.
    F64ConvertI32U = 59: false, 1, Pure;
    /// `f64.convert_i64_s`.
    F64ConvertI64S = 60: false, 1, Pure;
    /// `f64.convert_i64_u`.
    F64ConvertI64U = 61: false, 1, Pure;
    /// `f32.demote_f64`.
    F32Demote = 62: false, 1, Pure;
    /// `f64.promote_f32`.
    F64Promote = 63: false, 1, Pure;
    /// `i32.trunc_sat_f32_s`.
    I32TruncSatF32S = 64: false, 1, Pure;
    /// `i32.trunc_sat_f32_u`.
    I32TruncSatF32U = 65: false, 1, Pure;
    /// `i32.trunc_sat_f64_s`.
    I32TruncSatF64S = 66: false, 1, Pure;
    /// `i32.trunc_sat_f64_u`.
    I32TruncSatF64U = 67: false, 1, Pure;
    /// `i64.trunc_sat_f32_s`.
    I64TruncSatF32S = 68: false, 1, Pure;
    /// `i64.trunc_sat_f32_u`.
    I64TruncSatF32U = 69: false, 1, Pure;
    /// `i64.trunc_sat_f64_s`.
    I64TruncSatF64S = 70: false, 1, Pure;
    /// `i64.trunc_sat_f64_u`.
    I64TruncSatF64U = 71: false, 1, Pure;
    /// SIMD operation R2, see `simd.rs`; operands and the high word of the result are in [`ARGS`].
    Simd = 72: true, 1, Pure;
    /// Makes an exception with tag R2, whose values are in [`ARGS`] from index 0 on, and sets
    /// [`EXCEPTION`].
    Throw = 73: true, 1, Pure;
    /// Sets [`EXCEPTION`] to reference R2. Traps if that is null.
    ThrowRef = 74: true, 1, Pure;
    /// Catches the exception that is being thrown if it has tag R2: puts its values into [`ARGS`],
    /// then a reference to it if R3 is not 0, clears [`EXCEPTION`] and returns 1. Otherwise returns
    /// 0.
    CatchTag = 75: true, 2, Pure;
    /// Catches the exception that is being thrown: puts a reference to it into [`ARGS`] if R2 is
    /// not 0, and clears [`EXCEPTION`].
    CatchAll = 76: true, 1, Pure;
}

/// Operations of [`Helper::TrappingNumeric`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Numeric {
    /// `i32.trunc_f32_s`.
    I32TruncF32S,
    /// `i32.trunc_f32_u`.
    I32TruncF32U,
    /// `i32.trunc_f64_s`.
    I32TruncF64S,
    /// `i32.trunc_f64_u`.
    I32TruncF64U,
    /// `i64.trunc_f32_s`.
    I64TruncF32S,
    /// `i64.trunc_f32_u`.
    I64TruncF32U,
    /// `i64.trunc_f64_s`.
    I64TruncF64S,
    /// `i64.trunc_f64_u`.
    I64TruncF64U,
}

/// A fact about a value, which the compiler claims and the checker proves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fact {
    /// Nothing is known.
    #[default]
    Any,
    /// The value is below 2^32.
    U32,
    /// The value plus `bytes` is at most the size of `memory`; `bytes` is not 0.
    Index {
        /// The memory.
        memory: u8,
        /// Bytes from the index on.
        bytes: u32,
        /// Set if the value is also at most the memory's mask when the processor speculates.
        is_masked: bool,
    },
    /// The base of `memory`.
    Base {
        /// The memory.
        memory: u8,
    },
    /// An address in `memory` that has `bytes` bytes of the memory from it on.
    Address {
        /// The memory.
        memory: u8,
        /// Bytes from the address on.
        bytes: u32,
    },
}

/// A location whose value a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// A register.
    Reg(Reg),
    /// The 8 bytes of the frame at R10 minus 8 times (index plus 1).
    Slot(u16),
}

/// A claim: at instruction `at`, `location` holds a value of which `fact` is true, whichever way it
/// was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Index of an instruction at which a block begins.
    pub at: u32,
    /// The location.
    pub location: Location,
    /// The fact; never [`Fact::Any`].
    pub fact: Fact,
}

use crate::ebpf::{
    Insn,
    Reg, //
};
use alloc::vec::Vec;

/// A compiled function.
#[derive(Clone, Debug, Default)]
pub struct Function {
    /// Instructions, the entry first.
    pub code: Vec<Insn>,
    /// Size of the frame in bytes, a multiple of 8.
    pub frame: u32,
    /// Claims, ascending by `at`. A block without claims needs none.
    pub claims: Vec<Claim>,
}

/// Declarations of a module that the checker relies on. They come from validation, not from the
/// compiler.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// Number of functions that the module defines.
    pub functions: u32,
    /// Number of the globals' words.
    pub globals: u32,
    /// Minimum size of each memory in bytes.
    pub memories: Vec<u64>,
    /// Set if each index must be masked before the base is added to it, see [`index_mask`].
    pub has_masks: bool,
}
