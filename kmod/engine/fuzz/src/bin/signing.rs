// SPDX-License-Identifier: GPL-2.0

//! Signed files, manifests and signatures from bytes, read twice.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kwasmi_engine_fuzz::signing::fuzz(data));
