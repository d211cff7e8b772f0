// SPDX-License-Identifier: GPL-2.0

//! Fuzz target `compiled`: compiled programs, compared with the interpreter or with wasmtime.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    kwasmi_engine_fuzz::compiled::fuzz(data);
});
