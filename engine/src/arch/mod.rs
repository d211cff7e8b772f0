// SPDX-License-Identifier: GPL-2.0

//! Code for one processor: the stack switches in assembly. The folder of a processor also has the
//! target for which cargo builds the engine object, and the compiler's flags; `scripts/build-kmod`
//! reads them.
//!
//! This module precedes those that use it in the crate: the assembler reads its macros first.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::guest;
