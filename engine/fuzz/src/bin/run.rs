// SPDX-License-Identifier: GPL-2.0

//! Fuzz target `run`: programs of wasm-smith, compared with other engines.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kwasmi_engine_fuzz::run::fuzz(data));
