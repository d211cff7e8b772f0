;; SPDX-License-Identifier: GPL-2.0
;; Grows its memory by 0 pages forever.
;; options: --fuel 1000000
;; ends: limit fuel
(module
  (memory (export "memory") 16)
  (func (export "_start")
    (loop $forever
      (br_if $forever (i32.eq (memory.grow (i32.const 0)) (i32.const 16)))
      unreachable)))
