// SPDX-License-Identifier: GPL-2.0

//! Fuzz targets for the engine of kwasmi, one a module. Each takes bytes and panics if something is wrong.
//!
//! `qemu/checks/fuzz.sh` builds and runs them.

#![forbid(unsafe_code)]

pub mod control;
pub mod load;
pub mod run;
pub mod signing;
pub mod wasi;

mod driver;
mod host;
mod oracle;

/// Which proposals the engine has on, and the judgement of another validator.
#[path = "../../../../qemu/spec/src/features.rs"]
pub mod features;
