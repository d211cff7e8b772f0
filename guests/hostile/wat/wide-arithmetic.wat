;; SPDX-License-Identifier: GPL-2.0
;; Instructions of the wide arithmetic proposal: 128-bit sums.
;; ends: refused not valid Wasm
(module
  (func (export "_start")
    (i64.add128 (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4))
    drop
    drop))
