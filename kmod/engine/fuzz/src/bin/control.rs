// SPDX-License-Identifier: GPL-2.0

//! Programs with much control flow, by this engine and by wasmtime.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kwasmi_engine_fuzz::control::fuzz(data));
