;; SPDX-License-Identifier: GPL-2.0
;; Begins with a memory of 4 GiB.
;; ends: limit memory
(module
  (memory (export "memory") 65536)
  (func (export "_start")))
