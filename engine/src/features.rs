// SPDX-License-Identifier: GPL-2.0

//! The proposals that modules may use.
//!
//! The command compiles this file too, with another version of wasmparser than the engine's. The
//! specification tests and the fuzz targets use that of the command.

use wasmparser::WasmFeatures;

/// Proposals that the interpreter supports: the defaults of wasmi built without `memory64`.
pub const INTERPRETER: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::FLOATS);

/// Proposals that the compiler supports: those of the interpreter, and exceptions.
pub const COMPILER: WasmFeatures = INTERPRETER.union(WasmFeatures::EXCEPTIONS).union(WasmFeatures::LEGACY_EXCEPTIONS);
