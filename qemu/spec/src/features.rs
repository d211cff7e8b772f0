// SPDX-License-Identifier: GPL-2.0

//! The proposals that the engine supports, and validation of modules by wasmparser with a given set
//! of proposals.
//!
//! The validator only classifies tests. It does not decide if a test passes.

use wasmparser::{
    Validator,
    WasmFeatures, //
};

pub use kwasmi::features::{
    COMPILER,
    INTERPRETER, //
};

/// Proposals that are part of version 2 of the specification.
pub const VERSION_2: WasmFeatures = WasmFeatures::WASM2;

/// All proposals that the validator knows.
pub const ALL: WasmFeatures = WasmFeatures::all();

/// Returns the proposals that the script of this name assumes: version 2 of the specification for
/// its scripts, else those of the engine, `engine`.
#[must_use]
pub fn version(name: &str, engine: WasmFeatures) -> WasmFeatures {
    if name.starts_with("wasm-v2/") { VERSION_2 } else { engine }
}

/// Returns true if `wasm` is valid with these features.
#[must_use]
pub fn is_valid(wasm: &[u8], features: WasmFeatures) -> bool {
    Validator::new_with_features(features).validate_all(wasm).is_ok()
}
