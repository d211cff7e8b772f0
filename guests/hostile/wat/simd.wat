;; SPDX-License-Identifier: GPL-2.0
;; A vector that begins in the memory and ends outside.
;; ends: trap out of bounds memory access
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (v128.store (i32.const 0) (i8x16.add (v128.load (i32.const 65521)) (v128.const i64x2 -1 -1)))))
