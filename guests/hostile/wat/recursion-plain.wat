;; SPDX-License-Identifier: GPL-2.0
;; Calls itself without an end.
;; ends: limit stack
(module
  (func $deeper (export "_start")
    (call $deeper)))
