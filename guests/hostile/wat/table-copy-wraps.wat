;; SPDX-License-Identifier: GPL-2.0
;; `table.copy` with an offset that wraps around.
;; ends: trap out of bounds table access
(module
  (type $none (func))
  (type $one (func (param i32)))
  (table $t 10 funcref)
  (table $u 3 funcref)
  (elem $e func $f $f)
  (elem (table $t) (i32.const 0) func $f)
  (func $f)
  (func (export "_start")
    (table.copy $u $t (i32.const 0) (i32.const -1) (i32.const 2))))
