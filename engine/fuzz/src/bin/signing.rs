// SPDX-License-Identifier: GPL-2.0

//! Fuzz target `signing`: signed files, compared with the command's parsers.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kwasmi_engine_fuzz::signing::fuzz(data));
