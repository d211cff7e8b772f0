;; SPDX-License-Identifier: GPL-2.0
;; Fills 32 MiB by one instruction, forever.
;; options: --timeout 500ms
;; ends: limit time
(module
  (memory (export "memory") 512)
  (func (export "_start")
    (loop $forever
      (memory.fill (i32.const 0) (i32.const 0xa5) (i32.const 0x2000000))
      (br $forever))))
