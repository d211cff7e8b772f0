;; SPDX-License-Identifier: GPL-2.0
;; Declares a memory of 4 GiB.
;; ends: limit memory
(module
  (memory (export "memory") 65536)
  (func (export "_start")))
