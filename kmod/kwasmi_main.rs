// SPDX-License-Identifier: GPL-2.0

//! kwasmi: runs WebAssembly programs inside the kernel.
//!
//! This file holds the module's parameters and the order of start and stop. How the parts depend on one another:
//!
//! ```text
//! device -> module -> instance -> engine -> (the engine object) -> host
//! ```
//!
//! Lock order: `Module::stay`, then nothing; `Instance::inner`, then `Module::stay`; `Instance::runner`, then nothing.

use kernel::{
    miscdevice::{
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    prelude::*, //
};

mod anon_file;
mod bindings;
mod counters;
mod current_context;
mod device;
mod engine;
#[path = "engine/src/ffi.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the engine, which uses the rest")]
mod ffi;
mod host;
mod instance;
mod ioctl;
mod limits;
mod log;
mod module;
mod stack;
mod uapi;

module! {
    type: Kwasmi,
    name: "kwasmi",
    authors: ["The kwasmi developers"],
    description: "Runs WebAssembly programs inside the kernel",
    license: "GPL",
    params: {
        module_max_kib: u64 {
            default: 32768,
            description: "Largest module that is accepted, in KiB",
        },
        memory_max_mib: u64 {
            default: 1024,
            description: "Ceiling for the linear memory of an instance, in MiB",
        },
        heap_max_mib: u64 {
            default: 4096,
            description: "Ceiling for the memory that the engine takes for an instance or a module, in MiB",
        },
        stack_max_kib: u64 {
            default: 8192,
            description: "Ceiling for the Wasm value stack of an instance, in KiB",
        },
        reserve_kib: u64 {
            default: 1024,
            description: "Memory set aside for small allocations when there is no other, in KiB",
        },
        fault_injection: bool {
            default: false,
            description: "Provide imports that make the engine fail; for tests only",
        },
    },
}

/// The loaded module. Fields are dropped in this order: the device goes first, so that nobody comes in any more; the
/// reserve last, when no engine is left. Both hold no more than that: descriptors that are still open keep the module
/// from being unloaded.
#[pin_data]
struct Kwasmi {
    #[pin]
    _device: MiscDeviceRegistration<device::Device>,
    _reserve: engine::Reserve,
}

impl kernel::InPlaceModule for Kwasmi {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // The engine must be able to run before anyone can ask for it.
            _reserve: engine::Reserve::new(limits::reserve_bytes())?,
            _device <- MiscDeviceRegistration::register(MiscDeviceOptions { name: c"kwasmi" }),
        })
    }
}
