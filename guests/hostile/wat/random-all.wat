;; SPDX-License-Identifier: GPL-2.0
;; Fills its whole memory with random bytes, then uses them as sizes and addresses.
;; options: --fuel 3000000
;; ends: limit fuel
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (local $at i32)
    (loop $forever
      (drop (call $random_get (i32.const 0) (i32.const 65536)))
      (local.set $at (i32.const 0))
      (loop $next
        (drop (call $fd_write
          (i32.and (i32.load (local.get $at)) (i32.const 1))
          (i32.load16_u offset=4 (local.get $at))
          (i32.and (i32.load offset=8 (local.get $at)) (i32.const 2047))
          (i32.load16_u offset=12 (local.get $at))))
        (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 64))) (i32.const 65000))))
      (br $forever))))
