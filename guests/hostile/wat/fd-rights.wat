;; SPDX-License-Identifier: GPL-2.0
;; Drops its rights, requests them back, and reads.
;; ends: exit 76
(module
  (import "wasi_snapshot_preview1" "fd_fdstat_set_rights" (func $set_rights (param i32 i64 i64) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $set_rights (i32.const 0) (i64.const 0) (i64.const 0)))
    (if (i32.eqz (call $set_rights (i32.const 0) (i64.const 2) (i64.const 0)))
      (then unreachable))
    (if (i32.eqz (call $set_rights (i32.const 0) (i64.const -1) (i64.const -1)))
      (then unreachable))
    (call $proc_exit (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))))
