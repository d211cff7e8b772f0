;; SPDX-License-Identifier: GPL-2.0
;; Moves its descriptors onto one another and onto themselves forever; their number does not grow.
;; options: --timeout 500ms
;; ends: limit time
(module
  (import "wasi_snapshot_preview1" "fd_renumber" (func $fd_renumber (param i32 i32) (result i32)))
  (func (export "_start")
    (local $n i32)
    (drop (call $fd_renumber (i32.const 1) (i32.const 1)))
    (drop (call $fd_renumber (i32.const 1) (i32.const 0)))
    (drop (call $fd_renumber (i32.const 1) (i32.const 0)))
    (drop (call $fd_renumber (i32.const 0) (i32.const -1)))
    (drop (call $fd_renumber (i32.const -1) (i32.const 0)))
    (loop $forever
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (drop (call $fd_renumber (i32.const 0) (local.get $n)))
      (drop (call $fd_renumber (i32.const 0) (i32.const 0)))
      (br $forever))))
