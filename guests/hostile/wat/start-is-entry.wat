;; SPDX-License-Identifier: GPL-2.0
;; A function that is both start function and entry: it runs twice, then exits with the count.
;; ends: exit 2
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (global $runs (mut i32) (i32.const 0))
  (func $start (export "_start")
    (global.set $runs (i32.add (global.get $runs) (i32.const 1)))
    (if (i32.eq (global.get $runs) (i32.const 2))
      (then (call $proc_exit (global.get $runs)))))
  (start $start))
