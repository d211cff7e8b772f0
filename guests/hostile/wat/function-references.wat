;; SPDX-License-Identifier: GPL-2.0
;; Calls by a typed reference.
;; ends: refused not valid Wasm
(module
  (type $f (func))
  (elem declare func $g)
  (func $g)
  (func (export "_start")
    (call_ref $f (ref.func $g))))
