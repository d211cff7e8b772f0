// SPDX-License-Identifier: GPL-2.0

//! The `kwasmi` command: checks WebAssembly programs, and runs them inside the kernel through
//! `/dev/kwasmi`.
//!
//! [`run`] uses the trait [`device::Device`], which [`kernel_device`] implements by ioctls.
//! [`inspect`] needs no device.

#![deny(unsafe_code)]

pub mod boot;
pub mod bytecode;
pub mod cli;
pub mod command;
pub mod counters;
pub mod device;
pub mod disassembly;
pub mod duration;
pub mod exit;
pub mod failure;
/// Proposals of WebAssembly that the engine supports.
#[path = "../../engine/src/features.rs"]
pub mod features;
pub mod file;
pub mod guest_fds;
pub mod host_functions;
pub mod inspect;
pub mod invoke;
#[expect(unsafe_code, reason = "calls ioctl(2)")]
pub mod kernel_device;
#[expect(unsafe_code, reason = "calls keyctl(2)")]
pub mod keyring;
pub mod limits;
pub mod log_line;
pub mod machine_code;
pub mod policy;
mod progress;
pub mod prometheus;
pub mod quantity;
pub mod report;
pub mod rights;
pub mod run;
pub mod run_result;
pub mod service;
#[expect(unsafe_code, reason = "calls sigaction(2)")]
pub mod signals;
pub mod signing;
pub mod size;
pub mod source;
pub mod stats;
pub mod stdio;
pub mod strings;
pub mod table;
pub mod terminal;
pub mod uapi;
pub mod watch;
