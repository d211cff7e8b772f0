;; SPDX-License-Identifier: GPL-2.0
;; Exceptions, which the interpreter does not have.
;; options: --engine interpreter
;; ends: refused exceptions need compiled code
(module
  (tag $t (param i32))
  (func (export "_start")
    (throw $t (i32.const 1))))
