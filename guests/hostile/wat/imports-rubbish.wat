;; SPDX-License-Identifier: GPL-2.0
;; Imports functions that do not exist, whose names have terminal escapes, newlines and marks that
;; change the text direction.
;; ends: refused missing imports
(module
  (import "\1b[2J\1b]0;owned\07" "\0d\0akwasmi: all is well" (func))
  (import "" "" (func (param i64 f32) (result f64)))
  (import "\e2\80\ae\e2\81\a6" "\00\00" (func))
  (import "wasi_snapshot_preview1" "fd_write\00" (func (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1 " "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (import "wasi_unstable" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (import "kwasmi_test" "panic" (func))
  (import "env" "memory" (memory 65536))
  (import "env" "table" (table 10000000 funcref))
  (import "env" "global" (global (mut i64)))
  (func (export "_start")))
