;; SPDX-License-Identifier: GPL-2.0
;; Reads into the list of vectors of the same read.
;; ends: exit 0
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\00\00\00\00\00\01\00\00\00\00\00\00\00\01\00\00\04\00\00\00\00\00\01\00")
  (data (i32.const 16) "\00\00\00\00\00\00\01\00")
  (func (export "_start")
    ;; A vector of the whole memory, and a result inside of the list of vectors.
    (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 3) (i32.const 4))
      (then unreachable))))
