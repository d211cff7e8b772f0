;; SPDX-License-Identifier: GPL-2.0
;; Traps in its start function, so that `_start`, which exits, is never called.
;; ends: trap unreachable
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (func $start
    unreachable)
  (start $start)
  (func (export "_start")
    (call $proc_exit (i32.const 0))))
