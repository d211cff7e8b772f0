;; SPDX-License-Identifier: GPL-2.0
;; Endless recursion through a table.
;; ends: limit stack
(module
  (type $self (func (param i64) (result i64)))
  (table funcref (elem $deeper))
  (func $deeper (type $self)
    (i64.add (local.get 0) (call_indirect (type $self) (i64.add (local.get 0) (i64.const 1)) (i32.const 0))))
  (func (export "_start")
    (drop (call $deeper (i64.const 0)))))
