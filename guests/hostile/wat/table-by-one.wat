;; SPDX-License-Identifier: GPL-2.0
;; Grows its table by one element at a time.
;; options: --table 100000
;; ends: limit table
(module
  (table 0 externref)
  (func (export "_start")
    (loop $next
      (br_if $next (i32.ne (table.grow (ref.null extern) (i32.const 1)) (i32.const -1))))
    unreachable))
