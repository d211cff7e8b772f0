// SPDX-License-Identifier: GPL-2.0

//! `kwasmi-native`: the engine as the kernel patches it where it needs no retpolines.

use std::{
    arch::global_asm,
    process::ExitCode, //
};

// What the engine object expects of the kernel's text (arch/x86/lib/retpoline.S), for conditional jumps: all others are patched.
global_asm!(
    ".text",
    ".globl __x86_return_thunk",
    "__x86_return_thunk:",
    "ret",
    ".globl __x86_indirect_thunk_r11",
    "__x86_indirect_thunk_r11:",
    "jmp r11",
);

fn main() -> ExitCode {
    kwasmi_native::main()
}
