;; SPDX-License-Identifier: GPL-2.0
;; A memory with 64-bit addresses.
;; ends: refused not valid Wasm
(module
  (memory (export "memory") i64 1)
  (func (export "_start")
    (i32.store (i64.const -1) (i32.const 0))))
