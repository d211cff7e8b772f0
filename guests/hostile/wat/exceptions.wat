;; SPDX-License-Identifier: GPL-2.0
;; Exceptions.
;; ends: refused not valid Wasm
(module
  (tag $t (param i32))
  (func (export "_start")
    (throw $t (i32.const 1))))
