;; SPDX-License-Identifier: GPL-2.0
;; Writes 1,024 vectors of no bytes forever.
;; options: --timeout 500ms
;; ends: limit time
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $forever
      (br_if $forever (i32.eqz (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1024) (i32.const 8192))))
      unreachable)))
