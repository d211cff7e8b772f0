;; SPDX-License-Identifier: GPL-2.0
;; Copies a table of 500,000 elements onto itself, shifted by one, forever.
;; options: --timeout 500ms
;; ends: limit time
(module
  (table $t 500000 funcref)
  (func (export "_start")
    (loop $forever
      (table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 499999))
      (table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 499999))
      (br $forever))))
