;; SPDX-License-Identifier: GPL-2.0
;; Nested endless loops.
;; options: --fuel 3000000
;; ends: limit fuel
(module
  (func (export "_start")
    (local $count i32)
    (loop $outer
      (loop $middle
        (loop $inner
          (br_if $inner (i32.and (local.tee $count (i32.add (local.get $count) (i32.const 1))) (i32.const 1023))))
        (br_if $middle (i32.and (local.get $count) (i32.const 0xfffff))))
      (br $outer))))
