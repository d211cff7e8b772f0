;; SPDX-License-Identifier: GPL-2.0
;; Calls itself twice, 40 levels deep, which would take hours.
;; options: --fuel 3000000
;; ends: limit fuel
(module
  (func $tree (param $depth i32)
    (if (local.get $depth)
      (then
        (call $tree (i32.sub (local.get $depth) (i32.const 1)))
        (call $tree (i32.sub (local.get $depth) (i32.const 1))))))
  (func (export "_start")
    (call $tree (i32.const 40))))
