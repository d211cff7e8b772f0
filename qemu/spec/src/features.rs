// SPDX-License-Identifier: GPL-2.0

//! Which proposals the engine has on, and what another validator makes of a module with and without them.
//!
//! It only tells what a test is about: no test passes because of it.

use wasmparser::{
    Validator,
    WasmFeatures, //
};

/// Those that the engine has on: the defaults of wasmi, built without `simd` and `memory64`.
pub const ENGINE: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::FLOATS);

/// Those of version 2 of the specification.
pub const VERSION_2: WasmFeatures = WasmFeatures::WASM2;

/// All that there are.
pub const ALL: WasmFeatures = WasmFeatures::all();

/// What the script of this name takes for valid: its own version of the specification, or what the engine does.
#[must_use]
pub fn version(name: &str) -> WasmFeatures {
    if name.starts_with("wasm-v2/") { VERSION_2 } else { ENGINE }
}

/// Whether `wasm` is valid with these features.
#[must_use]
pub fn is_valid(wasm: &[u8], features: WasmFeatures) -> bool {
    Validator::new_with_features(features).validate_all(wasm).is_ok()
}
