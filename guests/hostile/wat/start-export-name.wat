;; SPDX-License-Identifier: GPL-2.0
;; Exports a function under the name that kwasmi gives to start functions.
;; ends: refused not valid Wasm
(module
  (func $start (export "(start)"))
  (start $start)
  (func (export "_start")))
