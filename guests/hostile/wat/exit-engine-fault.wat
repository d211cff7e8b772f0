;; SPDX-License-Identifier: GPL-2.0
;; Exits with the status of an engine fault. Without a message, it is the guest's own status.
;; ends: exit 125
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (func (export "_start")
    (call $proc_exit (i32.const 125))
    unreachable))
