;; SPDX-License-Identifier: GPL-2.0
;; Endless recursion.
;; ends: limit stack
(module
  (func $deeper (export "_start")
    (call $deeper)))
