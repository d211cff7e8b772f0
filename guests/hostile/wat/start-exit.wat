;; SPDX-License-Identifier: GPL-2.0
;; Exits in its start function, so that `_start`, which traps, is never called.
;; ends: exit 7
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (func $start
    (call $proc_exit (i32.const 7)))
  (start $start)
  (func (export "_start")
    unreachable))
