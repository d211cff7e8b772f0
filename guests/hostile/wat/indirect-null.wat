;; SPDX-License-Identifier: GPL-2.0
;; Calls an empty element of a table.
;; ends: trap uninitialized element
(module
  (type $none (func))
  (type $one (func (param i32)))
  (table $t 10 funcref)
  (table $u 3 funcref)
  (elem $e func $f $f)
  (elem (table $t) (i32.const 0) func $f)
  (func $f)
  (func (export "_start")
    (call_indirect $t (type $none) (i32.const 5))))
