// SPDX-License-Identifier: GPL-2.0

//! Instances of compiled modules: context, memories, tables, segments, and the helpers over them.

mod exceptions;
#[cfg(feature = "object")]
pub(crate) mod guest;
pub mod instance;
pub mod linear_memory;
#[cfg(feature = "object")]
pub(crate) mod native;
#[cfg(feature = "object")]
pub(crate) mod native_module;
pub mod numeric;
pub mod program;
#[cfg(feature = "object")]
mod quick;
mod simd;
#[cfg(feature = "simulator")]
pub mod simulator;
mod stop;
