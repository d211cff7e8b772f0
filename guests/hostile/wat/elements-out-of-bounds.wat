;; SPDX-License-Identifier: GPL-2.0
;; An active element segment whose last element is out of the table.
;; ends: refused cannot be instantiated
(module
  (table 2 funcref)
  (func $f (export "_start"))
  (elem (i32.const 1) $f $f))
