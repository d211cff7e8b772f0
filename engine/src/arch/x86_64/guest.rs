// SPDX-License-Identifier: GPL-2.0

//! Switches between the engine's stack and a guest's, and thunks of helpers.
//!
//! | routine | does |
//! |---|---|
//! | `kwasmi_guest_resume` | `u64 (u64 *context, u64 result)`: saves the engine's stack pointer in the context and goes to the guest's |
//! | `kwasmi_guest_switch` | the opposite; RAX is the request |
//! | `kwasmi_guest_start` | begins the outermost function: its first arguments move from the context to their registers |
//! | `kwasmi_guest_done` | where the outermost function returns to: a request, with the function's result |
//! | `kwasmi_guest_resolved` | jumps to the function that [`Helper::Resolve`] has looked up |

use crate::vmctx::ARGS;
use core::arch::global_asm;

/// Request of `kwasmi_guest_done`.
pub(crate) const DONE: u64 = 255;

/// Request of a call of an imported function by way of a table.
pub(crate) const IMPORT: u64 = 254;

global_asm!(
    ".pushsection .text, \"ax\", @progbits",
    ".macro kwasmi_guest_end name",
    ".size \\name, . - \\name",
    "kwasmi_non_standard_frame \\name",
    ".endm",
    ".macro kwasmi_guest_save",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    ".endm",
    // Calls `quick` with the arguments of a helper, which are in RDI, RSI, RDX, RCX and R8. Returns
    // its result, or falls through with the same arguments.
    ".macro kwasmi_guest_quick quick",
    "push rdi",
    "push rsi",
    "push rdx",
    "push rcx",
    "push r8",
    "call \\quick",
    "test rdx, rdx",
    "jz 1f",
    "lea rsp, [rsp + 40]",
    "kwasmi_return",
    "1:",
    "pop r8",
    "pop rcx",
    "pop rdx",
    "pop rsi",
    "pop rdi",
    ".endm",
    "",
    "kwasmi_routine kwasmi_guest_resume, 64",
    "kwasmi_guest_save",
    "mov [rdi - 8], rsp",
    "mov rsp, [rdi - 16]",
    "mov rax, rsi",
    "kwasmi_restore",
    "kwasmi_guest_end kwasmi_guest_resume",
    "",
    "kwasmi_routine kwasmi_guest_switch, 64",
    "mov [rbx - 32], rdi",
    "mov [rbx - 40], rsi",
    "mov [rbx - 48], rdx",
    "mov [rbx - 56], rcx",
    "mov [rbx - 64], r8",
    "kwasmi_guest_save",
    "mov [rbx - 16], rsp",
    "mov rsp, [rbx - 8]",
    "kwasmi_restore",
    "kwasmi_guest_end kwasmi_guest_switch",
    "",
    "kwasmi_routine kwasmi_guest_start, 64",
    "mov rdi, [rbx + {args}]",
    "mov rsi, [rbx + {args} + 8]",
    "mov rdx, [rbx + {args} + 16]",
    "mov rcx, [rbx + {args} + 24]",
    "mov r8, [rbx + {args} + 32]",
    "kwasmi_return",
    "kwasmi_guest_end kwasmi_guest_start",
    "",
    "kwasmi_routine kwasmi_guest_done, 64",
    "mov rdi, rax",
    "mov eax, {done}",
    "jmp kwasmi_guest_switch",
    "int3",
    "kwasmi_guest_end kwasmi_guest_done",
    "",
    "kwasmi_routine kwasmi_guest_import, 64",
    "mov eax, {import}",
    "jmp kwasmi_guest_switch",
    "int3",
    "kwasmi_guest_end kwasmi_guest_import",
    "",
    "kwasmi_routine kwasmi_guest_resolved, 64",
    "mov r11, [rbx - 72]",
    "jmp __x86_indirect_thunk_r11",
    "int3",
    "kwasmi_guest_end kwasmi_guest_resolved",
    ".popsection",
    args = const ARGS,
    done = const DONE,
    import = const IMPORT,
);

unsafe extern "C" {
    pub(crate) fn kwasmi_guest_resume(context: *mut u64, result: u64) -> u64;
    fn kwasmi_guest_start();
    fn kwasmi_guest_done();
    pub(crate) fn kwasmi_guest_import();
    pub(crate) fn kwasmi_guest_resolved();
}

/// Words on the stack of a guest that has not begun, as `kwasmi_restore` pops them: r15, r14,
/// r13, r12, rbx, rbp, then the addresses that it, the start routine and the function return to.
/// The frame ends at the top of the stack, so that a function begins 8 bytes below a multiple of
/// 16.
pub(crate) type Frame = [u64; 9];

/// Returns the first frame of a guest: [`kwasmi_guest_resume`] calls the function at `entry` with
/// the arguments in `context`.
pub(crate) fn frame(context: u64, entry: u64) -> Frame {
    let start = (kwasmi_guest_start as unsafe extern "C" fn()) as usize as u64;
    let done = (kwasmi_guest_done as unsafe extern "C" fn()) as usize as u64;
    [0, 0, 0, 0, context, 0, start, entry, done]
}

/// Defines the thunks of helpers that switch stacks: name, number of the helper, and the function
/// with its quick form, if it has one.
macro_rules! thunks {
    ($($name:ident = $number:literal $(, $quick:ident)?;)*) => {
        core::arch::global_asm!(
            ".pushsection .text, \"ax\", @progbits",
            $(
                concat!("kwasmi_routine ", stringify!($name), ", 64"),
                $(concat!("kwasmi_guest_quick ", stringify!($quick)),)?
                concat!("mov eax, ", stringify!($number)),
                "jmp kwasmi_guest_switch",
                "int3",
                concat!("kwasmi_guest_end ", stringify!($name)),
            )*
            ".popsection",
        );

        unsafe extern "C" {
            $(fn $name();)*
        }
    };
}

pub(crate) use thunks;
