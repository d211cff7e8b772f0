// SPDX-License-Identifier: GPL-2.0

//! SIMD operations: the operators that [`Helper::Simd`](crate::vmctx::Helper::Simd) computes for
//! compiled code.
//!
//! A `v128` takes two words, the low one first. The operands of an operation are in
//! [`ARGS`](crate::vmctx::ARGS) from index 0 on. A result of 32 bits is in R0. A `v128` result has
//! its low word in R0 and its high word in `ARGS` at index 1.

use wasmparser::Operator;

/// Shape of an operation: its operands and its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OperationShape {
    /// One `v128` operand, `v128` result.
    Unary,
    /// Two `v128` operands, `v128` result.
    Binary,
    /// Three `v128` operands, `v128` result.
    Ternary,
    /// A `v128` and a count of 32 bits, `v128` result.
    Shift,
    /// One `v128` operand; the result is 0 or 1.
    Test,
    /// One `v128` operand; the result has one bit for each lane.
    Mask,
}

/// Passes to `$callback`, for each operation but `i8x16.shuffle`: the variant of [`Operator`], the
/// function of `wasmi_core::simd`, and the [`OperationShape`].
macro_rules! for_each_operation {
    ($callback:ident) => {
        $callback! {
            I8x16Swizzle = i8x16_swizzle: binary;
            I8x16Eq = i8x16_eq: binary;
            I8x16Ne = i8x16_ne: binary;
            I8x16LtS = i8x16_lt_s: binary;
            I8x16LtU = i8x16_lt_u: binary;
            I8x16GtS = i8x16_gt_s: binary;
            I8x16GtU = i8x16_gt_u: binary;
            I8x16LeS = i8x16_le_s: binary;
            I8x16LeU = i8x16_le_u: binary;
            I8x16GeS = i8x16_ge_s: binary;
            I8x16GeU = i8x16_ge_u: binary;
            I16x8Eq = i16x8_eq: binary;
            I16x8Ne = i16x8_ne: binary;
            I16x8LtS = i16x8_lt_s: binary;
            I16x8LtU = i16x8_lt_u: binary;
            I16x8GtS = i16x8_gt_s: binary;
            I16x8GtU = i16x8_gt_u: binary;
            I16x8LeS = i16x8_le_s: binary;
            I16x8LeU = i16x8_le_u: binary;
            I16x8GeS = i16x8_ge_s: binary;
            I16x8GeU = i16x8_ge_u: binary;
            I32x4Eq = i32x4_eq: binary;
            I32x4Ne = i32x4_ne: binary;
            I32x4LtS = i32x4_lt_s: binary;
            I32x4LtU = i32x4_lt_u: binary;
            I32x4GtS = i32x4_gt_s: binary;
            I32x4GtU = i32x4_gt_u: binary;
            I32x4LeS = i32x4_le_s: binary;
            I32x4LeU = i32x4_le_u: binary;
            I32x4GeS = i32x4_ge_s: binary;
            I32x4GeU = i32x4_ge_u: binary;
            I64x2Eq = i64x2_eq: binary;
            I64x2Ne = i64x2_ne: binary;
            I64x2LtS = i64x2_lt_s: binary;
            I64x2GtS = i64x2_gt_s: binary;
            I64x2LeS = i64x2_le_s: binary;
            I64x2GeS = i64x2_ge_s: binary;
            F32x4Eq = f32x4_eq: binary;
            F32x4Ne = f32x4_ne: binary;
            F32x4Lt = f32x4_lt: binary;
            F32x4Gt = f32x4_gt: binary;
            F32x4Le = f32x4_le: binary;
            F32x4Ge = f32x4_ge: binary;
            F64x2Eq = f64x2_eq: binary;
            F64x2Ne = f64x2_ne: binary;
            F64x2Lt = f64x2_lt: binary;
            F64x2Gt = f64x2_gt: binary;
            F64x2Le = f64x2_le: binary;
            F64x2Ge = f64x2_ge: binary;
            I8x16Abs = i8x16_abs: unary;
            I8x16Neg = i8x16_neg: unary;
            I8x16Popcnt = i8x16_popcnt: unary;
            I8x16AllTrue = i8x16_all_true: test;
            I8x16Bitmask = i8x16_bitmask: mask;
            I8x16NarrowI16x8S = i8x16_narrow_i16x8_s: binary;
            I8x16NarrowI16x8U = i8x16_narrow_i16x8_u: binary;
            I8x16Shl = i8x16_shl: shift;
            I8x16ShrS = i8x16_shr_s: shift;
            I8x16ShrU = i8x16_shr_u: shift;
            I8x16Add = i8x16_add: binary;
            I8x16AddSatS = i8x16_add_sat_s: binary;
            I8x16AddSatU = i8x16_add_sat_u: binary;
            I8x16Sub = i8x16_sub: binary;
            I8x16SubSatS = i8x16_sub_sat_s: binary;
            I8x16SubSatU = i8x16_sub_sat_u: binary;
            I8x16MinS = i8x16_min_s: binary;
            I8x16MinU = i8x16_min_u: binary;
            I8x16MaxS = i8x16_max_s: binary;
            I8x16MaxU = i8x16_max_u: binary;
            I8x16AvgrU = i8x16_avgr_u: binary;
            I16x8ExtAddPairwiseI8x16S = i16x8_extadd_pairwise_i8x16_s: unary;
            I16x8ExtAddPairwiseI8x16U = i16x8_extadd_pairwise_i8x16_u: unary;
            I16x8Abs = i16x8_abs: unary;
            I16x8Neg = i16x8_neg: unary;
            I16x8Q15MulrSatS = i16x8_q15mulr_sat_s: binary;
            I16x8AllTrue = i16x8_all_true: test;
            I16x8Bitmask = i16x8_bitmask: mask;
            I16x8NarrowI32x4S = i16x8_narrow_i32x4_s: binary;
            I16x8NarrowI32x4U = i16x8_narrow_i32x4_u: binary;
            I16x8ExtendLowI8x16S = i16x8_extend_low_i8x16_s: unary;
            I16x8ExtendHighI8x16S = i16x8_extend_high_i8x16_s: unary;
            I16x8ExtendLowI8x16U = i16x8_extend_low_i8x16_u: unary;
            I16x8ExtendHighI8x16U = i16x8_extend_high_i8x16_u: unary;
            I16x8Shl = i16x8_shl: shift;
            I16x8ShrS = i16x8_shr_s: shift;
            I16x8ShrU = i16x8_shr_u: shift;
            I16x8Add = i16x8_add: binary;
            I16x8AddSatS = i16x8_add_sat_s: binary;
            I16x8AddSatU = i16x8_add_sat_u: binary;
            I16x8Sub = i16x8_sub: binary;
            I16x8SubSatS = i16x8_sub_sat_s: binary;
            I16x8SubSatU = i16x8_sub_sat_u: binary;
            I16x8Mul = i16x8_mul: binary;
            I16x8MinS = i16x8_min_s: binary;
            I16x8MinU = i16x8_min_u: binary;
            I16x8MaxS = i16x8_max_s: binary;
            I16x8MaxU = i16x8_max_u: binary;
            I16x8AvgrU = i16x8_avgr_u: binary;
            I16x8ExtMulLowI8x16S = i16x8_extmul_low_i8x16_s: binary;
            I16x8ExtMulHighI8x16S = i16x8_extmul_high_i8x16_s: binary;
            I16x8ExtMulLowI8x16U = i16x8_extmul_low_i8x16_u: binary;
            I16x8ExtMulHighI8x16U = i16x8_extmul_high_i8x16_u: binary;
            I32x4ExtAddPairwiseI16x8S = i32x4_extadd_pairwise_i16x8_s: unary;
            I32x4ExtAddPairwiseI16x8U = i32x4_extadd_pairwise_i16x8_u: unary;
            I32x4Abs = i32x4_abs: unary;
            I32x4Neg = i32x4_neg: unary;
            I32x4AllTrue = i32x4_all_true: test;
            I32x4Bitmask = i32x4_bitmask: mask;
            I32x4ExtendLowI16x8S = i32x4_extend_low_i16x8_s: unary;
            I32x4ExtendHighI16x8S = i32x4_extend_high_i16x8_s: unary;
            I32x4ExtendLowI16x8U = i32x4_extend_low_i16x8_u: unary;
            I32x4ExtendHighI16x8U = i32x4_extend_high_i16x8_u: unary;
            I32x4Shl = i32x4_shl: shift;
            I32x4ShrS = i32x4_shr_s: shift;
            I32x4ShrU = i32x4_shr_u: shift;
            I32x4Add = i32x4_add: binary;
            I32x4Sub = i32x4_sub: binary;
            I32x4Mul = i32x4_mul: binary;
            I32x4MinS = i32x4_min_s: binary;
            I32x4MinU = i32x4_min_u: binary;
            I32x4MaxS = i32x4_max_s: binary;
            I32x4MaxU = i32x4_max_u: binary;
            I32x4DotI16x8S = i32x4_dot_i16x8_s: binary;
            I32x4ExtMulLowI16x8S = i32x4_extmul_low_i16x8_s: binary;
            I32x4ExtMulHighI16x8S = i32x4_extmul_high_i16x8_s: binary;
            I32x4ExtMulLowI16x8U = i32x4_extmul_low_i16x8_u: binary;
            I32x4ExtMulHighI16x8U = i32x4_extmul_high_i16x8_u: binary;
            I64x2Abs = i64x2_abs: unary;
            I64x2AllTrue = i64x2_all_true: test;
            I64x2Bitmask = i64x2_bitmask: mask;
            I64x2ExtendLowI32x4S = i64x2_extend_low_i32x4_s: unary;
            I64x2ExtendHighI32x4S = i64x2_extend_high_i32x4_s: unary;
            I64x2ExtendLowI32x4U = i64x2_extend_low_i32x4_u: unary;
            I64x2ExtendHighI32x4U = i64x2_extend_high_i32x4_u: unary;
            I64x2ExtMulLowI32x4S = i64x2_extmul_low_i32x4_s: binary;
            I64x2ExtMulHighI32x4S = i64x2_extmul_high_i32x4_s: binary;
            I64x2ExtMulLowI32x4U = i64x2_extmul_low_i32x4_u: binary;
            I64x2ExtMulHighI32x4U = i64x2_extmul_high_i32x4_u: binary;
            F32x4Ceil = f32x4_ceil: unary;
            F32x4Floor = f32x4_floor: unary;
            F32x4Trunc = f32x4_trunc: unary;
            F32x4Nearest = f32x4_nearest: unary;
            F32x4Abs = f32x4_abs: unary;
            F32x4Neg = f32x4_neg: unary;
            F32x4Sqrt = f32x4_sqrt: unary;
            F32x4Add = f32x4_add: binary;
            F32x4Sub = f32x4_sub: binary;
            F32x4Mul = f32x4_mul: binary;
            F32x4Div = f32x4_div: binary;
            F32x4Min = f32x4_min: binary;
            F32x4Max = f32x4_max: binary;
            F32x4PMin = f32x4_pmin: binary;
            F32x4PMax = f32x4_pmax: binary;
            F64x2Ceil = f64x2_ceil: unary;
            F64x2Floor = f64x2_floor: unary;
            F64x2Trunc = f64x2_trunc: unary;
            F64x2Nearest = f64x2_nearest: unary;
            F64x2Abs = f64x2_abs: unary;
            F64x2Neg = f64x2_neg: unary;
            F64x2Sqrt = f64x2_sqrt: unary;
            F64x2Add = f64x2_add: binary;
            F64x2Sub = f64x2_sub: binary;
            F64x2Mul = f64x2_mul: binary;
            F64x2Div = f64x2_div: binary;
            F64x2Min = f64x2_min: binary;
            F64x2Max = f64x2_max: binary;
            F64x2PMin = f64x2_pmin: binary;
            F64x2PMax = f64x2_pmax: binary;
            I32x4TruncSatF32x4S = i32x4_trunc_sat_f32x4_s: unary;
            I32x4TruncSatF32x4U = i32x4_trunc_sat_f32x4_u: unary;
            F32x4ConvertI32x4S = f32x4_convert_i32x4_s: unary;
            F32x4ConvertI32x4U = f32x4_convert_i32x4_u: unary;
            I32x4TruncSatF64x2SZero = i32x4_trunc_sat_f64x2_s_zero: unary;
            I32x4TruncSatF64x2UZero = i32x4_trunc_sat_f64x2_u_zero: unary;
            F64x2ConvertLowI32x4S = f64x2_convert_low_i32x4_s: unary;
            F64x2ConvertLowI32x4U = f64x2_convert_low_i32x4_u: unary;
            F32x4DemoteF64x2Zero = f32x4_demote_f64x2_zero: unary;
            F64x2PromoteLowF32x4 = f64x2_promote_low_f32x4: unary;
            I8x16RelaxedSwizzle = i8x16_relaxed_swizzle: binary;
            I32x4RelaxedTruncF32x4S = i32x4_relaxed_trunc_f32x4_s: unary;
            I32x4RelaxedTruncF32x4U = i32x4_relaxed_trunc_f32x4_u: unary;
            I32x4RelaxedTruncF64x2SZero = i32x4_relaxed_trunc_f64x2_s_zero: unary;
            I32x4RelaxedTruncF64x2UZero = i32x4_relaxed_trunc_f64x2_u_zero: unary;
            F32x4RelaxedMadd = f32x4_relaxed_madd: ternary;
            F32x4RelaxedNmadd = f32x4_relaxed_nmadd: ternary;
            F64x2RelaxedMadd = f64x2_relaxed_madd: ternary;
            F64x2RelaxedNmadd = f64x2_relaxed_nmadd: ternary;
            F32x4RelaxedMin = f32x4_relaxed_min: binary;
            F32x4RelaxedMax = f32x4_relaxed_max: binary;
            F64x2RelaxedMin = f64x2_relaxed_min: binary;
            F64x2RelaxedMax = f64x2_relaxed_max: binary;
            I16x8RelaxedQ15mulrS = i16x8_relaxed_q15mulr_s: binary;
            I16x8RelaxedDotI8x16I7x16S = i16x8_relaxed_dot_i8x16_i7x16_s: binary;
            I32x4RelaxedDotI8x16I7x16AddS = i32x4_relaxed_dot_i8x16_i7x16_add_s: ternary;
        }
    };
}
#[cfg(feature = "runtime")]
pub(crate) use for_each_operation;

macro_rules! shape {
    (unary) => {
        OperationShape::Unary
    };
    (binary) => {
        OperationShape::Binary
    };
    (ternary) => {
        OperationShape::Ternary
    };
    (shift) => {
        OperationShape::Shift
    };
    (test) => {
        OperationShape::Test
    };
    (mask) => {
        OperationShape::Mask
    };
}

macro_rules! define_operations {
    ($($name:ident = $function:ident: $shape:ident;)*) => {
        /// A SIMD operation; the number is an argument of the helper.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Operation {
            /// `i8x16.shuffle`; the third operand has the lanes' numbers.
            I8x16Shuffle,
            $(
                #[doc = concat!("`", stringify!($function), "`.")]
                $name,
            )*
        }

        impl Operation {
            #[cfg(feature = "runtime")]
            const ALL: &'static [Self] = &[Self::I8x16Shuffle, $(Self::$name,)*];

            /// The operation that computes `operator`.
            pub(crate) fn from_operator(operator: &Operator<'_>) -> Option<Self> {
                match operator {
                    Operator::I8x16Shuffle { .. } => Some(Self::I8x16Shuffle),
                    $(Operator::$name => Some(Self::$name),)*
                    _ => None,
                }
            }

            fn shape(self) -> OperationShape {
                match self {
                    Self::I8x16Shuffle => OperationShape::Ternary,
                    $(Self::$name => shape!($shape),)*
                }
            }
        }
    };
}
for_each_operation!(define_operations);

impl Operation {
    /// The operation of a number.
    #[cfg(feature = "runtime")]
    #[inline(always)]
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Number of words that the operands take.
    pub(crate) fn operands(self) -> usize {
        match self.shape() {
            OperationShape::Unary | OperationShape::Test | OperationShape::Mask => 2,
            OperationShape::Shift => 3,
            OperationShape::Binary => 4,
            OperationShape::Ternary => 6,
        }
    }

    /// Set if the result is a `v128`.
    pub(crate) fn has_vector(self) -> bool {
        !matches!(self.shape(), OperationShape::Test | OperationShape::Mask)
    }
}

/// The words of a `v128`.
pub(crate) fn words(value: u128) -> [u64; 2] {
    let [low, high] = [value, value >> 64].map(|value| u64::try_from(value & u128::from(u64::MAX)).unwrap_or(0));
    [low, high]
}
