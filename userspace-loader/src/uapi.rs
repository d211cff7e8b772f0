// SPDX-License-Identifier: GPL-2.0

//! The ioctl ABI, made from `kmod/uapi/kwasmi.h`. Sizes and offsets are asserted when it is compiled.

#![expect(missing_docs, non_camel_case_types, unsafe_code, reason = "generated")]
#![allow(clippy::multiple_unsafe_ops_per_block, clippy::undocumented_unsafe_blocks, reason = "defaults of long arrays")]

include!(concat!(env!("OUT_DIR"), "/uapi.rs"));
