;; SPDX-License-Identifier: GPL-2.0
;; A shared memory of the threads proposal.
;; ends: refused not valid Wasm
(module
  (memory (export "memory") 1 1 shared)
  (func (export "_start")
    (loop $forever
      (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
      (br $forever))))
