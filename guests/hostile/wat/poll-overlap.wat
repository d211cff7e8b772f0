;; SPDX-License-Identifier: GPL-2.0
;; Polls with the events over the subscriptions, which are still to be read.
;; ends: exit 0
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (local $at i32)
    (loop $next
      (drop (call $poll_oneoff (local.get $at) (i32.const 0) (i32.const 64) (i32.const 8)))
      (drop (call $poll_oneoff (i32.const 0) (local.get $at) (i32.const 64) (local.get $at)))
      (memory.fill (i32.const 0) (i32.const 0) (i32.const 8192))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 200))))))
