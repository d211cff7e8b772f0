;; SPDX-License-Identifier: GPL-2.0
;; Asks 4,096 clocks at once, all of them due, for ever: one call makes 8,192 readings.
;; options: --timeout 500ms
;; ends: limit time
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 8)
  (func (export "_start")
    (loop $forever
      (br_if $forever
        (i32.eqz (call $poll_oneoff (i32.const 0) (i32.const 196608) (i32.const 4096) (i32.const 524284))))
      unreachable)))
