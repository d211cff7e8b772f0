// SPDX-License-Identifier: GPL-2.0

//! Arguments, and what results are to be.

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

/// An argument that can be made inside of Wasm. Floats are their bits.
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

/// What a result is to be. Floats are their bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This one.
    I32(i32),
    /// This one.
    I64(i64),
    /// This one.
    F32(u32),
    /// This one.
    F64(u64),
    /// `nan:canonical`: a quiet NaN without a payload, of either sign.
    CanonicalF32,
    /// `nan:arithmetic`: any quiet NaN.
    ArithmeticF32,
    /// `nan:canonical`.
    CanonicalF64,
    /// `nan:arithmetic`.
    ArithmeticF64,
    /// A null reference.
    Null,
    /// A reference that is not null.
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
    /// From a script; none if only a host could make it.
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
    /// From a script; none if only a host could tell.
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
