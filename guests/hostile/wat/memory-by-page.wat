;; SPDX-License-Identifier: GPL-2.0
;; Grows its memory by one page at a time.
;; options: --memory 16M
;; ends: limit memory
(module
  (memory (export "memory") 0)
  (func (export "_start")
    (loop $next
      (br_if $next (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    unreachable))
