;; SPDX-License-Identifier: GPL-2.0
;; Writes its whole memory of 32 MiB to its standard output, in pieces, forever.
;; options: --timeout 500ms
;; ends: limit time
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 512)
  (func (export "_start")
    (local $at i32)
    ;; 1,024 vectors of 32 KiB.
    (loop $next
      (i32.store (i32.shl (local.get $at) (i32.const 3)) (i32.shl (local.get $at) (i32.const 15)))
      (i32.store offset=4 (i32.shl (local.get $at) (i32.const 3)) (i32.const 32768))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 1024))))
    (loop $forever
      (br_if $forever (i32.eqz (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1024) (i32.const 8192))))
      unreachable)))
