;; SPDX-License-Identifier: GPL-2.0
;; Fills a table of 500,000 elements forever.
;; options: --timeout 500ms
;; ends: limit time
(module
  (table $t 500000 funcref)
  (func $f (export "_start")
    (loop $forever
      (table.fill $t (i32.const 0) (ref.func $f) (i32.const 500000))
      (br $forever))))
