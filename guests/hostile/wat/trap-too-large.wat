;; SPDX-License-Identifier: GPL-2.0
;; Converts a number that is too large by one to an integer.
;; ends: trap integer overflow
(module
  (func (export "_start")
    (drop (i32.trunc_f64_s (f64.const 2147483648)))))
