;; SPDX-License-Identifier: GPL-2.0
;; Imports the function that makes the engine panic, which exists only with fault injection.
;; ends: refused missing imports
(module
  (import "kwasmi_test" "panic" (func $panic))
  (func (export "_start")
    (call $panic)))
