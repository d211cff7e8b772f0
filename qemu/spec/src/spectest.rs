// SPDX-License-Identifier: GPL-2.0

//! The module `spectest`, from which the specification's tests import. A program defines the items
//! of it that it uses.

use wasm_encoder::{
    Ieee32,
    Ieee64,
    Instruction,
    MemoryType,
    RefType,
    TableType, //
};
use wasmparser::ValType;

/// Name of the module.
pub const MODULE: &str = "spectest";

/// Type of the table `table`.
pub const TABLE: TableType =
    TableType { element_type: RefType::FUNCREF, table64: false, minimum: 10, maximum: Some(20), shared: false };

/// Type of the memory `memory`.
pub const MEMORY: MemoryType =
    MemoryType { minimum: 1, maximum: Some(2), memory64: false, shared: false, page_size_log2: None };

/// Returns the parameter types of a function of the module. No function has results or effects.
#[must_use]
pub fn function(name: &str) -> Option<&'static [ValType]> {
    Some(match name {
        "print" => &[],
        "print_i32" => &[ValType::I32],
        "print_i64" => &[ValType::I64],
        "print_f32" => &[ValType::F32],
        "print_f64" => &[ValType::F64],
        "print_i32_f32" => &[ValType::I32, ValType::F32],
        "print_f64_f64" => &[ValType::F64, ValType::F64],
        _ => return None,
    })
}

/// Returns type and value of a global of the module. All are immutable.
#[must_use]
pub fn global(name: &str) -> Option<(ValType, Instruction<'static>)> {
    Some(match name {
        "global_i32" => (ValType::I32, Instruction::I32Const(666)),
        "global_i64" => (ValType::I64, Instruction::I64Const(666)),
        "global_f32" => (ValType::F32, Instruction::F32Const(Ieee32::from(666.6_f32))),
        "global_f64" => (ValType::F64, Instruction::F64Const(Ieee64::from(666.6_f64))),
        _ => return None,
    })
}

/// Returns true if an item with limits `minimum` and `maximum` satisfies an import with the limits
/// `expected`.
#[must_use]
pub fn is_within(expected: (u64, Option<u64>), (minimum, maximum): (u64, Option<u64>)) -> bool {
    expected.0 <= minimum && expected.1.is_none_or(|most| maximum.is_some_and(|maximum| maximum <= most))
}
