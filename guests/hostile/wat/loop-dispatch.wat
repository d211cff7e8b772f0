;; SPDX-License-Identifier: GPL-2.0
;; The loop of an interpreter: a `br_table` that selects one of its own cases forever.
;; options: --timeout 500ms
;; ends: limit time
(module
  (func (export "_start")
    (local $state i32)
    (loop $next
      (block $default
        (block $c
          (block $b
            (block $a
              (br_table $a $b $c $default (i32.and (local.get $state) (i32.const 3))))
            (local.set $state (i32.add (local.get $state) (i32.const 5)))
            (br $next))
          (local.set $state (i32.mul (local.get $state) (i32.const 3)))
          (br $next))
        (local.set $state (i32.xor (local.get $state) (i32.const 1)))
        (br $next))
      (local.set $state (i32.const 0))
      (br $next))))
