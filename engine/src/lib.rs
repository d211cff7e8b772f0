// SPDX-License-Identifier: GPL-2.0

//! The WebAssembly engine of kwasmi, without any dependency on the kernel: module loading,
//! instances, WASI and the parsing of signed modules.
//!
//! On the host the crate is a library and runs guests on any [`host::Host`]. With the feature
//! `object` it becomes the object that is linked into `kwasmi.ko`, with entry points ([`ffi`]), an
//! allocator, a stack switch and a panic handler. Without the feature `runtime` it consists of the
//! compiler and the checker.

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

#[cfg(feature = "object")]
mod arch;
pub mod checker;
#[cfg(feature = "runtime")]
pub mod compiled;
pub mod compiler;
pub mod ebpf;
pub mod features;
#[cfg(feature = "runtime")]
pub mod ffi;
#[cfg(feature = "runtime")]
pub mod guest_counters;
#[cfg(feature = "runtime")]
pub mod host;
#[cfg(feature = "runtime")]
pub mod host_operations;
#[cfg(feature = "runtime")]
pub mod instance;
#[cfg(feature = "runtime")]
mod interface;
#[cfg(feature = "runtime")]
pub mod interpreted;
#[cfg(feature = "runtime")]
pub mod invoke;
#[cfg(feature = "runtime")]
mod manifest_check;
#[cfg(feature = "runtime")]
pub mod module;
#[cfg(feature = "runtime")]
mod module_counts;
#[cfg(feature = "runtime")]
mod outcome;
#[cfg(feature = "runtime")]
pub mod refusal;
#[cfg(feature = "runtime")]
mod sections;
#[cfg(feature = "runtime")]
pub mod signing;
mod simd;
#[cfg(feature = "runtime")]
mod start_section;
#[cfg(feature = "runtime")]
pub mod state;
#[cfg(feature = "runtime")]
pub mod text;
pub mod vmctx;
#[cfg(feature = "runtime")]
pub mod wasi;

#[cfg(feature = "runtime")]
use wasi::abi as preview1;

#[cfg(feature = "object")]
use border::poll;

/// Ends a long operation if the host wants that. Only the kernel does.
#[cfg(not(feature = "object"))]
fn poll() {}

#[cfg(feature = "object")]
mod border;
#[cfg(feature = "object")]
mod engine_operations;
#[cfg(feature = "object")]
mod heap;
#[cfg(feature = "object")]
mod kernel_host;
#[cfg(feature = "object")]
mod memory_functions;
#[cfg(feature = "object")]
mod panic;
