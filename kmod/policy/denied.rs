// SPDX-License-Identifier: GPL-2.0

//! Deny list: hashes of denied modules, and minimum versions by name. Root sets both with ioctls.

use super::{
    keyring::Keyring,
    verify::{
        self,
        Mode, //
    },
};
use crate::{
    ioctl::{
        self,
        Argument, //
    },
    log::LogBuffer,
    name::Name,
    table::Table,
    uapi::{
        kwasmi_deny,
        kwasmi_list_policy,
        kwasmi_min_version,
        kwasmi_policy,
        KWASMI_POLICY_KERNEL_KEYS,
        KWASMI_POLICY_LOCKED_DOWN,
        KWASMI_POLICY_MAX, //
    },
};
use core::fmt::Write;
use kernel::{
    error::code,
    prelude::*,
    transmute::AsBytes, //
};

/// SHA-256 hash.
pub(crate) type Hash = [u8; 32];

/// Version: major, minor, patch.
pub(crate) type Version = [u32; 3];

kernel::sync::global_lock! {
    // SAFETY: `Policy::begin` initialises the lock before the device is registered; only ioctls use
    // it.
    unsafe(uninit) static DENIED: Mutex<Table<Hash, ()>> = Table::new();
}

kernel::sync::global_lock! {
    // SAFETY: `Policy::begin` initialises the lock before the device is registered; only ioctls use
    // it.
    unsafe(uninit) static MIN_VERSIONS: Mutex<Table<Name, Version>> = Table::new();
}

kernel::sync::global_lock! {
    // SAFETY: `Policy::begin` initialises the lock before the device is registered; only ioctls use
    // it.
    unsafe(uninit) static WARNED: Mutex<Table<Hash, ()>> = Table::new();
}

/// Guard of the deny list. There is one, for the lifetime of the module.
pub(crate) struct Policy {
    _private: (),
}

impl Policy {
    /// Initialises the empty lists.
    ///
    /// # Safety
    ///
    /// Must be called once, before any other function of this file.
    pub(crate) unsafe fn begin() -> Self {
        // SAFETY: `init` must be called once, before the lock is used, which this function's safety
        // requirement ensures.
        unsafe { DENIED.init() };
        // SAFETY: `init` must be called once, before the lock is used, which this function's safety
        // requirement ensures.
        unsafe { MIN_VERSIONS.init() };
        // SAFETY: `init` must be called once, before the lock is used, which this function's safety
        // requirement ensures.
        unsafe { WARNED.init() };
        Self { _private: () }
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        *DENIED.lock() = Table::new();
        *MIN_VERSIONS.lock() = Table::new();
        *WARNED.lock() = Table::new();
    }
}

/// Checks that a module is neither denied nor below the minimum version of its name. `identity` is
/// name and version in its manifest.
///
/// # Errors
///
/// `EKEYREJECTED` if it is; `log` gets the reason.
pub(crate) fn check(
    hash: &Hash,
    identity: Option<(&Name, Version)>,
    log: &mut LogBuffer,
) -> Result {
    if DENIED.lock().get(hash).is_some() {
        let _ = log.write_str("a module with this SHA-256 is denied");
        return Err(code::EKEYREJECTED);
    }
    let Some((name, version)) = identity else {
        return Ok(());
    };
    let minimum = MIN_VERSIONS.lock().get(name).copied();
    match minimum {
        Some(minimum) if version < minimum => {
            let [major, minor, patch] = minimum;
            let _ = write!(
                log,
                "older than the minimum version of that name, {major}.{minor}.{patch}"
            );
            Err(code::EKEYREJECTED)
        }
        _ => Ok(()),
    }
}

/// Returns true if the kernel log must report the unsigned module: the first time for each hash,
/// and for at most `KWASMI_POLICY_MAX` hashes.
pub(crate) fn is_news(hash: &Hash) -> bool {
    let mut warned = WARNED.lock();
    warned.get(hash).is_none() && warned.set(*hash, (), KWASMI_POLICY_MAX as usize).is_ok()
}

/// Implements `KWASMI_IOC_POLICY`.
pub(crate) fn info(arg: &Argument) -> Result<isize> {
    let mut flags = 0;
    if verify::is_locked_down() {
        flags |= KWASMI_POLICY_LOCKED_DOWN;
    }
    if verify::kernel_keys_count() {
        flags |= KWASMI_POLICY_KERNEL_KEYS;
    }
    // The locks are released before the answer is copied, as the copy may wait for a page fault.
    let denied_len = u32::try_from(DENIED.lock().len())?;
    let min_versions_len = u32::try_from(MIN_VERSIONS.lock().len())?;
    arg.write(&kwasmi_policy {
        verify: Mode::current().number(),
        flags,
        keyring: Keyring::serial(),
        denied_len,
        min_versions_len,
        reserved: 0,
    })?;
    Ok(0)
}

/// Implements `KWASMI_IOC_DENY`.
pub(crate) fn deny(arg: &Argument) -> Result<isize> {
    ioctl::require_sys_admin()?;
    let request: kwasmi_deny = arg.read()?;
    DENIED
        .lock()
        .set(request.sha256, (), KWASMI_POLICY_MAX as usize)?;
    Ok(0)
}

/// Implements `KWASMI_IOC_SET_MIN_VERSION`.
pub(crate) fn set_min_version(arg: &Argument) -> Result<isize> {
    ioctl::require_sys_admin()?;
    let request: kwasmi_min_version = arg.read()?;
    let name = Name::from_chars(&request.name)?;
    if request.reserved != 0 {
        return Err(EINVAL);
    }
    let mut versions = MIN_VERSIONS.lock();
    if versions
        .get(&name)
        .is_some_and(|there| request.version < *there)
    {
        return Err(EINVAL);
    }
    versions.set(name, request.version, KWASMI_POLICY_MAX as usize)?;
    Ok(0)
}

/// Implements `KWASMI_IOC_LIST_DENIED`.
pub(crate) fn list_denied(arg: &Argument) -> Result<isize> {
    list(arg, || {
        copied(&DENIED.lock(), |(hash, ())| kwasmi_deny { sha256: *hash })
    })
}

/// Implements `KWASMI_IOC_LIST_MIN_VERSIONS`.
pub(crate) fn list_min_versions(arg: &Argument) -> Result<isize> {
    list(arg, || {
        copied(&MIN_VERSIONS.lock(), |(name, version)| kwasmi_min_version {
            name: name.to_chars(),
            version: *version,
            ..kwasmi_min_version::default()
        })
    })
}

fn copied<K: Ord, V, E>(table: &Table<K, V>, f: impl Fn(&(K, V)) -> E) -> Result<KVVec<E>> {
    let mut entries = KVVec::with_capacity(table.len(), GFP_KERNEL_ACCOUNT)?;
    for entry in table.iter() {
        entries.push(f(entry), GFP_KERNEL_ACCOUNT)?;
    }
    Ok(entries)
}

/// Copies the entries to the caller, up to the capacity of its array. The lock is released before,
/// as the copy may wait for a page fault.
fn list<E: AsBytes>(arg: &Argument, entries: impl FnOnce() -> Result<KVVec<E>>) -> Result<isize> {
    let mut request: kwasmi_list_policy = arg.read()?;
    if request.reserved != 0 {
        return Err(EINVAL);
    }
    let entries = entries()?;
    for (index, entry) in entries
        .iter()
        .enumerate()
        .take(request.entries_len as usize)
    {
        ioctl::element_to_user(request.entries, index, entry)?;
    }
    request.entries_len = u32::try_from(entries.len())?;
    arg.write(&request)?;
    Ok(0)
}
