// SPDX-License-Identifier: GPL-2.0

//! Fuzz targets for the engine of kwasmi, one in each public module. A target takes arbitrary bytes
//! and panics if it finds a defect.
//!
//! `qemu/checks/fuzz.sh` builds and runs them.

#![forbid(unsafe_code)]

pub mod compiled;
pub mod control;
pub mod load;
pub mod run;
pub mod signing;
pub mod wasi;

mod driver;
mod host;
mod oracle;

/// Proposals that the engine supports, and a second validator.
#[path = "../../../qemu/spec/src/features.rs"]
pub mod features;
