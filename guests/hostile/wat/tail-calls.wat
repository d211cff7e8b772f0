;; SPDX-License-Identifier: GPL-2.0
;; Tail-calls itself forever.
;; options: --fuel 2000000
;; ends: limit fuel
(module
  (func $again (param $count i64)
    (return_call $again (i64.add (local.get $count) (i64.const 1))))
  (func (export "_start")
    (call $again (i64.const 0))))
