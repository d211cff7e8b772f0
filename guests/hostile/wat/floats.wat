;; SPDX-License-Identifier: GPL-2.0
;; Floating point with all special values. It must not change the kernel's registers.
;; options: --fuel 500000
;; ends: limit fuel
(module
  (func (export "_start")
    (local $x f64)
    (local $y f32)
    (local.set $x (f64.const 0x1p-1074))
    (local.set $y (f32.const nan))
    (loop $forever
      (local.set $x
        (f64.sqrt (f64.copysign (f64.div (f64.mul (local.get $x) (f64.const 3.3)) (f64.const 0.7)) (f64.const 1))))
      (local.set $y (f32.nearest (f32.max (f32.demote_f64 (local.get $x)) (local.get $y))))
      (drop (i64.trunc_sat_f64_s (f64.promote_f32 (local.get $y))))
      (br $forever))))
