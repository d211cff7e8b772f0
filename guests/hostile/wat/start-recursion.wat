;; SPDX-License-Identifier: GPL-2.0
;; A start function that calls itself.
;; ends: limit stack
(module
  (func $start
    (call $start))
  (start $start)
  (func (export "_start")))
