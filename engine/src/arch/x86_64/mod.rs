// SPDX-License-Identifier: GPL-2.0

//! x86-64.

pub(crate) mod guest;
mod stack;
