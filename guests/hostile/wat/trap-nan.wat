;; SPDX-License-Identifier: GPL-2.0
;; Converts NaN to an integer.
;; ends: trap invalid conversion to integer
(module
  (func (export "_start")
    (drop (i32.trunc_f32_s (f32.const nan:0x200000)))))
