// SPDX-License-Identifier: GPL-2.0

//! What is known of single assertions. What differs is tried all the same: it is a failure if it no longer does.

/// Where kwasmi does not do what the specification says: script, line, how.
const DIFFERENCES: [(&str, usize, &str); 3] = [
    ("wasm-v2/conversions.wast", 561, PROMOTED),
    ("wasm-v2/conversions.wast", 563, PROMOTED),
    ("wasm-v2/ref_func.wast", 112, "a start function counts as declared, as an exported one does"),
];

const PROMOTED: &str = "f64.promote_f32 leaves a signalling NaN signalling";

/// What goes on from a call that is not made, as only a host could make its arguments, or from one that traps: it ends
/// the program, and what it has done before is lost. Scripts, and their lines.
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

/// Scripts with a module that is beyond a limit, for a runner that cannot ask for more than the default: a function has a
/// hundred results.
const LIMITED: [&str; 1] = ["wasm-v2/call.wast"];

/// How kwasmi is known to differ.
#[must_use]
pub fn difference(script: &str, line: usize) -> Option<&'static str> {
    let found = DIFFERENCES.iter().find(|difference| (difference.0, difference.1) == (script, line));
    found.map(|difference| difference.2)
}

/// Whether an assertion goes on from a call that leaves nothing here.
#[must_use]
pub fn is_consequence(script: &str, line: usize) -> bool {
    CONSEQUENCES.iter().any(|(name, lines)| *name == script && lines.contains(&line))
}

/// Whether modules of a script may be beyond a limit.
#[must_use]
pub fn is_limited(script: &str) -> bool {
    LIMITED.contains(&script)
}
