;; SPDX-License-Identifier: GPL-2.0
;; Writes to each page of 32 MiB, backwards, forever.
;; options: --timeout 500ms
;; ends: limit time
(module
  (memory (export "memory") 512)
  (func (export "_start")
    (local $at i32)
    (loop $forever
      (local.set $at (i32.sub (local.get $at) (i32.const 4096)))
      (i64.store (i32.and (local.get $at) (i32.const 0x1fff000)) (i64.const -1))
      (br $forever))))
