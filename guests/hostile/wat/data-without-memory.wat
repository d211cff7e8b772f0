;; SPDX-License-Identifier: GPL-2.0
;; An active segment for a memory that there is not.
;; ends: refused not valid Wasm
(module
  (data (i32.const 0) "xy")
  (func (export "_start")))
