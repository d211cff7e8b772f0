// SPDX-License-Identifier: GPL-2.0

//! Assertions with known differences. They are run all the same: a known difference that no longer
//! occurs is a failure.

/// Assertions in which kwasmi differs from the specification: script, line, description.
const DIFFERENCES: [(&str, usize, &str); 5] = [
    ("wasm-v2/conversions.wast", 561, PROMOTED),
    ("wasm-v2/conversions.wast", 563, PROMOTED),
    ("simd/simd_conversions.wast", 63, PROMOTED),
    ("simd/simd_conversions.wast", 67, PROMOTED),
    ("wasm-v2/ref_func.wast", 112, "a start function counts as declared, as an exported one does"),
];

/// Description of the difference in `f64.promote_f32` and `f64x2.promote_low_f32x4`.
const PROMOTED: &str = "promotion leaves a signalling NaN signalling";

/// Assertions that depend on the state after a call that cannot be run here: scripts and their
/// lines. Either only a host could make the arguments of the call, or it traps, which ends the
/// program and loses the state.
const CONSEQUENCES: [(&str, &[usize]); 9] = [
    ("wasm-v2/linking.wast", &[275, 288, 406, 419, 452, 453]),
    ("wasm-v2/ref_is_null.wast", &[41]),
    ("wasm-v2/table_get.wast", &[31]),
    ("wasm-v2/table_grow.wast", &[29]),
    ("wasm-v3/linking.wast", &[410, 423, 563, 576, 609, 610]),
    ("wasm-v3/table_get.wast", &[30]),
    ("wasm-v3/table_grow.wast", &[30]),
    ("multi-memory/linking0.wast", &[42]),
    ("multi-memory/linking3.wast", &[36, 49, 82, 83]),
];

/// Scripts with a module that exceeds a default limit (a function has a hundred results), for
/// runners that cannot raise it.
const LIMITED: [&str; 1] = ["wasm-v2/call.wast"];

/// Returns the description of a known difference.
#[must_use]
pub fn difference(script: &str, line: usize) -> Option<&'static str> {
    let found = DIFFERENCES.iter().find(|difference| (difference.0, difference.1) == (script, line));
    found.map(|difference| difference.2)
}

/// Returns true if an assertion depends on a call that cannot be run here.
#[must_use]
pub fn is_consequence(script: &str, line: usize) -> bool {
    CONSEQUENCES.iter().any(|(name, lines)| *name == script && lines.contains(&line))
}

/// Returns true if a module of the script may exceed a default limit.
#[must_use]
pub fn is_limited(script: &str) -> bool {
    LIMITED.contains(&script)
}
