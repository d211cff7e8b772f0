;; SPDX-License-Identifier: GPL-2.0
;; A 64-bit quotient that overflows, for which the processor's own instruction would raise an
;; exception.
;; ends: trap integer overflow
(module
  (func (export "_start")
    (drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1)))))
