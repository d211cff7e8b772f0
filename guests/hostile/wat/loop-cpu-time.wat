;; SPDX-License-Identifier: GPL-2.0
;; An endless loop that ends at a limit on CPU time.
;; options: --cpu-time 300ms
;; ends: limit cpu-time
(module
  (func (export "_start")
    (loop $forever
      (br $forever))))
