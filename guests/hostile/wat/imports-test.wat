;; SPDX-License-Identifier: GPL-2.0
;; Imports the function that makes the engine fail, which there is only where it is tested.
;; ends: refused missing imports
(module
  (import "kwasmi_test" "panic" (func $panic))
  (func (export "_start")
    (call $panic)))
