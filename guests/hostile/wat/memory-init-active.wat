;; SPDX-License-Identifier: GPL-2.0
;; `memory.init` from an active segment, which was dropped after it was copied.
;; ends: trap out of bounds memory access
(module
  (memory (export "memory") 1)
  (data $bytes (i32.const 0) "0123456789")
  (func (export "_start")
    (memory.init $bytes (i32.const 0) (i32.const 0) (i32.const 1))))
