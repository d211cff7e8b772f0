// SPDX-License-Identifier: GPL-2.0

//! Reading and answering ioctls.

use crate::{
    log::LogBuffer,
    memory,
    uapi::KWASMI_IOC_TYPE, //
};
use kernel::{
    bindings::{
        capable,
        CAP_SYS_ADMIN, //
    },
    ioctl::{
        _IO,
        _IOR,
        _IOW,
        _IOWR, //
    },
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::UserSlice, //
};

/// The number of a command that takes nothing.
pub(crate) const fn io(number: u32) -> u32 {
    _IO(KWASMI_IOC_TYPE, number)
}

/// The number of a command that only takes.
pub(crate) const fn iow<T>(number: u32) -> u32 {
    _IOW::<T>(KWASMI_IOC_TYPE, number)
}

/// The number of a command that only answers.
pub(crate) const fn ior<T>(number: u32) -> u32 {
    _IOR::<T>(KWASMI_IOC_TYPE, number)
}

/// The number of a command that takes and answers.
pub(crate) const fn iowr<T>(number: u32) -> u32 {
    _IOWR::<T>(KWASMI_IOC_TYPE, number)
}

/// Sees that the caller is root: what runs in the kernel is root's business. A user namespace makes nobody root here.
///
/// # Errors
///
/// `EPERM`.
pub(crate) fn ask_for_root() -> Result {
    // SAFETY: It has no requirements.
    if unsafe { capable(CAP_SYS_ADMIN as c_int) } {
        Ok(())
    } else {
        Err(EPERM)
    }
}

/// The caller's structure of an ioctl.
pub(crate) struct Argument {
    addr: UserPtr,
}

impl Argument {
    /// The structure at the address `arg`.
    pub(crate) fn new(arg: usize) -> Self {
        Self { addr: UserPtr::from_addr(arg) }
    }

    /// Copies it in.
    ///
    /// # Errors
    ///
    /// `EFAULT`.
    pub(crate) fn read<T: FromBytes>(&self) -> Result<T> {
        UserSlice::new(self.addr, size_of::<T>()).reader().read()
    }

    /// Copies it out.
    ///
    /// # Errors
    ///
    /// `EFAULT`.
    pub(crate) fn write<T: AsBytes>(&self, value: &T) -> Result {
        UserSlice::new(self.addr, size_of::<T>()).writer().write(value)
    }
}

/// Gives the text of `log` to the caller, and its length and the limit that was reached to `tell`, whatever `result` is; then
/// `result`.
///
/// # Errors
///
/// Those of `result`, which count for more than that the text cannot be given.
pub(crate) fn with_log<T>(
    result: Result<T>,
    log: &LogBuffer,
    tell: impl FnOnce(u32, (u32, u64)) -> Result,
) -> Result<T> {
    let told = log.give().and_then(|len| tell(len, log.limit()));
    let value = result?;
    told?;
    Ok(value)
}

/// Copies element `index` of the array at the caller's address `addr`.
///
/// # Errors
///
/// `EFAULT`.
pub(crate) fn element_from_user<T: FromBytes>(addr: u64, index: usize) -> Result<T> {
    let offset = index.checked_mul(size_of::<T>()).ok_or(EFAULT)?;
    let addr = usize::try_from(addr)?.checked_add(offset).ok_or(EFAULT)?;
    Argument::new(addr).read()
}

/// Copies `value` to element `index` of the array at the caller's address `addr`.
///
/// # Errors
///
/// `EFAULT`.
pub(crate) fn element_to_user<T: AsBytes>(addr: u64, index: usize, value: &T) -> Result {
    let offset = index.checked_mul(size_of::<T>()).ok_or(EFAULT)?;
    let addr = usize::try_from(addr)?.checked_add(offset).ok_or(EFAULT)?;
    Argument::new(addr).write(value)
}

/// Copies `len` bytes at the caller's address `addr`.
///
/// # Errors
///
/// `EFAULT`, `ENOMEM`.
pub(crate) fn bytes_from_user(addr: u64, len: usize) -> Result<KVVec<u8>> {
    let mut bytes = memory::buffer(len)?;
    if len > 0 {
        let addr = UserPtr::from_addr(usize::try_from(addr)?);
        UserSlice::new(addr, len).read_all(&mut bytes, GFP_KERNEL_ACCOUNT)?;
    }
    Ok(bytes)
}
