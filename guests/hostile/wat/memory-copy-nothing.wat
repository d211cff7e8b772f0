;; SPDX-License-Identifier: GPL-2.0
;; `memory.copy` of 0 bytes, one byte beyond the end of memory.
;; ends: trap out of bounds memory access
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (memory.copy (i32.const 65536) (i32.const 65536) (i32.const 0))
    (memory.copy (i32.const 65537) (i32.const 0) (i32.const 0))))
