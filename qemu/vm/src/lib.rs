// SPDX-License-Identifier: GPL-2.0

//! Boots kernels in QEMU and runs commands and KTAP test suites in them.
//!
//! On the host, `kwasmi-vm` builds an initramfs ([`image`], [`cpio`]), boots it ([`kernel`],
//! [`qemu`]), exchanges the command's streams with the VM ([`protocol`]) and classifies the ending
//! ([`machine`], [`log`]). In the VM, `kwasmi-init` is the first process and runs the job.
//! [`suites`] runs the test suites, and [`ktap`] parses their results.

#![deny(unsafe_code)]

pub mod cpio;
pub mod image;
pub mod kernel;
pub mod ktap;
pub mod log;
pub mod machine;
mod process;
pub mod protocol;
pub mod qemu;
pub mod suites;
pub mod terminal;
mod tsc;
