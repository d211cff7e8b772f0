// SPDX-License-Identifier: GPL-2.0

//! Numeric operators that compiled code leaves to helpers: bit counts, and floating point in
//! software.
//!
//! The functions are those of wasmi, so that both engines give the same bits.

use crate::vmctx::{
    Helper,
    Numeric,
    TrapReason, //
};
use wasmi_core::{
    TrapCode,
    wasm, //
};

/// A value in a register: narrow ones are zero-extended.
trait Word {
    fn from_word(word: u64) -> Self;
    fn to_word(self) -> u64;
}

macro_rules! words {
    ($($ty:ty: $from:expr, $to:expr;)*) => {
        $(
            impl Word for $ty {
                fn from_word(word: u64) -> Self {
                    ($from)(word)
                }

                fn to_word(self) -> u64 {
                    ($to)(self)
                }
            }
        )*
    };
}

#[expect(clippy::cast_possible_truncation, reason = "a narrow value is in the low half")]
fn low(word: u64) -> u32 {
    word as u32
}

words! {
    u32: low, u64::from;
    i32: |word| low(word).cast_signed(), |value: i32| u64::from(value.cast_unsigned());
    u64: |word| word, |value| value;
    i64: u64::cast_signed, i64::cast_unsigned;
    f32: |word| f32::from_bits(low(word)), |value: f32| u64::from(value.to_bits());
    f64: f64::from_bits, f64::to_bits;
    bool: |word| word != 0, u64::from;
}

fn unary<A: Word, R: Word>(function: fn(A) -> R, [a, _]: [u64; 2]) -> u64 {
    function(A::from_word(a)).to_word()
}

fn binary<A: Word, B: Word, R: Word>(function: fn(A, B) -> R, [a, b]: [u64; 2]) -> u64 {
    function(A::from_word(a), B::from_word(b)).to_word()
}

fn trapping<A: Word, R: Word>(function: fn(A) -> Result<R, TrapCode>, a: u64) -> Result<u64, TrapReason> {
    match function(A::from_word(a)) {
        Ok(value) => Ok(value.to_word()),
        Err(TrapCode::BadConversionToInteger) => Err(TrapReason::BadConversion),
        Err(_) => Err(TrapReason::IntegerOverflow),
    }
}

/// Computes a helper without a context; none if `helper` is no such one.
#[must_use]
pub fn compute(helper: Helper, args: [u64; 2]) -> Option<u64> {
    use Helper as H;
    Some(match helper {
        H::I32Clz => unary(wasm::i32_clz, args),
        H::I32Ctz => unary(wasm::i32_ctz, args),
        H::I32Popcnt => unary(wasm::i32_popcnt, args),
        H::I64Clz => unary(wasm::i64_clz, args),
        H::I64Ctz => unary(wasm::i64_ctz, args),
        H::I64Popcnt => unary(wasm::i64_popcnt, args),
        H::F32Add => binary(wasm::f32_add, args),
        H::F32Sub => binary(wasm::f32_sub, args),
        H::F32Mul => binary(wasm::f32_mul, args),
        H::F32Div => binary(wasm::f32_div, args),
        H::F32Min => binary(wasm::f32_min, args),
        H::F32Max => binary(wasm::f32_max, args),
        H::F32Ceil => unary(wasm::f32_ceil, args),
        H::F32Floor => unary(wasm::f32_floor, args),
        H::F32Trunc => unary(wasm::f32_trunc, args),
        H::F32Nearest => unary(wasm::f32_nearest, args),
        H::F32Sqrt => unary(wasm::f32_sqrt, args),
        H::F32Eq => binary(wasm::f32_eq, args),
        H::F32Lt => binary(wasm::f32_lt, args),
        H::F32Le => binary(wasm::f32_le, args),
        H::F64Add => binary(wasm::f64_add, args),
        H::F64Sub => binary(wasm::f64_sub, args),
        H::F64Mul => binary(wasm::f64_mul, args),
        H::F64Div => binary(wasm::f64_div, args),
        H::F64Min => binary(wasm::f64_min, args),
        H::F64Max => binary(wasm::f64_max, args),
        H::F64Ceil => unary(wasm::f64_ceil, args),
        H::F64Floor => unary(wasm::f64_floor, args),
        H::F64Trunc => unary(wasm::f64_trunc, args),
        H::F64Nearest => unary(wasm::f64_nearest, args),
        H::F64Sqrt => unary(wasm::f64_sqrt, args),
        H::F64Eq => binary(wasm::f64_eq, args),
        H::F64Lt => binary(wasm::f64_lt, args),
        H::F64Le => binary(wasm::f64_le, args),
        H::F32ConvertI32S => unary(wasm::f32_convert_i32_s, args),
        H::F32ConvertI32U => unary(wasm::f32_convert_i32_u, args),
        H::F32ConvertI64S => unary(wasm::f32_convert_i64_s, args),
        H::F32ConvertI64U => unary(wasm::f32_convert_i64_u, args),
        H::F64ConvertI32S => unary(wasm::f64_convert_i32_s, args),
        H::F64ConvertI32U => unary(wasm::f64_convert_i32_u, args),
        H::F64ConvertI64S => unary(wasm::f64_convert_i64_s, args),
        H::F64ConvertI64U => unary(wasm::f64_convert_i64_u, args),
        H::F32Demote => unary(wasm::f32_demote_f64, args),
        H::F64Promote => unary(wasm::f64_promote_f32, args),
        H::I32TruncSatF32S => unary(wasm::i32_trunc_sat_f32_s, args),
        H::I32TruncSatF32U => unary(wasm::i32_trunc_sat_f32_u, args),
        H::I32TruncSatF64S => unary(wasm::i32_trunc_sat_f64_s, args),
        H::I32TruncSatF64U => unary(wasm::i32_trunc_sat_f64_u, args),
        H::I64TruncSatF32S => unary(wasm::i64_trunc_sat_f32_s, args),
        H::I64TruncSatF32U => unary(wasm::i64_trunc_sat_f32_u, args),
        H::I64TruncSatF64S => unary(wasm::i64_trunc_sat_f64_s, args),
        H::I64TruncSatF64U => unary(wasm::i64_trunc_sat_f64_u, args),
        _ => return None,
    })
}

/// Computes an operation that may trap; `operation` is a [`Numeric`].
///
/// # Errors
///
/// [`TrapReason::BadConversion`] for NaN, [`TrapReason::IntegerOverflow`] for what no integer of
/// the type is.
pub fn convert(operation: u64, a: u64) -> Result<u64, TrapReason> {
    match operation {
        n if n == Numeric::I32TruncF32S as u64 => trapping(wasm::i32_trunc_f32_s, a),
        n if n == Numeric::I32TruncF32U as u64 => trapping(wasm::i32_trunc_f32_u, a),
        n if n == Numeric::I32TruncF64S as u64 => trapping(wasm::i32_trunc_f64_s, a),
        n if n == Numeric::I32TruncF64U as u64 => trapping(wasm::i32_trunc_f64_u, a),
        n if n == Numeric::I64TruncF32S as u64 => trapping(wasm::i64_trunc_f32_s, a),
        n if n == Numeric::I64TruncF32U as u64 => trapping(wasm::i64_trunc_f32_u, a),
        n if n == Numeric::I64TruncF64S as u64 => trapping(wasm::i64_trunc_f64_s, a),
        _ => trapping(wasm::i64_trunc_f64_u, a),
    }
}
