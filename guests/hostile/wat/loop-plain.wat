;; SPDX-License-Identifier: GPL-2.0
;; The shortest endless loop.
;; options: --timeout 500ms
;; ends: limit time
(module
  (func (export "_start")
    (loop $forever
      (br $forever))))
