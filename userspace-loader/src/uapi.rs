// SPDX-License-Identifier: GPL-2.0

//! Types and constants of the ioctl interface, generated from `kmod/uapi/kwasmi.h`. The generated
//! code asserts sizes and offsets at compile time.

#![expect(missing_docs, non_camel_case_types, unsafe_code, reason = "generated")]
#![allow(clippy::multiple_unsafe_ops_per_block, clippy::undocumented_unsafe_blocks, reason = "defaults of long arrays")]

include!(concat!(env!("OUT_DIR"), "/uapi.rs"));
