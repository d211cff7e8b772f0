;; SPDX-License-Identifier: GPL-2.0
;; Sleeps for one nanosecond, forever.
;; options: --timeout 500ms
;; ends: limit time
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\01")
  (data (i32.const 24) "\01")
  (func (export "_start")
    (loop $forever
      (br_if $forever (i32.eqz (call $poll_oneoff (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 1024))))
      unreachable)))
