;; SPDX-License-Identifier: GPL-2.0
;; Types of the garbage collection proposal.
;; ends: refused not valid Wasm
(module
  (type $list (struct (field (mut (ref null $list)))))
  (func (export "_start")
    (local $l (ref null $list))
    (loop $forever
      (local.set $l (struct.new $list (local.get $l)))
      (br $forever))))
