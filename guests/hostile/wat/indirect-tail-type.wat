;; SPDX-License-Identifier: GPL-2.0
;; Tail-calls a function with a wrong type.
;; ends: trap indirect call type mismatch
(module
  (type $none (func))
  (type $one (func (param i32)))
  (table $t 10 funcref)
  (table $u 3 funcref)
  (elem $e func $f $f)
  (elem (table $t) (i32.const 0) func $f)
  (func $f)
  (func (export "_start")
    (return_call_indirect $t (type $one) (i32.const 5) (i32.const 0))))
