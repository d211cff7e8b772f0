;; SPDX-License-Identifier: GPL-2.0
;; Sleeps by 4,096 clocks, each until the largest time.
;; options: --timeout 500ms
;; ends: limit time
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 8)
  (func (export "_start")
    (local $at i32)
    (loop $next
      (i32.store offset=16 (local.get $at) (i32.const 1))
      (i64.store offset=24 (local.get $at) (i64.const -1))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 48))) (i32.const 196608))))
    (drop (call $poll_oneoff (i32.const 0) (i32.const 196608) (i32.const 4096) (i32.const 524284)))
    unreachable))
