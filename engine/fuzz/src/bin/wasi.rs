// SPDX-License-Identifier: GPL-2.0

//! Fuzz target `wasi`: host calls with any arguments.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kwasmi_engine_fuzz::wasi::fuzz(data));
