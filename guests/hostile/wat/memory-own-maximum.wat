;; SPDX-License-Identifier: GPL-2.0
;; Grows its memory beyond its declared maximum, which fails by the specification.
;; ends: exit 0
(module
  (memory (export "memory") 1 2)
  (func (export "_start")
    (drop (memory.grow (i32.const 1)))
    (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1))
      (then unreachable))))
