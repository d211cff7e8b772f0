;; SPDX-License-Identifier: GPL-2.0
;; `memory.init` from a segment that was dropped twice.
;; ends: trap out of bounds memory access
(module
  (memory (export "memory") 1)
  (data $bytes "0123456789")
  (func (export "_start")
    (memory.init $bytes (i32.const 0) (i32.const 0) (i32.const 10))
    (data.drop $bytes)
    (data.drop $bytes)
    (memory.init $bytes (i32.const 0) (i32.const 0) (i32.const 0))
    (memory.init $bytes (i32.const 0) (i32.const 0) (i32.const 1))))
