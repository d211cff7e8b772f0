;; SPDX-License-Identifier: GPL-2.0
;; Doubles its memory, and writes to its end, until a limit.
;; options: --memory 32M
;; ends: limit memory
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $next
      (if (i32.eq (memory.grow (memory.size)) (i32.const -1))
        (then unreachable))
      (i32.store8 (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1)) (i32.const 1))
      (br $next))))
