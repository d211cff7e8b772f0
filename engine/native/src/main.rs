// SPDX-License-Identifier: GPL-2.0

//! `kwasmi-native`: runs programs on the engine as the kernel patches it without retpolines.

use std::{
    arch::global_asm,
    process::ExitCode, //
};

// Thunks of the kernel (`arch/x86/lib/retpoline.S`). Only conditional jumps reach them; all other
// jumps and calls are patched.
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
