;; SPDX-License-Identifier: GPL-2.0
;; Tail-calls host functions, the last one `proc_exit`.
;; ends: exit 9
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (func $yield (result i32)
    (return_call $sched_yield))
  (func (export "_start")
    (drop (call $yield))
    (return_call $proc_exit (i32.const 9))))
