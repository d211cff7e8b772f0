// SPDX-License-Identifier: GPL-2.0

//! The table that maps names to services, one for the machine.
//!
//! Only a caller with CAP_SYS_ADMIN can add a name. Otherwise a user could take the name of a
//! service before the service starts, and impersonate it. A process without the capability can
//! still share an instance: it passes the instance descriptor to another process.
//!
//! Each name belongs to one instance, so the limits on instances bound the table.

use super::Service;

use crate::{
    anon_file,
    ioctl::{
        self,
        Argument, //
    },
    name::Name,
    table::Table,
    uapi::{
        kwasmi_find,
        kwasmi_list_services, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

kernel::sync::global_lock! {
    // SAFETY: The lock must be initialised before its first use. `Registry::begin` does this before
    // the device is registered, and only ioctls of the device and its objects use the lock.
    unsafe(uninit) static SERVICES: Mutex<Table<Name, Arc<Service>>> = Table::new();
}

/// Guard of the table of services. The one guard lives as long as the module is loaded.
pub(crate) struct Registry {
    _private: (),
}

impl Registry {
    /// Initialises the empty table.
    ///
    /// # Safety
    ///
    /// Must be called once, before any other function of this file.
    pub(crate) unsafe fn begin() -> Self {
        // SAFETY: `init` must be called once, before the lock is used, which this function's safety
        // requirement ensures.
        unsafe { SERVICES.init() };
        Self { _private: () }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // No instance exists, so the table has no entries. The assignment frees its memory.
        *SERVICES.lock() = Table::new();
    }
}

/// Adds `service` to the table. A service that has the name and has ended loses the name.
///
/// # Errors
///
/// `EEXIST` if the name belongs to a service that has not ended; `ENOMEM`.
pub(super) fn add(service: Arc<Service>) -> Result {
    let mut services = SERVICES.lock();
    let name = service.name;
    let before = services.get(&name).cloned();
    if before.as_ref().is_some_and(|before| !before.has_ended()) {
        return Err(EEXIST);
    }
    services.set(name, service, usize::MAX)?;
    drop(services);
    if let Some(before) = before {
        before.set_removed();
    }
    Ok(())
}

/// Gives `service` the name of another service, which the current process published, and returns the
/// other one. The name belongs to one of them at any time.
///
/// # Errors
///
/// `ENOENT` if no service has the name; `EPERM` if another process published it; `ESHUTDOWN` if its
/// guest has ended or was killed.
pub(super) fn replace(service: Arc<Service>) -> Result<Arc<Service>> {
    let mut services = SERVICES.lock();
    let before = services.get(&service.name).cloned().ok_or(ENOENT)?;
    before.begin_replace()?;
    // This needs no memory and does not fail, as the table has the name.
    services.set(service.name, service, usize::MAX)?;
    Ok(before)
}

/// Removes `service` from the table, unless another service has its name.
pub(super) fn withdraw(service: &Service) {
    let mut services = SERVICES.lock();
    let found = services
        .get(&service.name)
        .filter(|found| core::ptr::eq::<Service>(&***found, service))
        .cloned();
    if found.is_some() {
        services.remove(&service.name);
    }
    drop(services);
    service.set_removed();
}

/// Implements `KWASMI_IOC_FIND`.
pub(crate) fn find(arg: &Argument) -> Result<isize> {
    let request: kwasmi_find = arg.read()?;
    let name = Name::from_chars(&request.name)?;
    let found = SERVICES.lock().get(&name).cloned();
    anon_file::install(found.ok_or(ENOENT)?)
}

/// Implements `KWASMI_IOC_LIST_SERVICES`.
pub(crate) fn list(arg: &Argument) -> Result<isize> {
    let mut request: kwasmi_list_services = arg.read()?;
    if request.reserved != 0 {
        return Err(EINVAL);
    }
    // Memory is allocated without the lock, as an allocation waits if the caller's memory cgroup is
    // full; and the answers are copied without it, as a copy may wait for a page fault.
    let mut found = KVVec::new();
    loop {
        let len = SERVICES.lock().len();
        found.reserve(len, GFP_KERNEL_ACCOUNT)?;
        let services = SERVICES.lock();
        if services.len() > found.capacity() {
            continue;
        }
        for (_, service) in services.iter() {
            found.push(service.clone(), GFP_KERNEL_ACCOUNT)?;
        }
        break;
    }
    for (index, service) in found.iter().enumerate().take(request.services_len as usize) {
        ioctl::element_to_user(request.services, index, &service.info())?;
    }
    request.services_len = u32::try_from(found.len())?;
    arg.write(&request)?;
    Ok(0)
}
