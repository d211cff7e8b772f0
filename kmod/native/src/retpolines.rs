// SPDX-License-Identifier: GPL-2.0

//! `kwasmi-native-retpolines`: runs programs on the engine as the kernel patches it with
//! retpolines.

use std::{
    arch::global_asm,
    process::ExitCode, //
};

// Thunks of arch/x86/lib/retpoline.S. The processor predicts that the return goes to the int3.
global_asm!(
    ".text",
    ".globl __x86_return_thunk",
    "__x86_return_thunk:",
    "ret",
    ".globl __x86_indirect_thunk_r11",
    "__x86_indirect_thunk_r11:",
    "call 2f",
    "int3",
    "2:",
    "mov [rsp], r11",
    "ret",
    "int3",
);

fn main() -> ExitCode {
    kwasmi_native::main()
}
