// SPDX-License-Identifier: GPL-2.0

//! `kwasmi-native-retpolines`: the engine as the kernel patches it where it uses retpolines.

use std::{
    arch::global_asm,
    process::ExitCode, //
};

// arch/x86/lib/retpoline.S: the processor takes the return to be one to the int3.
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
