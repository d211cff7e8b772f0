;; SPDX-License-Identifier: GPL-2.0
;; A memory with pages of one byte.
;; ends: refused not valid Wasm
(module
  (memory (export "memory") 1 (pagesize 1))
  (func (export "_start")))
