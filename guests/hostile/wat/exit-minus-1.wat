;; SPDX-License-Identifier: GPL-2.0
;; Exits with -1: the low 8 bits are what is left of it.
;; ends: exit 255
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (func (export "_start")
    (call $proc_exit (i32.const -1))
    unreachable))
