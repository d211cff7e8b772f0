// SPDX-License-Identifier: GPL-2.0

//! x86-64.

// Precedes the modules that use its macros.
mod macros;

pub(crate) mod guest;
mod stack;
