;; SPDX-License-Identifier: GPL-2.0
;; Endless recursion of two functions.
;; ends: limit stack
(module
  (func $ping (param $n i32) (result i32)
    (i32.add (call $pong (local.get $n)) (i32.const 1)))
  (func $pong (param $n i32) (result i32)
    (i32.sub (call $ping (local.get $n)) (i32.const 1)))
  (func (export "_start")
    (drop (call $ping (i32.const 0)))))
