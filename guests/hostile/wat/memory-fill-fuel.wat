;; SPDX-License-Identifier: GPL-2.0
;; Fills 32 MiB with less fuel than one fill costs.
;; options: --fuel 100000
;; ends: limit fuel
(module
  (memory (export "memory") 512)
  (func (export "_start")
    (loop $forever
      (memory.fill (i32.const 0) (i32.const 0xa5) (i32.const 0x2000000))
      (br $forever))))
