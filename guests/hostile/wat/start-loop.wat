;; SPDX-License-Identifier: GPL-2.0
;; A start function that never returns.
;; options: --timeout 500ms
;; ends: limit time
(module
  (func $start
    (loop $forever
      (br $forever)))
  (start $start)
  (func (export "_start")))
