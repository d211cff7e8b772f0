;; SPDX-License-Identifier: GPL-2.0
;; Endless recursion in a start function.
;; ends: limit stack
(module
  (func $start
    (call $start))
  (start $start)
  (func (export "_start")))
