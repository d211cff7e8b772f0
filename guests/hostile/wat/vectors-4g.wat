;; SPDX-License-Identifier: GPL-2.0
;; 4 billion vectors.
;; ends: exit 21
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  ;; Vectors that reach the end of memory, wrap around, and add up to more than 4 GiB.
  (data (i32.const 0) "\00\00\00\00\00\00\01\00")
  (data (i32.const 8) "\f0\ff\ff\ff\20\00\00\00")
  (data (i32.const 16) "\00\00\00\00\ff\ff\ff\ff")
  (data (i32.const 24) "\00\00\00\00\ff\ff\ff\ff")
  (func (export "_start")
    (call $proc_exit (call $fd_write (i32.const 1) (i32.const 0) (i32.const 0xffffffff) (i32.const 64)))))
