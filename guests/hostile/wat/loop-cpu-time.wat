;; SPDX-License-Identifier: GPL-2.0
;; An endless loop that is to end by the processor time that it takes.
;; options: --cpu-time 300ms
;; ends: limit cpu-time
(module
  (func (export "_start")
    (loop $forever
      (br $forever))))
