// SPDX-License-Identifier: GPL-2.0

//! Fuzz target `control`: programs with much control flow, compared with other engines.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kwasmi_engine_fuzz::control::fuzz(data));
