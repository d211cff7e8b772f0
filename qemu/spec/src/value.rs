// SPDX-License-Identifier: GPL-2.0

//! Arguments of calls, and patterns of expected results.

use wasm_encoder::{
    AbstractHeapType,
    HeapType, //
};
use wast::{
    WastArg,
    WastRet,
    core::{
        self,
        NanPattern,
        V128Pattern,
        WastArgCore,
        WastRetCore, //
    }, //
};

/// Argument that a Wasm instruction can create. Floats are stored as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// `i32.const`.
    I32(i32),
    /// `i64.const`.
    I64(i64),
    /// `f32.const`.
    F32(u32),
    /// `f64.const`.
    F64(u64),
    /// `v128.const`.
    V128(u128),
    /// `ref.null`.
    Null(HeapType),
}

/// Pattern of an expected result. Floats are stored as bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This `i32`.
    I32(i32),
    /// This `i64`.
    I64(i64),
    /// This `f32`, bit by bit.
    F32(u32),
    /// This `f64`, bit by bit.
    F64(u64),
    /// `nan:canonical` of type `f32`: a quiet NaN of either sign with only the highest bit of the
    /// payload set.
    CanonicalF32,
    /// `nan:arithmetic` of type `f32`: any quiet NaN.
    ArithmeticF32,
    /// `nan:canonical` of type `f64`.
    CanonicalF64,
    /// `nan:arithmetic` of type `f64`.
    ArithmeticF64,
    /// A `v128` that one of these patterns matches.
    V128(Vec<Masked>),
    /// Null reference.
    Null,
    /// Non-null reference.
    NotNull,
}

/// Pattern of a `v128`: the bits that the mask selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masked {
    /// Mask.
    pub mask: u128,
    /// Selected bits. The others are 0.
    pub bits: u128,
}

impl Masked {
    fn new(pattern: &V128Pattern) -> Self {
        let exact = |bytes: Vec<u8>| (u128::MAX, lanes(8, bytes.into_iter().map(u128::from)));
        let (mask, bits) = match pattern {
            V128Pattern::I8x16(values) => exact(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            V128Pattern::I16x8(values) => exact(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            V128Pattern::I32x4(values) => exact(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            V128Pattern::I64x2(values) => exact(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            V128Pattern::F32x4(values) => {
                let masked = values.each_ref().map(|value| match value {
                    NanPattern::Value(value) => (u32::MAX, value.bits),
                    NanPattern::CanonicalNan => CANONICAL_F32,
                    NanPattern::ArithmeticNan => ARITHMETIC_F32,
                });
                let of = |part: fn((u32, u32)) -> u32| lanes(32, masked.map(part).into_iter().map(u128::from));
                (of(|(mask, _)| mask), of(|(_, bits)| bits))
            }
            V128Pattern::F64x2(values) => {
                let masked = values.each_ref().map(|value| match value {
                    NanPattern::Value(value) => (u64::MAX, value.bits),
                    NanPattern::CanonicalNan => CANONICAL_F64,
                    NanPattern::ArithmeticNan => ARITHMETIC_F64,
                });
                let of = |part: fn((u64, u64)) -> u64| lanes(64, masked.map(part).into_iter().map(u128::from));
                (of(|(mask, _)| mask), of(|(_, bits)| bits))
            }
        };
        Self { mask, bits }
    }
}

/// Returns a `v128` of lanes with `width` bits each, the lowest first.
fn lanes(width: usize, lanes: impl Iterator<Item = u128>) -> u128 {
    lanes.zip((0..128).step_by(width)).fold(0, |sum, (lane, at)| sum | lane << at)
}

/// Mask and bits of `nan:canonical` of type `f32`: either sign matches.
pub const CANONICAL_F32: (u32, u32) = (u32::MAX >> 1, 0x7fc0_0000);

/// Mask and bits of `nan:arithmetic` of type `f32`: either sign and any payload match, if the
/// highest bit of the payload is set.
pub const ARITHMETIC_F32: (u32, u32) = (0x7fc0_0000, 0x7fc0_0000);

/// Mask and bits of `nan:canonical` of type `f64`.
pub const CANONICAL_F64: (u64, u64) = (u64::MAX >> 1, 0x7ff8_0000_0000_0000);

/// Mask and bits of `nan:arithmetic` of type `f64`.
pub const ARITHMETIC_F64: (u64, u64) = (0x7ff8_0000_0000_0000, 0x7ff8_0000_0000_0000);

fn heap_type(ty: &core::HeapType<'_>) -> Option<HeapType> {
    let ty = match ty {
        core::HeapType::Abstract { shared: false, ty: core::AbstractHeapType::Func } => AbstractHeapType::Func,
        core::HeapType::Abstract { shared: false, ty: core::AbstractHeapType::Extern } => AbstractHeapType::Extern,
        _ => return None,
    };
    Some(HeapType::Abstract { shared: false, ty })
}

impl Value {
    /// Converts an argument of a script. Returns none if only a host could create it.
    #[must_use]
    pub fn new(arg: &WastArg<'_>) -> Option<Self> {
        let WastArg::Core(arg) = arg else { return None };
        match arg {
            WastArgCore::I32(value) => Some(Self::I32(*value)),
            WastArgCore::I64(value) => Some(Self::I64(*value)),
            WastArgCore::F32(value) => Some(Self::F32(value.bits)),
            WastArgCore::F64(value) => Some(Self::F64(value.bits)),
            WastArgCore::V128(value) => Some(Self::V128(u128::from_le_bytes(value.to_le_bytes()))),
            WastArgCore::RefNull(ty) => heap_type(ty).map(Self::Null),
            _ => None,
        }
    }
}

impl Pattern {
    /// Converts an expected result of a script. Returns none if only a host could check it.
    #[must_use]
    pub fn new(result: &WastRet<'_>) -> Option<Self> {
        let WastRet::Core(result) = result else { return None };
        match result {
            WastRetCore::I32(value) => Some(Self::I32(*value)),
            WastRetCore::I64(value) => Some(Self::I64(*value)),
            WastRetCore::F32(NanPattern::Value(value)) => Some(Self::F32(value.bits)),
            WastRetCore::F32(NanPattern::CanonicalNan) => Some(Self::CanonicalF32),
            WastRetCore::F32(NanPattern::ArithmeticNan) => Some(Self::ArithmeticF32),
            WastRetCore::F64(NanPattern::Value(value)) => Some(Self::F64(value.bits)),
            WastRetCore::F64(NanPattern::CanonicalNan) => Some(Self::CanonicalF64),
            WastRetCore::F64(NanPattern::ArithmeticNan) => Some(Self::ArithmeticF64),
            WastRetCore::V128(pattern) => Some(Self::V128(vec![Masked::new(pattern)])),
            WastRetCore::Either(patterns) => {
                let masked = |pattern: &WastRetCore<'_>| match pattern {
                    WastRetCore::V128(pattern) => Some(Masked::new(pattern)),
                    _ => None,
                };
                patterns.iter().map(masked).collect::<Option<_>>().map(Self::V128)
            }
            WastRetCore::RefNull(_) => Some(Self::Null),
            WastRetCore::RefFunc(None) => Some(Self::NotNull),
            _ => None,
        }
    }
}
