;; SPDX-License-Identifier: GPL-2.0
;; Writes spaces to its standard error, to which kwasmi's message is written too.
;; options: --fuel 1000
;; ends: limit fuel
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\00\04\00\00")
  (func (export "_start")
    (memory.fill (i32.const 16) (i32.const 0x20) (i32.const 1024))
    (loop $forever
      (br_if $forever (i32.eqz (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))))
      unreachable)))
