;; SPDX-License-Identifier: GPL-2.0
;; Only host calls that succeed.
;; options: --fuel 50000
;; ends: limit fuel
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
  (func (export "_start")
    (loop $forever
      (br_if $forever (i32.eqz (call $sched_yield)))
      unreachable)))
