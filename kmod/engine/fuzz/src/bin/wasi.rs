// SPDX-License-Identifier: GPL-2.0

//! Calls of preview 1 with any arguments.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kwasmi_engine_fuzz::wasi::fuzz(data));
