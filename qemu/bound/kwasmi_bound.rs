// SPDX-License-Identifier: GPL-2.0

//! Upper bound of what a guest can reach: the work of the bench's guests, done by the kernel calls
//! that kwasmi makes for them, without Wasm.
//!
//! For the bench only. The files that make those calls are shared with kwasmi.

use kernel::{
    fs::File,
    ioctl::_IOWR,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::UserSlice, //
};

#[allow(unreachable_pub, reason = "shared with the bench")]
mod abi;
#[path = "../../kmod/allocation.rs"]
#[allow(dead_code, reason = "shared with kwasmi, which uses the rest")]
mod allocation;
#[path = "../../kmod/bindings.rs"]
mod bindings;
#[path = "../../guests/bench/src/kv/command.rs"]
mod command;
#[path = "../../engine/src/ffi.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with kwasmi, which uses the rest"
)]
mod ffi;
#[path = "../../kmod/host/files.rs"]
#[allow(dead_code, reason = "shared with kwasmi, which uses the rest")]
mod files;
mod http;
mod kv;
#[path = "../../guests/bench/src/http/pages.rs"]
mod pages;
#[path = "../../engine/src/wasi/abi.rs"]
#[allow(
    dead_code,
    unfulfilled_lint_expectations,
    unreachable_pub,
    reason = "shared with kwasmi, which uses the rest"
)]
mod preview1;
#[path = "../../kmod/host/readiness.rs"]
mod readiness;
#[path = "../../guests/bench/src/policy/rules.rs"]
mod rules;
mod servers;
#[path = "../../kmod/host/signal.rs"]
#[allow(dead_code, reason = "shared with kwasmi, which uses the rest")]
mod signal;
#[path = "../../kmod/host/sockets.rs"]
#[allow(dead_code, reason = "shared with kwasmi, which uses the rest")]
mod sockets;
#[path = "../../kmod/host/splice.rs"]
mod splice;
#[path = "../../kmod/host/transfer.rs"]
mod transfer;
mod work;

module! {
    type: Bound,
    name: "kwasmi_bound",
    authors: ["The kwasmi developers"],
    description: "Does the work of kwasmi's bench in the kernel, without Wasm",
    license: "GPL",
}

/// State of the loaded module.
#[pin_data]
struct Bound {
    #[pin]
    _device: MiscDeviceRegistration<Device>,
}

impl kernel::InPlaceModule for Bound {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _device <- MiscDeviceRegistration::register(MiscDeviceOptions { name: c"kwasmi-bound" }),
        })
    }
}

/// Open file of `/dev/kwasmi-bound`. It has no state.
struct Device;

// SAFETY: `FromBytes` requires that all bytes are a valid value. The structure has integer fields
// only.
unsafe impl FromBytes for abi::Job {}
// SAFETY: `AsBytes` requires that the value has no uninitialised bytes. The structure has integer
// fields only and no padding.
unsafe impl AsBytes for abi::Job {}

const RUN: u32 = _IOWR::<abi::Job>(abi::GROUP as u32, abi::NUMBER as u32);

#[vtable]
impl MiscDevice for Device {
    type Ptr = KBox<Self>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        Ok(KBox::new(Self, GFP_KERNEL)?)
    }

    fn ioctl(_device: &Self, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        if cmd != RUN {
            return Err(ENOTTY);
        }
        let place = || UserSlice::new(UserPtr::from_addr(arg), size_of::<abi::Job>());
        let mut job: abi::Job = place().reader().read()?;
        job.nanoseconds = work::run(&job)?;
        place().writer().write(&job)?;
        Ok(0)
    }
}
