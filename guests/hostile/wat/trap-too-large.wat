;; SPDX-License-Identifier: GPL-2.0
;; Makes an integer of a number that is too large by one.
;; ends: trap integer overflow
(module
  (func (export "_start")
    (drop (i32.trunc_f64_s (f64.const 2147483648)))))
