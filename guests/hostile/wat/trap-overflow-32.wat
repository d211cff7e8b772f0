;; SPDX-License-Identifier: GPL-2.0
;; A quotient that overflows, for which the processor's own instruction would raise an exception.
;; ends: trap integer overflow
(module
  (func (export "_start")
    (drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))))
