;; SPDX-License-Identifier: GPL-2.0
;; Copies 32 MiB onto themselves, shifted by one byte, forever.
;; options: --timeout 500ms
;; ends: limit time
(module
  (memory (export "memory") 512)
  (func (export "_start")
    (loop $forever
      (memory.copy (i32.const 1) (i32.const 0) (i32.const 0x1ffffff))
      (memory.copy (i32.const 0) (i32.const 1) (i32.const 0x1ffffff))
      (br $forever))))
