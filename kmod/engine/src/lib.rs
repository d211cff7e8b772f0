// SPDX-License-Identifier: GPL-2.0

//! The WebAssembly engine of kwasmi, without any dependency on the kernel: module loading,
//! instances, WASI and the parsing of signed modules.
//!
//! On the host the crate is a library and runs guests on any [`host::Host`]. With the feature
//! `object` it becomes the object that is linked into `kwasmi.ko`, with entry points ([`ffi`]), an
//! allocator, a stack switch and a panic handler.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(feature = "object", feature(alloc_error_handler))]
#![warn(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

extern crate alloc;

pub mod checker;
pub mod compiled;
pub mod compiler;
mod counts;
mod cover;
pub mod ebpf;
pub mod ffi;
pub mod host;
pub mod host_operations;
pub mod instance;
pub mod module;
mod sections;
pub mod signing;
mod start_section;
pub mod text;
pub mod vmctx;
pub mod wasi;

use wasi::abi as preview1;

#[cfg(feature = "object")]
mod bulk;
#[cfg(feature = "object")]
mod entry;
#[cfg(feature = "object")]
mod heap;
#[cfg(feature = "object")]
mod host_call;
#[cfg(feature = "object")]
mod kernel_host;
#[cfg(feature = "object")]
mod panic;
#[cfg(feature = "object")]
mod stack;
