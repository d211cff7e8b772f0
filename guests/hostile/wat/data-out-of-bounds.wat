;; SPDX-License-Identifier: GPL-2.0
;; An active data segment whose last byte is out of memory.
;; ends: refused cannot be instantiated
(module
  (memory (export "memory") 1)
  (data (i32.const 0) "inside")
  (data (i32.const 65535) "xy")
  (func (export "_start")))
