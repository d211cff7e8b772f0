;; SPDX-License-Identifier: GPL-2.0
;; Fills 16 MiB with random bytes forever. The call must be interrupted.
;; options: --timeout 500ms
;; ends: limit time
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 256)
  (func (export "_start")
    (loop $forever
      (br_if $forever (i32.eqz (call $random_get (i32.const 0) (i32.const 0x1000000))))
      unreachable)))
