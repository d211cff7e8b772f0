;; SPDX-License-Identifier: GPL-2.0
;; Exports its entry twice.
;; ends: refused not valid Wasm
(module
  (func (export "_start"))
  (func $other unreachable)
  (export "_start" (func $other)))
