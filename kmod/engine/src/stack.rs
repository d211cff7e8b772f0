// SPDX-License-Identifier: GPL-2.0

//! The engine's own stack, and the landing pad under it.
//!
//! A kernel task has 16 KiB of stack; validating a module alone takes more. So the engine runs on a stack of its own,
//! and whatever the host does for it runs on the stack of the task:
//!
//! | routine | C prototype | does |
//! |---|---|---|
//! | `kwasmi_stack_enter` | `int (u32 op, void *args, usize *stack_top)` | calls `kwasmi_engine_entry(op, args)` on the engine stack |
//! | `kwasmi_stack_leave` | `int (u32 op, HostCall *call, usize *stack_top)` | calls `kwasmi_host_entry(op, call)` on the stack of the task |
//! | `kwasmi_stack_land` | `void (int status, usize *stack_top)` | makes the `kwasmi_stack_enter` in progress return `status` |
//!
//! `stack_top` is aligned to 16 bytes and is the highest word of the engine stack. It keeps the task's stack pointer.
//!
//! While the host does something, a stack trace goes from `kwasmi_stack_leave` to who entered the engine, as if the two
//! were one function: the kernel's unwinder must not come upon a stack that it does not know, in a task that can be
//! preempted. `kwasmi_stack_leave` lays no frame of its own on the stack of the task, and so `rbp` is what it was there.
//!
//! The shape (`mov [top], rsp; mov rsp, top; call; pop rsp`) of `kwasmi_stack_enter` is the one by which objtool knows a stack switch, see
//! `arch/x86/include/asm/irq_stack.h`. Landing leaves frames behind without returning from them, which objtool cannot
//! follow: the routine is marked as not having a standard frame.

use core::arch::global_asm;

global_asm!(
    ".pushsection .text, \"ax\", @progbits",
    ".macro kwasmi_routine name",
    ".balign 16",
    // Room for what the kernel may patch in front of a function (CONFIG_CALL_PADDING).
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
    // UNWIND_HINT of include/linux/objtool.h; type 6 saves what objtool knows of the stack, 7 restores it.
    ".macro kwasmi_hint type, register, offset",
    ".Lkwasmi_hint_\\@:",
    ".pushsection .discard.unwind_hints",
    ".long .Lkwasmi_hint_\\@ - .",
    ".short \\offset",
    ".byte \\register",
    ".byte \\type",
    ".byte 0",
    ".balign 4",
    ".popsection",
    ".endm",
    "",
    "kwasmi_routine kwasmi_stack_enter",
    "push rbp",
    "mov rbp, rsp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    "mov [rdx], rsp",
    "mov rsp, rdx",
    "call kwasmi_engine_entry",
    "pop rsp",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "kwasmi_return",
    ".size kwasmi_stack_enter, . - kwasmi_stack_enter",
    "",
    "kwasmi_routine kwasmi_stack_leave",
    "push rbp",
    "push rbx",
    "mov rbx, rsp",
    "kwasmi_hint 6, 0, 0",
    "mov rsp, [rdx]",
    // UNWIND_HINT_TYPE_CALL, ORC_REG_SP: six registers, a word and the return address above.
    "kwasmi_hint 2, 3, 64",
    "mov rbp, [rsp + 48]",
    "call kwasmi_host_entry",
    "mov rsp, rbx",
    "kwasmi_hint 7, 0, 0",
    "pop rbx",
    "pop rbp",
    "kwasmi_return",
    ".size kwasmi_stack_leave, . - kwasmi_stack_leave",
    "",
    "kwasmi_routine kwasmi_stack_land",
    "mov eax, edi",
    "mov rsp, [rsi]",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "kwasmi_return",
    ".size kwasmi_stack_land, . - kwasmi_stack_land",
    ".popsection",
    "",
    ".pushsection .discard.func_stack_frame_non_standard, \"aw\"",
    ".balign 8",
    ".quad kwasmi_stack_land",
    ".popsection",
);
