// SPDX-License-Identifier: GPL-2.0

//! Macros of the assembler that all routines use. The assembler must read them first.

use core::arch::global_asm;

global_asm!(
    // Begins a function, aligned to `align` bytes behind the room for the instructions that the
    // kernel patches in front of functions (CONFIG_CALL_PADDING).
    ".macro kwasmi_routine name, align",
    ".balign \\align",
    ".skip 16, 0x90",
    ".globl \\name",
    ".type \\name, @function",
    "\\name:",
    "endbr64",
    ".endm",
    ".macro kwasmi_return",
    "jmp __x86_return_thunk",
    "int3",
    ".endm",
    // Restores the registers that a function preserves, and returns.
    ".macro kwasmi_restore",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "kwasmi_return",
    ".endm",
    // Exempts a function from objtool's check of the stack.
    ".macro kwasmi_non_standard_frame name",
    ".pushsection .discard.func_stack_frame_non_standard, \"aw\"",
    ".balign 8",
    ".quad \\name",
    ".popsection",
    ".endm",
);
