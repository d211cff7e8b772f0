;; SPDX-License-Identifier: GPL-2.0
;; Grows its memory by more pages than a memory can have, which fails by the specification.
;; ends: exit 0
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (if (i32.ne (memory.grow (i32.const -1)) (i32.const -1))
      (then unreachable))
    (if (i32.ne (memory.grow (i32.const 65536)) (i32.const -1))
      (then unreachable))))
