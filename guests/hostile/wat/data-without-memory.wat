;; SPDX-License-Identifier: GPL-2.0
;; An active data segment for a memory that does not exist.
;; ends: refused not valid Wasm
(module
  (data (i32.const 0) "xy")
  (func (export "_start")))
