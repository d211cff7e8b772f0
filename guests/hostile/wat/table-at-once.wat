;; SPDX-License-Identifier: GPL-2.0
;; Grows its table by 4 billion elements at once.
;; ends: limit table
(module
  (table 0 funcref)
  (func (export "_start")
    (drop (table.grow (ref.null func) (i32.const 0x7fffffff)))))
