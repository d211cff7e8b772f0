;; SPDX-License-Identifier: GPL-2.0
;; Only host calls that fail.
;; options: --timeout 500ms
;; ends: limit time
(module
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (func (export "_start")
    (loop $forever
      (br_if $forever (call $fd_close (i32.const -1)))
      unreachable)))
