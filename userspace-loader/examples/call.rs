// SPDX-License-Identifier: GPL-2.0
//! Calls a function of the service `sum`.
use kwasmi::{
    kernel_device::KernelDevice,
    service::{
        calls::{
            Called,
            Reactor as _, //
        },
        kernel::KernelService, //
    }, //
};
use std::{
    error::Error,
    num::NonZeroU64, //
};

fn main() -> Result<(), Box<dyn Error>> {
    let device = KernelDevice::open()?;
    let service = KernelService::find(&device, &"sum".parse()?)?;
    let add = service.function("add")?;
    let second = NonZeroU64::new(1_000_000_000);
    match service.call(&add, &[40], &[], 0, second)? {
        Called::Returned(results, _) => println!("{results:?}"),
        Called::Ended(result) => println!("sum: {:?}", result.ending),
    }
    Ok(())
}
