;; SPDX-License-Identifier: GPL-2.0
;; Converts infinity to an integer.
;; ends: trap integer overflow
(module
  (func (export "_start")
    (drop (i64.trunc_f64_u (f64.const -inf)))))
