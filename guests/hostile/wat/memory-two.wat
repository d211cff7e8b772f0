;; SPDX-License-Identifier: GPL-2.0
;; Two memories.
;; ends: exit 0
(module
  (memory (export "memory") 1)
  (memory 1)
  (func (export "_start")))
