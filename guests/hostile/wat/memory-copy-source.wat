;; SPDX-License-Identifier: GPL-2.0
;; `memory.copy` from beyond the end of memory.
;; ends: trap out of bounds memory access
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (memory.copy (i32.const 0) (i32.const 0xffff) (i32.const 2))))
