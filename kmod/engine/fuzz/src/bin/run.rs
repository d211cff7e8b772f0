// SPDX-License-Identifier: GPL-2.0

//! Programs, by this engine and by others.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kwasmi_engine_fuzz::run::fuzz(data));
