;; SPDX-License-Identifier: GPL-2.0
;; Endless recursion on the smallest stack that can be requested.
;; options: --stack 4K
;; ends: limit stack
(module
  (func $deeper (param i64 i64 i64 i64) (result i64)
    (i64.add
      (local.get 3)
      (call $deeper (local.get 3) (local.get 2) (local.get 1) (i64.add (local.get 0) (i64.const 1)))))
  (func (export "_start")
    (drop (call $deeper (i64.const 0) (i64.const 1) (i64.const 2) (i64.const 3)))))
