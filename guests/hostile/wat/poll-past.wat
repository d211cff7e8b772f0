;; SPDX-License-Identifier: GPL-2.0
;; Polls for a past time, which is due at once.
;; ends: exit 1
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 24) "\01")
  (data (i32.const 40) "\01")
  (func (export "_start")
    (if (call $poll_oneoff (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 1024))
      (then unreachable))
    (call $proc_exit (i32.load (i32.const 1024)))))
