;; SPDX-License-Identifier: GPL-2.0
;; Endless recursion with a host call at each level.
;; ends: limit stack
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
  (func $deeper (result i32)
    (i32.add (call $sched_yield) (call $deeper)))
  (func (export "_start")
    (drop (call $deeper))))
