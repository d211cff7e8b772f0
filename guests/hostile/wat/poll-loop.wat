;; SPDX-License-Identifier: GPL-2.0
;; Polls 4,096 clocks, all of them due, forever. Each call reads 8,192 clocks.
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
