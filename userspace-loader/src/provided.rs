// SPDX-License-Identifier: GPL-2.0

//! The functions that kwasmi provides to guests, with their types.

use wasmparser::ValType::{
    self,
    I32,
    I64, //
};

/// Import module of WASI preview 1.
pub const PREVIEW1: &str = "wasi_snapshot_preview1";

/// Import module of batched operations (`docs/batch.md`).
pub const BATCH: &str = "kwasmi_batch_1";

/// Import module of byte searches (`docs/bytes.md`).
pub const BYTES: &str = "kwasmi_bytes_1";

/// A provided function.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Import module of the function.
    pub module: &'static str,
    /// Name.
    pub name: &'static str,
    /// Parameter types.
    pub params: &'static [ValType],
    /// Result types.
    pub results: &'static [ValType],
}

/// Returns a function of preview 1 that returns an `errno`.
const fn function(name: &'static str, params: &'static [ValType]) -> Function {
    Function { module: PREVIEW1, name, params, results: &[I32] }
}

/// All provided functions, ordered by module and name: batches, bytes, and the [definition of
/// preview 1](https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md).
pub const FUNCTIONS: &[Function] = &[
    Function { module: BATCH, ..function("submit", &[I32, I32, I32]) },
    Function { module: BATCH, ..function("wait", &[I32, I32, I64, I32, I32, I32]) },
    Function { module: BYTES, ..function("count", &[I32, I32, I32, I32]) },
    Function { module: BYTES, ..function("find", &[I32, I32, I32, I32]) },
    function("args_get", &[I32, I32]),
    function("args_sizes_get", &[I32, I32]),
    function("clock_res_get", &[I32, I32]),
    function("clock_time_get", &[I32, I64, I32]),
    function("environ_get", &[I32, I32]),
    function("environ_sizes_get", &[I32, I32]),
    function("fd_advise", &[I32, I64, I64, I32]),
    function("fd_allocate", &[I32, I64, I64]),
    function("fd_close", &[I32]),
    function("fd_datasync", &[I32]),
    function("fd_fdstat_get", &[I32, I32]),
    function("fd_fdstat_set_flags", &[I32, I32]),
    function("fd_fdstat_set_rights", &[I32, I64, I64]),
    function("fd_filestat_get", &[I32, I32]),
    function("fd_filestat_set_size", &[I32, I64]),
    function("fd_filestat_set_times", &[I32, I64, I64, I32]),
    function("fd_pread", &[I32, I32, I32, I64, I32]),
    function("fd_prestat_dir_name", &[I32, I32, I32]),
    function("fd_prestat_get", &[I32, I32]),
    function("fd_pwrite", &[I32, I32, I32, I64, I32]),
    function("fd_read", &[I32, I32, I32, I32]),
    function("fd_readdir", &[I32, I32, I32, I64, I32]),
    function("fd_renumber", &[I32, I32]),
    function("fd_seek", &[I32, I64, I32, I32]),
    function("fd_sync", &[I32]),
    function("fd_tell", &[I32, I32]),
    function("fd_write", &[I32, I32, I32, I32]),
    function("path_create_directory", &[I32, I32, I32]),
    function("path_filestat_get", &[I32, I32, I32, I32, I32]),
    function("path_filestat_set_times", &[I32, I32, I32, I32, I64, I64, I32]),
    function("path_link", &[I32, I32, I32, I32, I32, I32, I32]),
    function("path_open", &[I32, I32, I32, I32, I32, I64, I64, I32, I32]),
    function("path_readlink", &[I32, I32, I32, I32, I32, I32]),
    function("path_remove_directory", &[I32, I32, I32]),
    function("path_rename", &[I32, I32, I32, I32, I32, I32]),
    function("path_symlink", &[I32, I32, I32, I32, I32]),
    function("path_unlink_file", &[I32, I32, I32]),
    function("poll_oneoff", &[I32, I32, I32, I32]),
    Function { results: &[], ..function("proc_exit", &[I32]) },
    function("proc_raise", &[I32]),
    function("random_get", &[I32, I32]),
    function("sched_yield", &[]),
    function("sock_accept", &[I32, I32, I32]),
    function("sock_recv", &[I32, I32, I32, I32, I32, I32]),
    function("sock_send", &[I32, I32, I32, I32, I32]),
    function("sock_shutdown", &[I32, I32]),
];

/// Returns the function `name` of `module`, if kwasmi provides it.
#[must_use]
pub fn find(module: &str, name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.module == module && function.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_sorted_and_unique() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| (a.module, a.name) < (b.module, b.name)));
    }

    #[test]
    fn functions_are_found_in_their_module_only() {
        assert_eq!(find(PREVIEW1, "fd_read").map(|function| function.params.len()), Some(4));
        assert_eq!(find(PREVIEW1, "path_open").map(|function| function.params.len()), Some(9));
        assert!(find(PREVIEW1, "sock_open").is_none());
        assert!(find("env", "fd_read").is_none());
        assert!(find(PREVIEW1, "submit").is_none());
        assert!(find(BATCH, "submit").is_some());
    }
}
