;; SPDX-License-Identifier: GPL-2.0
;; Divides by zero.
;; ends: trap integer divide by zero
(module
  (func (export "_start")
    (drop (i64.div_s (i64.const 1) (i64.const 0)))))
