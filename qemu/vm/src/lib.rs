// SPDX-License-Identifier: GPL-2.0

//! Boots kernels in QEMU, runs commands and KTAP suites in them.
//!
//! Three programs in one: on the host, `kwasmi-vm` builds an initramfs ([`image`], [`cpio`]), boots it ([`kernel`],
//! [`qemu`]), exchanges the command's streams with the VM ([`protocol`]) and judges how it all ended ([`machine`],
//! [`log`]); in the VM, `kwasmi-init` does what the job says; and the tests' results are read ([`ktap`], [`suites`]).

#![forbid(unsafe_code)]

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
