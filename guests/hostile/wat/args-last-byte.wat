;; SPDX-License-Identifier: GPL-2.0
;; Requests its arguments at the end of memory, at every distance from it.
;; ends: exit 21
(module
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (local $at i32)
    (local.set $at (i32.const 65000))
    (loop $next
      (drop (call $args_get (local.get $at) (i32.const 0)))
      (drop (call $args_get (i32.const 0) (local.get $at)))
      (drop (call $args_get (local.get $at) (local.get $at)))
      (drop (call $environ_get (local.get $at) (local.get $at)))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 66000))))
    (call $proc_exit (call $args_get (i32.const 0) (i32.const 65535)))))
