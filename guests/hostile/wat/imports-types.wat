;; SPDX-License-Identifier: GPL-2.0
;; Imports each existing function with a wrong type.
;; ends: refused missing imports: wrong type for function
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func (param i64)))
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func))
  (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32 i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (memory 1))
  (import "wasi_snapshot_preview1" "args_get" (global i32))
  (func (export "_start")))
