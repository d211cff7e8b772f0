;; SPDX-License-Identifier: GPL-2.0
;; `memory.fill` of a range that wraps around.
;; ends: trap out of bounds memory access
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (memory.fill (i32.const 0xfffffff0) (i32.const 0) (i32.const 0x20))))
