// SPDX-License-Identifier: GPL-2.0

//! What depends on the processor: the stack switches in assembly, and the target for which cargo
//! builds the engine object. `scripts/build-kmod` reads the target and the compiler's flags from the
//! processor's folder.
//!
//! This module precedes those that use it in the crate: the assembler reads its macros first.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::guest;
