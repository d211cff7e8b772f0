;; SPDX-License-Identifier: GPL-2.0
;; An active data segment whose range wraps around.
;; ends: refused cannot be instantiated
(module
  (memory (export "memory") 1)
  (data (i32.const -1) "xy")
  (func (export "_start")))
