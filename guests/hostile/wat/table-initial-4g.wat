;; SPDX-License-Identifier: GPL-2.0
;; Declares a table of 4 billion elements.
;; ends: limit table
(module
  (table 0xffffffff funcref)
  (func (export "_start")))
