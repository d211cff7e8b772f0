;; SPDX-License-Identifier: GPL-2.0
;; Exits with the status of a killed process.
;; ends: exit 137
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (func (export "_start")
    (call $proc_exit (i32.const 137))
    unreachable))
