// SPDX-License-Identifier: GPL-2.0

//! The `kwasmi` command: checks WebAssembly programs, and runs them inside the kernel through `/dev/kwasmi`.
//!
//! [`run`] knows the device only as the trait [`device::Device`]; [`kernel`] is the real one. [`inspect`] needs none.

#![deny(unsafe_code)]

pub mod cli;
pub mod command;
pub mod device;
pub mod duration;
pub mod end;
pub mod exit;
pub mod failure;
pub mod file;
pub mod handed;
pub mod inspect;
#[expect(unsafe_code, reason = "a border: ioctl")]
pub mod kernel;
#[expect(unsafe_code, reason = "a border: keyctl")]
pub mod keyring;
pub mod limits;
pub mod policy;
pub mod provided;
pub mod quantity;
pub mod report;
pub mod rights;
pub mod run;
#[expect(unsafe_code, reason = "a border: sigaction")]
pub mod signals;
pub mod signing;
pub mod size;
pub mod source;
pub mod stats;
pub mod stdio;
pub mod strings;
pub mod uapi;
