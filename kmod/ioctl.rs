// SPDX-License-Identifier: GPL-2.0

//! Ioctl numbers, and copies of ioctl arguments from and to the caller.
//!
//! C header: [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h)

use crate::{
    allocation,
    log::LogBuffer,
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

/// Returns the number of a command without an argument.
pub(crate) const fn io(number: u32) -> u32 {
    _IO(KWASMI_IOC_TYPE, number)
}

/// Returns the number of a command whose argument is only read.
pub(crate) const fn iow<T>(number: u32) -> u32 {
    _IOW::<T>(KWASMI_IOC_TYPE, number)
}

/// Returns the number of a command whose argument is only written.
pub(crate) const fn ior<T>(number: u32) -> u32 {
    _IOR::<T>(KWASMI_IOC_TYPE, number)
}

/// Returns the number of a command whose argument is read and written.
pub(crate) const fn iowr<T>(number: u32) -> u32 {
    _IOWR::<T>(KWASMI_IOC_TYPE, number)
}

/// Checks that the caller has CAP_SYS_ADMIN in the initial user namespace.
///
/// # Errors
///
/// `EPERM` if the caller does not have it.
pub(crate) fn require_sys_admin() -> Result {
    // SAFETY: `capable` may be called in any task with a valid capability number, which
    // `CAP_SYS_ADMIN` is.
    if unsafe { capable(CAP_SYS_ADMIN as c_int) } {
        Ok(())
    } else {
        Err(EPERM)
    }
}

/// Ioctl argument: the address of a structure of the caller.
pub(crate) struct Argument {
    addr: UserPtr,
}

impl Argument {
    /// Creates an argument from the address `arg`.
    pub(crate) fn new(arg: usize) -> Self {
        Self {
            addr: UserPtr::from_addr(arg),
        }
    }

    /// Copies the structure from the caller.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the address is not readable.
    pub(crate) fn read<T: FromBytes>(&self) -> Result<T> {
        UserSlice::new(self.addr, size_of::<T>()).reader().read()
    }

    /// Copies a structure to the caller.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the address is not writable.
    pub(crate) fn write<T: AsBytes>(&self, value: &T) -> Result {
        UserSlice::new(self.addr, size_of::<T>())
            .writer()
            .write(value)
    }
}

/// Copies the text of `log` to the caller and calls `reply` with its length and the limit that was
/// reached, also if `result` is an error. Returns `result`.
///
/// # Errors
///
/// The error of `result`; if `result` is `Ok`, the errors of copying and of `reply`.
pub(crate) fn with_log<T>(
    result: Result<T>,
    log: &LogBuffer,
    reply: impl FnOnce(u32, (u32, u64)) -> Result,
) -> Result<T> {
    let replied = log.give().and_then(|len| reply(len, log.limit()));
    let value = result?;
    replied?;
    Ok(value)
}

/// Copies element `index` of the array at the caller's address `addr`.
///
/// # Errors
///
/// `EFAULT` if the element is not readable.
pub(crate) fn element_from_user<T: FromBytes>(addr: u64, index: usize) -> Result<T> {
    let offset = index.checked_mul(size_of::<T>()).ok_or(EFAULT)?;
    let addr = usize::try_from(addr)?.checked_add(offset).ok_or(EFAULT)?;
    Argument::new(addr).read()
}

/// Copies `value` to element `index` of the array at the caller's address `addr`.
///
/// # Errors
///
/// `EFAULT` if the element is not writable.
pub(crate) fn element_to_user<T: AsBytes>(addr: u64, index: usize, value: &T) -> Result {
    let offset = index.checked_mul(size_of::<T>()).ok_or(EFAULT)?;
    let addr = usize::try_from(addr)?.checked_add(offset).ok_or(EFAULT)?;
    Argument::new(addr).write(value)
}

/// Copies `len` bytes from the caller's address `addr`.
///
/// # Errors
///
/// `EFAULT` if the bytes are not readable; `ENOMEM`.
pub(crate) fn bytes_from_user(addr: u64, len: usize) -> Result<KVVec<u8>> {
    let mut bytes = allocation::buffer(len)?;
    if len > 0 {
        let addr = UserPtr::from_addr(usize::try_from(addr)?);
        UserSlice::new(addr, len).read_all(&mut bytes, GFP_KERNEL_ACCOUNT)?;
    }
    Ok(bytes)
}
