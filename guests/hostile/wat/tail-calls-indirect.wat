;; SPDX-License-Identifier: GPL-2.0
;; Two functions that tail-call each other through a table forever, with different numbers of
;; parameters.
;; options: --timeout 500ms
;; ends: limit time
(module
  (type $few (func))
  (type $many (func (param i64 i64 i64 i64 i64 i64 i64 i64)))
  (table funcref (elem $ping $pong))
  (func $ping (type $few)
    (return_call_indirect (type $many)
      (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6) (i64.const 7) (i64.const 8)
      (i32.const 1)))
  (func $pong (type $many)
    (return_call_indirect (type $few) (i32.const 0)))
  (func (export "_start")
    (return_call_indirect (type $few) (i32.const 0))))
