// SPDX-License-Identifier: GPL-2.0

//! kwasmi: runs WebAssembly programs inside the kernel.
//!
//! This file holds the module's parameters and the order of start and stop. How the parts depend on one another:
//!
//! ```text
//! device -> module -> shared -> code -> engine -> (the engine object) -> host
//!              |                 |
//!              +-> instance -----+
//! ```
//!
//! Lock order: `Code::stay`, then nothing; `Instance::inner`, then `Code::stay`; `Instance::runner`, then nothing; the table of
//! shared code, then nothing; the table of users, then nothing.

use kernel::{
    miscdevice::{
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    prelude::*, //
};

mod anon_file;
mod audit;
mod bindings;
mod code;
mod counters;
mod current_context;
mod device;
mod engine;
#[path = "engine/src/ffi.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the engine, which uses the rest")]
mod ffi;
mod host;
mod identity;
mod instance;
mod ioctl;
mod keyring;
mod limits;
mod log;
mod machine;
mod memory;
mod module;
mod policy;
mod programs;
mod shared;
#[path = "engine/src/signing/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the engine, which uses the rest")]
mod signing;
mod stack;
mod table;
#[path = "engine/src/text.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the engine, which uses the rest")]
mod text;
mod uapi;
mod user;
mod verify;
mod verify_parameter;

module! {
    type: Kwasmi,
    name: "kwasmi",
    authors: ["The kwasmi developers"],
    description: "Runs WebAssembly programs inside the kernel",
    license: "GPL",
    params: {
        module_size_max: u64 {
            default: 33554432,
            description: "Ceiling for the size of a module, in bytes",
        },
        functions_max: u64 {
            default: 1000000,
            description: "Ceiling for the functions of a module",
        },
        function_size_max: u64 {
            default: 131072,
            description: "Ceiling for the code of a function, in bytes; the engine takes no more than 131072",
        },
        locals_max: u64 {
            default: 50000,
            description: "Ceiling for the locals of a function",
        },
        arity_max: u64 {
            default: 1000,
            description: "Ceiling for the parameters of a function type, and for the results",
        },
        globals_max: u64 {
            default: 1000000,
            description: "Ceiling for the globals of a module",
        },
        data_segments_max: u64 {
            default: 100000,
            description: "Ceiling for the data segments of a module",
        },
        element_segments_max: u64 {
            default: 100000,
            description: "Ceiling for the element segments of a module",
        },
        stack_max: u64 {
            default: 16777216,
            description: "Ceiling for the Wasm stack of an instance, in bytes",
        },
        code_max: u64 {
            default: 4294967296,
            description: "Ceiling for the memory that the engine takes for a module, in bytes",
        },
        memory_max: u64 {
            default: 1073741824,
            description: "Ceiling for the linear memory of an instance, in bytes",
        },
        table_max: u64 {
            default: 10000000,
            description: "Ceiling for the table elements of an instance",
        },
        heap_max: u64 {
            default: 4294967296,
            description: "Ceiling for the memory that the engine takes for an instance, in bytes",
        },
        fds_max: u64 {
            default: 1024,
            description: "Ceiling for the open descriptors of an instance; there are no more than 1024",
        },
        fuel_max: u64 {
            default: 18446744073709551615,
            description: "Ceiling for the fuel of an instance, in instructions, about",
        },
        time_max: u64 {
            default: 18446744073709551615,
            description: "Ceiling for how long an instance runs, in nanoseconds",
        },
        cpu_time_max: u64 {
            default: 18446744073709551615,
            description: "Ceiling for the CPU time of an instance, in nanoseconds",
        },
        total_heap_max: u64 {
            default: 0,
            description: "Ceiling for the memory that engines take together, in bytes; 0 for half of the machine's memory",
        },
        total_modules_max: u64 {
            default: 4096,
            description: "Ceiling for the modules that there are at the same time",
        },
        total_instances_max: u64 {
            default: 4096,
            description: "Ceiling for the instances that there are at the same time",
        },
        total_running_max: u64 {
            default: 1024,
            description: "Ceiling for the tasks that load, start or run at the same time; there are no more than 1024",
        },
        user_instances_max: u64 {
            default: 1024,
            description: "Ceiling for the instances of a user without CAP_SYS_ADMIN at the same time",
        },
        user_running_max: u64 {
            default: 256,
            description: "Ceiling for the tasks that start or run instances of a user without CAP_SYS_ADMIN at the same time",
        },
        reserve_kib: u64 {
            default: 1024,
            description: "Memory set aside for small allocations when there is no other, in KiB",
        },
        kernel_keys: bool {
            default: false,
            description: "Signatures by keys that the kernel itself trusts count, too",
        },
        compiler: bool {
            default: false,
            description: "Compile modules by the kernel's eBPF JIT; what cannot be compiled is interpreted",
        },
        fault_injection: bool {
            default: false,
            description: "Provide imports that make the engine fail; for tests only",
        },
    },
}

/// The loaded module. Fields are dropped in this order: the device goes first, so that nobody comes in any more; then what
/// loads look at; the reserve and the stacks last, when no engine is left. None holds more than that: descriptors that are still open keep
/// the module from being unloaded.
#[pin_data]
struct Kwasmi {
    #[pin]
    _device: MiscDeviceRegistration<device::Device>,
    _keyring: keyring::Keyring,
    _policy: policy::Policy,
    _codes: shared::Codes,
    _users: user::Users,
    _reserve: engine::Reserve,
    _stacks: stack::Stacks,
}

impl kernel::InPlaceModule for Kwasmi {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        limits::begin();
        try_pin_init!(Self {
            // SAFETY: It is called here only, before the device.
            _policy: unsafe { policy::Policy::begin() },
            // SAFETY: `Codes::begin` must be called once and first: it is called here only, before there is a device.
            _codes: unsafe { shared::Codes::begin() },
            // SAFETY: It must be called once and first: it is called here only, before there is a device.
            _users: unsafe { user::Users::begin() },
            _keyring: machine::check().and_then(|()| verify_parameter::check()).and_then(|()| keyring::Keyring::new())?,
            // SAFETY: It is called here only, before the engine is entered.
            _stacks: unsafe { stack::Stacks::begin() },
            // The engine must be able to run before anyone can ask for it.
            _reserve: engine::Reserve::new(limits::reserve_bytes())?,
            _device <- MiscDeviceRegistration::register(MiscDeviceOptions { name: c"kwasmi" }),
        })
    }
}
