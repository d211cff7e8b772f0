;; SPDX-License-Identifier: GPL-2.0
;; A remainder, 0, for which the processor's own instruction would raise an exception.
;; ends: exit 0
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (func (export "_start")
    (if (i64.ne (i64.rem_s (i64.const 0x8000000000000000) (i64.const -1)) (i64.const 0))
      (then unreachable))
    (call $proc_exit (i32.rem_s (i32.const 0x80000000) (i32.const -1)))))
