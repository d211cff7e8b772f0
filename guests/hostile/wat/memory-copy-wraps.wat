;; SPDX-License-Identifier: GPL-2.0
;; `memory.copy` of a range that wraps around.
;; ends: trap out of bounds memory access
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (memory.copy (i32.const 0xfffffff0) (i32.const 8) (i32.const 0x20))))
