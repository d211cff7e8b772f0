;; SPDX-License-Identifier: GPL-2.0
;; Exits with 256, which does not fit into an exit status.
;; ends: trap proc_exit: exit status 256 is outside 0..=255
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (func (export "_start")
    (call $proc_exit (i32.const 256))
    unreachable))
