// SPDX-License-Identifier: GPL-2.0

//! kwasmi: runs WebAssembly programs inside the kernel.
//!
//! This file holds the parameters of the kernel module and the order of start and stop.
//! Dependencies of the parts:
//!
//! ```text
//! device -> instance -> module -> code -> engine -> (the engine object) -> host
//!    |                    ^  |
//!    +--------------------+  +-> policy
//! ```
//!
//! Lock order: `docs/architecture.md`, "Locks".

use kernel::{
    miscdevice::{
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    prelude::*, //
};

mod allocation;
mod anon_file;
mod arch;
mod bindings;
mod code;
mod counters;
mod device;
mod engine;
#[path = "../engine/src/ffi.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the engine, which uses the rest"
)]
mod ffi;
mod host;
#[path = "../engine/src/host_operations.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the engine, which uses the rest"
)]
mod host_operations;
mod instance;
mod ioctl;
mod jit;
mod limits;
mod log;
mod module;
mod name;
mod pages;
mod policy;
#[path = "../engine/src/wasi/abi.rs"]
#[allow(
    dead_code,
    unfulfilled_lint_expectations,
    unreachable_pub,
    reason = "shared with the engine, which uses the rest"
)]
mod preview1;
mod service;
#[path = "../engine/src/signing/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the engine, which uses the rest"
)]
mod signing;
mod table;
#[path = "../engine/src/text.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the engine, which uses the rest"
)]
mod text;
mod trace;
mod uapi;
mod user;
mod watch;

module! {
    type: Kwasmi,
    name: "kwasmi",
    authors: ["The kwasmi developers"],
    description: "Runs WebAssembly programs inside the kernel",
    license: "GPL",
    params: {
        module_size_max: u64 {
            default: 268435456,
            description: "Ceiling of the size of a module, in bytes",
        },
        functions_max: u64 {
            default: 1000000,
            description: "Ceiling of the number of functions of a module",
        },
        function_size_max: u64 {
            default: 16777216,
            description: "Ceiling of the code size of a function, in bytes",
        },
        locals_max: u64 {
            default: 50000,
            description: "Ceiling of the number of locals of a function",
        },
        arity_max: u64 {
            default: 1000,
            description: "Ceiling of the number of parameters, and of results, of a function type",
        },
        globals_max: u64 {
            default: 1000000,
            description: "Ceiling of the number of globals of a module",
        },
        data_segments_max: u64 {
            default: 100000,
            description: "Ceiling of the number of data segments of a module",
        },
        element_segments_max: u64 {
            default: 100000,
            description: "Ceiling of the number of element segments of a module",
        },
        stack_max: u64 {
            default: 16777216,
            description: "Ceiling of the Wasm stack of an instance, in bytes",
        },
        code_max: u64 {
            default: 4294967296,
            description: "Ceiling of the memory of a translated module, in bytes",
        },
        memory_max: u64 {
            default: 4294967296,
            description: "Ceiling of the linear memory of an instance, in bytes",
        },
        table_max: u64 {
            default: 10000000,
            description: "Ceiling of the number of table elements of an instance",
        },
        heap_max: u64 {
            default: 17179869184,
            description: "Ceiling of the memory of an instance, linear memory included, in bytes",
        },
        fds_max: u64 {
            default: 1024,
            description: "Ceiling of the number of open descriptors of an instance, at most 1024",
        },
        fuel_max: u64 {
            default: 18446744073709551615,
            description: "Ceiling of the fuel of an instance, approximately its number of instructions",
        },
        time_max: u64 {
            default: 18446744073709551615,
            description: "Ceiling of the time of a load or of an instance, in nanoseconds",
        },
        cpu_time_max: u64 {
            default: 18446744073709551615,
            description: "Ceiling of the CPU time of a load or of an instance, in nanoseconds",
        },
        total_heap_max: u64 {
            default: 0,
            description: "Ceiling of the memory of all engines together, in bytes; 0: half of the machine's memory",
        },
        total_modules_max: u64 {
            default: 4096,
            description: "Ceiling of the number of modules",
        },
        total_instances_max: u64 {
            default: 4096,
            description: "Ceiling of the number of instances",
        },
        total_running_max: u64 {
            default: 1024,
            description: "Ceiling of the number of tasks that load, start or run at the same time, at most 1024",
        },
        user_instances_max: u64 {
            default: 1024,
            description: "Ceiling of the number of instances of a user without CAP_SYS_ADMIN",
        },
        user_running_max: u64 {
            default: 256,
            description: "Ceiling of the number of tasks that start or run instances of a user without CAP_SYS_ADMIN",
        },
        reserve_kib: u64 {
            default: 1024,
            description: "Reserve for small allocations when no other memory is available, in KiB",
        },
        kernel_keys: bool {
            default: false,
            description: "Accept signatures by keys that the kernel trusts as well",
        },
        compiler: bool {
            default: true,
            description: "Compile modules by the kernel's eBPF JIT; what cannot be compiled is interpreted",
        },
        speculation_masks: bool {
            default: true,
            description: "Mask the indices of compiled memory accesses, which processors may execute before bounds checks",
        },
        fault_injection: bool {
            default: false,
            description: "Provide imports that make the engine fail; for tests only",
        },
    },
}

/// State of the loaded module. Fields are dropped in this order: first the device, so that no new
/// ioctls arrive; then the state that loads use; last the reserve and the stacks, when no engine
/// exists. Open descriptors keep the module from being unloaded, so no module or instance exists at
/// that time.
#[pin_data]
struct Kwasmi {
    #[pin]
    _device: MiscDeviceRegistration<device::Device>,
    _keyring: policy::keyring::Keyring,
    _policy: policy::denied::Policy,
    _code_cache: code::cache::CodeCache,
    _users: user::Users,
    _services: service::registry::Registry,
    _reserve: engine::Reserve,
    _freeing: jit::Freeing,
    _stacks: engine::stack::Stacks,
}

impl kernel::InPlaceModule for Kwasmi {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        limits::begin();
        try_pin_init!(Self {
            // SAFETY: `Policy::begin` must be called once, before any other function of `policy`:
            // this is the only call, and the device does not exist yet.
            _policy: unsafe { policy::denied::Policy::begin() },
            // SAFETY: `CodeCache::begin` must be called once, before any `CachedCode` is created:
            // this is the only call, and the device does not exist yet.
            _code_cache: unsafe { code::cache::CodeCache::begin() },
            // SAFETY: `Users::begin` must be called once, before any `Counted` is created: this is
            // the only call, and the device does not exist yet.
            _users: unsafe { user::Users::begin() },
            // SAFETY: `Registry::begin` must be called once, before any other function of
            // `registry`: this is the only call, and the device does not exist yet.
            _services: unsafe { service::registry::Registry::begin() },
            _keyring: arch::check()
                .and_then(|()| policy::verify::check_parameter())
                .and_then(|()| policy::keyring::Keyring::new())?,
            // SAFETY: `Stacks::begin` must be called once, before any `Stack` is created: this is
            // the only call, and the engine was not entered yet.
            _stacks: unsafe { engine::stack::Stacks::begin() },
            // SAFETY: `Freeing::begin` must be called once, before any `Programs` are compiled:
            // this is the only call, and the device does not exist yet.
            _freeing: unsafe { jit::Freeing::begin() },
            // The engine must be initialised before the device accepts ioctls.
            _reserve: engine::Reserve::new(limits::reserve_bytes())?,
            _device <- MiscDeviceRegistration::register(MiscDeviceOptions { name: c"kwasmi" }),
        })
    }
}
