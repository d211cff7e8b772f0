// SPDX-License-Identifier: GPL-2.0

//! Finds `br_table` instructions that take long to validate. Nothing can end the validation of one.

use crate::{
    compiler,
    sections::{
        id,
        sections, //
    },
};
use wasmparser::{
    BinaryReader,
    FunctionBody,
    Operator, //
};

/// Upper bound of the targets of a `br_table`, as in wasmi.patch.
const TARGETS_MAX: u32 = 65_520;

/// Upper bound of the targets of a `br_table`, multiplied by the values that each takes, as in wasmi.patch.
const VALUES_MAX: u64 = 32 * 65_520;

/// Number of bytes of operators between two calls of [`crate::poll`].
const BYTES_PER_POLL: usize = 1024;

/// Returns true if a `br_table` of `wasm` has more than [`TARGETS_MAX`] targets, or would have more than
/// [`VALUES_MAX`] values if each target took `arity` values, the most of a type of the module.
///
/// Each target takes at least one byte, so that only long functions are read.
pub(crate) fn has_long_table(wasm: &[u8], arity: u64) -> bool {
    let targets_max = VALUES_MAX.checked_div(arity).unwrap_or(VALUES_MAX).min(u64::from(TARGETS_MAX));
    sections(wasm).filter(|section| section.id == id::CODE).any(|section| {
        // Validation stops at an unreadable function, and what follows it does not matter.
        has_long_table_in(BinaryReader::new_features(section.contents, 0, compiler::FEATURES), targets_max)
            .unwrap_or(false)
    })
}

/// Returns true if a function of the code section `reader` has a `br_table` with more than `targets_max` targets.
fn has_long_table_in(mut reader: BinaryReader<'_>, targets_max: u64) -> wasmparser::Result<bool> {
    let functions = reader.read_var_u32()?;
    for _ in 0..functions {
        let size = reader.read_var_u32()?;
        let body = reader.read_bytes(usize::try_from(size).unwrap_or(usize::MAX))?;
        if u64::from(size) <= targets_max {
            continue;
        }
        let body = BinaryReader::new_features(body, 0, compiler::FEATURES);
        let mut operators = FunctionBody::new(body).get_operators_reader()?;
        let mut polled = operators.original_position();
        while !operators.eof() {
            let at = operators.original_position();
            if at.saturating_sub(polled) >= BYTES_PER_POLL {
                polled = at;
                crate::poll();
            }
            if let Operator::BrTable { targets } = operators.read()?
                && u64::from(targets.len()) > targets_max
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{
        string::String,
        vec::Vec, //
    };

    fn table(targets: usize) -> Vec<u8> {
        let targets: String = (0..targets).map(|_| " 0").collect();
        wat::parse_str(alloc::format!("(module (func) (func (block (br_table{targets} 0 (i32.const 0)))))"))
            .expect("valid text")
    }

    #[test]
    fn tables_with_many_targets_are_found() {
        for arity in [0, 1, 32] {
            assert!(!has_long_table(&table(65_520), arity), "{arity}");
            assert!(has_long_table(&table(65_521), arity), "{arity}");
        }
    }

    #[test]
    fn tables_with_many_values_are_found() {
        assert!(!has_long_table(&table(2_096), 1000));
        assert!(has_long_table(&table(2_097), 1000));
        assert!(has_long_table(&table(1), u64::MAX));
    }

    #[test]
    fn truncated_modules_are_read_without_a_panic() {
        let wasm = table(100);
        for len in 0..wasm.len() {
            let _ = has_long_table(&wasm[..len], 1 << 20);
        }
    }
}
