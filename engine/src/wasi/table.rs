// SPDX-License-Identifier: GPL-2.0

//! The functions that a guest can import: the only list of them.
//!
//! The engine makes its functions from it ([`functions`](super::functions)), and what links them
//! into wasmi ([`link`](super::link)); the `kwasmi` command compiles this file, too.

/// Calls `$apply!` with the functions, by module, and then with the names that modules have for
/// functions of others: `"MODULE" { FUNCTION = NAME(PARAMETERS); ... } ... also "MODULE" { FUNCTION
/// = NAME(PARAMETERS); ... }`.
///
/// A row of the table is `NAME(PARAMETERS)`: a function that returns a preview 1 `errno`; with `->
/// !`, one that does not return. The parameters are those of the WebAssembly function: `u32` is an
/// `i32`, `u64` an `i64`. A manifest must have one of the capabilities after `needs`; the first is
/// the one that the function is about. The number of a kwasmi module changes when one of its
/// functions changes.
macro_rules! wasi_functions {
    ($apply:ident) => {
        wasi_functions! {
            @modules $apply
            // Functions of `wasi_snapshot_preview1` that are the same in its predecessor
            // `wasi_unstable`, preview 0.
            // https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md
            // https://github.com/WebAssembly/WASI/blob/main/legacy/preview0/docs.md
            same {
                args_get(argv: u32, argv_buf: u32);
                args_sizes_get(count: u32, bytes: u32);
                environ_get(environ: u32, environ_buf: u32);
                environ_sizes_get(count: u32, bytes: u32);
                clock_res_get(id: u32, resolution: u32) needs [Clocks];
                clock_time_get(id: u32, precision: u64, time: u32) needs [Clocks];
                fd_advise(fd: u32, offset: u64, len: u64, advice: u32);
                fd_allocate(fd: u32, offset: u64, len: u64);
                fd_close(fd: u32);
                fd_datasync(fd: u32);
                fd_fdstat_get(fd: u32, stat: u32);
                fd_fdstat_set_flags(fd: u32, flags: u32);
                fd_fdstat_set_rights(fd: u32, rights: u64, inheriting: u64);
                fd_filestat_set_size(fd: u32, size: u64);
                fd_filestat_set_times(fd: u32, atime: u64, mtime: u64, flags: u32);
                fd_pread(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nread: u32);
                fd_prestat_get(fd: u32, prestat: u32);
                fd_prestat_dir_name(fd: u32, path: u32, path_len: u32);
                fd_pwrite(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nwritten: u32);
                fd_read(fd: u32, iovs: u32, iovs_len: u32, nread: u32);
                fd_readdir(fd: u32, buf: u32, buf_len: u32, cookie: u64, used: u32) needs [Files];
                fd_renumber(fd: u32, to: u32);
                fd_sync(fd: u32);
                fd_tell(fd: u32, position: u32);
                fd_write(fd: u32, iovs: u32, iovs_len: u32, nwritten: u32);
                path_create_directory(fd: u32, path: u32, path_len: u32) needs [Files];
                path_filestat_set_times(
                    fd: u32, flags: u32, path: u32, path_len: u32, atime: u64, mtime: u64,
                    fst_flags: u32
                ) needs [Files];
                path_link(
                    old_fd: u32, old_flags: u32, old_path: u32, old_path_len: u32, new_fd: u32,
                    new_path: u32, new_path_len: u32
                ) needs [Files];
                path_open(
                    fd: u32, dirflags: u32, path: u32, path_len: u32, oflags: u32, rights: u64,
                    inheriting: u64, fdflags: u32, opened: u32
                ) needs [Files];
                path_readlink(fd: u32, path: u32, path_len: u32, buf: u32, buf_len: u32, used: u32) needs [Files];
                path_remove_directory(fd: u32, path: u32, path_len: u32) needs [Files];
                path_rename(
                    fd: u32, old_path: u32, old_path_len: u32, new_fd: u32, new_path: u32,
                    new_path_len: u32
                ) needs [Files];
                path_symlink(target: u32, target_len: u32, fd: u32, path: u32, path_len: u32) needs [Files];
                path_unlink_file(fd: u32, path: u32, path_len: u32) needs [Files];
                proc_exit(status: u32) -> !;
                proc_raise(signal: u32);
                random_get(buf: u32, buf_len: u32) needs [Random];
                sched_yield();
                sock_recv(
                    fd: u32, data: u32, data_len: u32, flags: u32, received: u32, out_flags: u32
                ) needs [Sockets];
                sock_send(fd: u32, data: u32, data_len: u32, flags: u32, sent: u32) needs [Sockets];
                sock_shutdown(fd: u32, how: u32) needs [Sockets];
            }
            // Functions that are not: that of preview 1, and that of preview 0.
            different {
                fd_filestat_get | unstable_fd_filestat_get(fd: u32, stat: u32);
                fd_seek | unstable_fd_seek(fd: u32, offset: u64, whence: u32, position: u32);
                path_filestat_get | unstable_path_filestat_get(
                    fd: u32, flags: u32, path: u32, path_len: u32, stat: u32
                ) needs [Files];
                poll_oneoff | unstable_poll_oneoff(
                    subscriptions: u32, events: u32, count: u32, nevents: u32
                ) needs [Clocks, Sockets];
            }
            // Functions of preview 1 only.
            new {
                sock_accept(fd: u32, flags: u32, accepted: u32) needs [Sockets];
            }
            // docs/batch.md
            "kwasmi_batch_1" {
                submit(ops: u32, number: u32, ndone: u32);
                wait(ops: u32, number: u32, timeout: u64, completed: u32, max: u32, ncompleted: u32) needs [Sockets];
            }
            // docs/bytes.md
            "kwasmi_bytes_1" {
                find(bytes: u32, len: u32, byte: u32, found: u32);
                count(bytes: u32, len: u32, byte: u32, counted: u32);
            }
            // docs/calls.md
            "kwasmi_call_1" {
                input(buf: u32, buf_len: u32, offset: u32, size: u32);
                output(buf: u32, buf_len: u32);
            }
        }
    };
    (
        @modules $apply:ident
        same { $($same:ident $params:tt $(-> $never:tt)? $(needs $needs:tt)?;)* }
        different { $($different:ident | $unstable:ident $different_params:tt $(needs $different_needs:tt)?;)* }
        new { $($new:ident $new_params:tt $(needs $new_needs:tt)?;)* }
        $($module:literal { $($name:ident $other_params:tt $(needs $other_needs:tt)?;)* })*
    ) => {
        $apply! {
            "wasi_snapshot_preview1" {
                $($same = $same $params $(-> $never)? $(needs $needs)?;)*
                $($different = $different $different_params $(needs $different_needs)?;)*
                $($new = $new $new_params $(needs $new_needs)?;)*
            }
            "wasi_unstable" { $($unstable = $different $different_params $(needs $different_needs)?;)* }
            $($module { $($name = $name $other_params $(needs $other_needs)?;)* })*
            also "wasi_unstable" { $($same = $same $params $(-> $never)? $(needs $needs)?;)* }
        }
    };
}

pub(crate) use wasi_functions;
