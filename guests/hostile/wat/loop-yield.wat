;; SPDX-License-Identifier: GPL-2.0
;; Yields the processor forever.
;; options: --timeout 500ms
;; ends: limit time
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
  (func (export "_start")
    (loop $forever
      (drop (call $sched_yield))
      (br $forever))))
