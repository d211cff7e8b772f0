// SPDX-License-Identifier: GPL-2.0

//! Fuzz target `load`: arbitrary modules, compared with another validator.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kwasmi_engine_fuzz::load::fuzz(data));
