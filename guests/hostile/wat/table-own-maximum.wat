;; SPDX-License-Identifier: GPL-2.0
;; Grows its table beyond its declared maximum, which fails by the specification.
;; ends: exit 0
(module
  (table 1 2 funcref)
  (func (export "_start")
    (if (i32.ne (table.grow (ref.null func) (i32.const 2)) (i32.const -1))
      (then unreachable))))
