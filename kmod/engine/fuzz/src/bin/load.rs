// SPDX-License-Identifier: GPL-2.0

//! Modules from bytes: what is refused, and what is not.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kwasmi_engine_fuzz::load::fuzz(data));
