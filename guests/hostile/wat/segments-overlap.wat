;; SPDX-License-Identifier: GPL-2.0
;; Overlapping active segments, of which the last one counts.
;; ends: exit 51
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "111111")
  (data (i32.const 2) "222222")
  (data (i32.const 1) "3")
  (func (export "_start")
    (call $proc_exit (i32.load8_u (i32.const 1)))))
