;; SPDX-License-Identifier: GPL-2.0
;; `memory.init` with an offset in the segment that wraps around.
;; ends: trap out of bounds memory access
(module
  (memory (export "memory") 1)
  (data $bytes "0123456789")
  (func (export "_start")
    (memory.init $bytes (i32.const 0) (i32.const 0xffffffff) (i32.const 2))))
