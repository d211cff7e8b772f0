;; SPDX-License-Identifier: GPL-2.0
;; The start function is a host function with a type that a start function cannot have.
;; ends: refused the start function takes parameters or has results
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (start $proc_exit)
  (func (export "_start")))
