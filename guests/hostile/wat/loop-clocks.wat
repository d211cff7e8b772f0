;; SPDX-License-Identifier: GPL-2.0
;; Reads each clock forever, including clocks that do not exist.
;; options: --timeout 500ms
;; ends: limit time
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_res_get" (func $clock_res_get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (local $clock i32)
    (loop $forever
      (local.set $clock (i32.add (local.get $clock) (i32.const 1)))
      (drop (call $clock_time_get (i32.and (local.get $clock) (i32.const 7)) (i64.const -1) (i32.const 65529)))
      (drop (call $clock_time_get (i32.and (local.get $clock) (i32.const 3)) (i64.const 0) (i32.const 65528)))
      (drop (call $clock_res_get (i32.and (local.get $clock) (i32.const 3)) (i32.const 1)))
      (br $forever))))
