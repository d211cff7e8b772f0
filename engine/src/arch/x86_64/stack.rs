// SPDX-License-Identifier: GPL-2.0

//! Switches between the stack of the task and the engine stack.
//!
//! A kernel task has 16 KiB of stack, which is too little to validate a module. The engine
//! therefore runs on a separate stack, and host operations run on the stack of the task:
//!
//! | routine | C prototype | effect |
//! |---|---|---|
//! | `kwasmi_stack_enter` | `int (u32 op, void *args, usize *stack_top)` | calls `kwasmi_engine_entry(op, args)` on the engine stack |
//! | `kwasmi_stack_leave` | `int (u32 op, HostCall *call, usize *stack_top)` | calls `kwasmi_host_entry(op, call)` on the stack of the task |
//! | `kwasmi_stack_abort` | `void (int status, usize *stack_top)` | makes the `kwasmi_stack_enter` in progress return `status` |
//!
//! `stack_top` is aligned to 16 bytes and points to the highest word of the engine stack. That word
//! holds the task's stack pointer.
//!
//! During a host operation, a stack trace leads from `kwasmi_stack_leave` to the caller of
//! `kwasmi_stack_enter`, as if the two routines were one function. The kernel's unwinder must not
//! meet an unknown stack in a task that can be preempted. `kwasmi_stack_leave` pushes no frame on
//! the stack of the task, and restores the `rbp` that the task had there.
//!
//! objtool recognises a stack switch by the instructions of `kwasmi_stack_enter` (`mov [top], rsp;
//! mov rsp, top; call; pop rsp`), see `arch/x86/include/asm/irq_stack.h`. It cannot follow
//! `kwasmi_stack_abort`, which abandons frames without returning from them. That routine is
//! therefore marked as having a non-standard frame.

use core::arch::global_asm;

global_asm!(
    ".pushsection .text, \"ax\", @progbits",
    // UNWIND_HINT of include/linux/objtool.h. Type 6 saves objtool's state of the stack, 7 restores
    // it.
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
    "kwasmi_routine kwasmi_stack_enter, 16",
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
    "kwasmi_restore",
    ".size kwasmi_stack_enter, . - kwasmi_stack_enter",
    "",
    "kwasmi_routine kwasmi_stack_leave, 16",
    "push rbp",
    "push rbx",
    "mov rbx, rsp",
    "kwasmi_hint 6, 0, 0",
    "mov rsp, [rdx]",
    // UNWIND_HINT_TYPE_CALL, ORC_REG_SP: six registers, a padding word and the return address
    // above.
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
    "kwasmi_routine kwasmi_stack_abort, 16",
    "mov eax, edi",
    "mov rsp, [rsi]",
    "add rsp, 8",
    "kwasmi_restore",
    ".size kwasmi_stack_abort, . - kwasmi_stack_abort",
    "kwasmi_non_standard_frame kwasmi_stack_abort",
    ".popsection",
);
