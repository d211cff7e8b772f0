// SPDX-License-Identifier: GPL-2.0

//! Instances of compiled modules: context, memories, tables, segments, and the helpers over them.

pub mod instance;
pub mod numeric;
pub mod program;
#[cfg(feature = "simulator")]
pub mod simulator;
