// SPDX-License-Identifier: GPL-2.0

//! The functions that kwasmi provides to guests, made from the engine's table.

use crate::signing::capability::Capability;
use table::wasi_functions;
use wasmparser::ValType;

#[path = "../../engine/src/wasi/table.rs"]
mod table;

/// Function that guests can import.
#[derive(Clone, Copy, Debug)]
pub struct HostFunction {
    /// Module that the function is imported from.
    pub module: &'static str,
    /// Name of the function.
    pub name: &'static str,
    /// Types of its parameters.
    pub params: &'static [ValType],
    /// Types of its results.
    pub results: &'static [ValType],
    /// Capabilities of which a manifest must have one; empty if the function needs none. The first
    /// is the one that the function is about.
    pub capabilities: &'static [Capability],
}

/// The WebAssembly type of a parameter in the table.
macro_rules! value_type {
    (u32) => {
        ValType::I32
    };
    (u64) => {
        ValType::I64
    };
}

/// The result types of a row of the table.
macro_rules! results {
    () => {
        &[ValType::I32]
    };
    (!) => {
        &[]
    };
}

macro_rules! host_functions {
    (
        $($module:literal { $(
            $id:ident = $name:ident($($param:ident: $type:ident),*) $(-> $never:tt)? $(needs [$($capability:ident),+])?;
        )* })*
        also $alias:literal { $(
            $alias_id:ident = $alias_name:ident($($alias_param:ident: $alias_type:ident),*) $(-> $alias_never:tt)?
            $(needs [$($alias_capability:ident),+])?;
        )* }
    ) => {
        /// All functions that guests can import.
        pub const FUNCTIONS: &[HostFunction] = &[
            $($(HostFunction {
                module: $module,
                name: stringify!($name),
                params: &[$(value_type!($type)),*],
                results: results!($($never)?),
                capabilities: &[$($(Capability::$capability),+)?],
            },)*)*
            $(HostFunction {
                module: $alias,
                name: stringify!($alias_name),
                params: &[$(value_type!($alias_type)),*],
                results: results!($($alias_never)?),
                capabilities: &[$($(Capability::$alias_capability),+)?],
            },)*
        ];
    };
}

wasi_functions!(host_functions);

/// Returns the function `name` of `module`.
#[must_use]
pub fn find(module: &str, name: &str) -> Option<&'static HostFunction> {
    FUNCTIONS.iter().find(|function| function.module == module && function.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREVIEW1: &str = "wasi_snapshot_preview1";

    #[test]
    fn functions_are_unique() {
        for function in FUNCTIONS {
            assert_eq!(
                FUNCTIONS.iter().filter(|other| (other.module, other.name) == (function.module, function.name)).count(),
                1
            );
        }
    }

    #[test]
    fn functions_are_found_in_their_module_only() {
        assert_eq!(find(PREVIEW1, "fd_read").map(|function| function.params.len()), Some(4));
        assert_eq!(find(PREVIEW1, "path_open").map(|function| function.params.len()), Some(9));
        assert!(find(PREVIEW1, "sock_open").is_none());
        assert!(find("env", "fd_read").is_none());
        assert!(find(PREVIEW1, "submit").is_none());
        assert!(find("kwasmi_batch_1", "submit").is_some());
        assert_eq!(find(PREVIEW1, "proc_exit").map(|function| function.results), Some([].as_slice()));
    }
}
