;; SPDX-License-Identifier: GPL-2.0
;; Declares a table of 9,999,999 elements.
;; ends: limit table
(module
  (table 9999999 funcref)
  (func (export "_start")))
