;; SPDX-License-Identifier: GPL-2.0
;; Grows its memory to 4 GiB at once.
;; ends: limit memory
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (memory.grow (i32.const 65535)))))
