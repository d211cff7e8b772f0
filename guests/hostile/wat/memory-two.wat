;; SPDX-License-Identifier: GPL-2.0
;; Two memories.
;; ends: refused not valid Wasm
(module
  (memory (export "memory") 1)
  (memory 1)
  (func (export "_start")))
