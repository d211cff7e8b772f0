;; SPDX-License-Identifier: GPL-2.0
;; Sleeps until the largest time.
;; options: --timeout 500ms
;; ends: limit time
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; Two subscriptions to the monotonic clock, for 2^64 - 1 ns: relative and absolute.
  (data (i32.const 16) "\01")
  (data (i32.const 24) "\ff\ff\ff\ff\ff\ff\ff\ff")
  (data (i32.const 64) "\01")
  (data (i32.const 72) "\ff\ff\ff\ff\ff\ff\ff\ff")
  (data (i32.const 88) "\01")
  (func (export "_start")
    (drop (call $poll_oneoff (i32.const 0) (i32.const 128) (i32.const 2) (i32.const 1024)))
    unreachable))
