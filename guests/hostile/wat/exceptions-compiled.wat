;; SPDX-License-Identifier: GPL-2.0
;; An exception that nothing catches.
;; options: --engine compiler
;; ends: trap uncaught exception: tag 0
(module
  (tag $t (param i32))
  (func (export "_start")
    (throw $t (i32.const 1))))
