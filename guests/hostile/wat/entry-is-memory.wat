;; SPDX-License-Identifier: GPL-2.0
;; The entry is a memory.
;; ends: refused _start is not a function
(module
  (memory (export "_start") 1))
