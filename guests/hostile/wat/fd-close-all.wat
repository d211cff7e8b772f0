;; SPDX-License-Identifier: GPL-2.0
;; Closes all descriptors up to 100,000, twice, then uses its standard streams.
;; ends: exit 8
(module
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (local $fd i32)
    (loop $next
      (drop (call $fd_close (local.get $fd)))
      (drop (call $fd_close (local.get $fd)))
      (br_if $next (i32.lt_u (local.tee $fd (i32.add (local.get $fd) (i32.const 1))) (i32.const 100000))))
    (call $proc_exit (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))))
