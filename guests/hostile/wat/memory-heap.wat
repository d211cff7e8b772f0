;; SPDX-License-Identifier: GPL-2.0
;; Grows its memory below the limit on memory, but beyond the one on the heap.
;; options: --memory 64M --heap 8M
;; ends: limit heap
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $next
      (br_if $next (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    unreachable))
