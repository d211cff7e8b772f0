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
    /// Null reference.
    Null,
    /// Non-null reference.
    NotNull,
}

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
            WastRetCore::RefNull(_) => Some(Self::Null),
            WastRetCore::RefFunc(None) => Some(Self::NotNull),
            _ => None,
        }
    }
}
