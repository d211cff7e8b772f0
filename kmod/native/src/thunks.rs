// SPDX-License-Identifier: GPL-2.0

//! What the engine object expects of the kernel's text: `arch/x86/lib/retpoline.S`, without its defences.

use std::arch::global_asm;

global_asm!(
    ".text",
    ".globl __x86_return_thunk",
    "__x86_return_thunk:",
    "ret",
    ".globl __x86_indirect_thunk_r11",
    "__x86_indirect_thunk_r11:",
    "jmp r11",
);
